"""Settling again (R12), on memory and with a fake binding: both sides or neither, and who may give again how much."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gongji.settlement.events.v1 import account_events_pb2, settlement_events_pb2
from kit.failpoints import Boundary, Failpoints
from kit.testing import MemoryWork
from settlement.domain.accounts import Account, AccountState
from settlement.domain.bill import BillItem, ItemKind
from settlement.domain.ledger import AccountKind
from settlement.domain.state import Settlement, SettlementState
from settlement.memory import MemorySettlements
from settlement.testing import FakeRelation, World, account, bill, msgid, paid, reason, resettle, settle

OTHER_HOSPITAL = "H65270100002"


class Family:
    """A father and a mother with money, a child with a limit at each."""

    def __init__(
        self, *, money_fen: int = 10_000, limit_fen: int = 50_000, failpoints: Failpoints | None = None
    ) -> None:
        self.memory = MemorySettlements()
        self.memory.accounts["father"] = account("father", money_fen)
        self.memory.accounts["mother"] = account("mother", money_fen)
        self.father_to_child = FakeRelation("father", "child", limit_fen)
        self.mother_to_child = FakeRelation("mother", "child", limit_fen)
        work = MemoryWork(self.memory)
        self.world = World(work, self.father_to_child, self.mother_to_child, failpoints=failpoints)

    async def first(self, amount_fen: int = 9_000, **changes: Any) -> Settlement:
        return paid((await self.world.settle(settle(1, bill("child", amount_fen), **changes)))[0])

    async def again(self, number: int, amount_fen: int, of: int | UUID = 1, **changes: Any) -> Settlement | Exception:
        return (await self.world.settle(resettle(number, of, bill("child", amount_fen), **changes)))[0]

    def freeze(self, psn_no: str) -> None:
        self.memory.accounts[psn_no] = replace(self.memory.accounts[psn_no], state=AccountState.FROZEN)

    @property
    def father(self) -> Account:
        return self.memory.accounts["father"]

    @property
    def balances(self) -> tuple[int, int]:
        return self.father.balance_fen, self.memory.accounts["mother"].balance_fen

    @property
    def told(self) -> list[str]:
        return [type(message).__name__ for message in self.memory.outbox.messages]


def lines(settlement: Settlement) -> list[tuple[str, int, int]]:
    assert settlement.split is not None
    return [(line.payer_psn_no, line.amount_fen, line.balance_after_fen) for line in settlement.split.lines]


def declines(settlement: Settlement) -> list[tuple[str, str]]:
    assert settlement.split is not None
    return [(each.payer_psn_no, each.reason) for each in settlement.split.declines]


async def test_a_smaller_bill_gives_the_difference_back() -> None:
    family = Family()
    first = await family.first(9_000)
    again = paid(await family.again(2, 6_000))
    assert lines(again) == [("father", 6_000, 4_000)]
    assert again.order is not None
    assert again.order.replaces == first.settlement_id
    before = family.memory.settlements[first.settlement_id]
    assert (before.state, before.replaced_by) == (SettlementState.REVERSED, again.settlement_id)
    assert [(each.psn_no, each.amount_fen, each.balance_after_fen) for each in before.refunds] == [
        ("father", 9_000, 10_000)
    ]
    assert family.balances == (4_000, 10_000)


async def test_both_sides_are_told_to_each_other_and_to_the_accounts() -> None:
    family = Family()
    first = await family.first(9_000)
    again = paid(await family.again(2, 6_000))
    completed, reversed_, refunded, debited = family.memory.outbox.messages[2:]
    assert isinstance(completed, settlement_events_pb2.SettlementCompleted)
    assert isinstance(reversed_, settlement_events_pb2.SettlementReversed)
    assert completed.replaces == reversed_.settlement.setl_id == str(first.settlement_id)
    assert reversed_.replaced_by == completed.settlement.setl_id == str(again.settlement_id)
    assert completed.replaced_lines == reversed_.settlement.lines
    assert reversed_.replacing_lines == completed.settlement.lines
    assert completed.replaced_occurred_at == reversed_.settlement.occurred_at
    assert reversed_.replacing_occurred_at == completed.settlement.occurred_at
    assert isinstance(refunded, account_events_pb2.AccountRefunded)
    assert isinstance(debited, account_events_pb2.AccountDebited)
    assert (refunded.sequence, refunded.balance_after_fen) == (3, 10_000)
    assert (debited.sequence, debited.balance_after_fen) == (4, 4_000)


async def test_no_credential_is_needed_however_late_it_is() -> None:
    family = Family()
    await family.first()
    family.world.clock.advance(timedelta(days=40))
    assert paid(await family.again(2, 6_000)).state is SettlementState.SETTLED


async def test_binding_is_told_of_the_first_however_long_ago_it_was() -> None:
    family = Family(limit_fen=9_500)
    first = await family.first(9_000)
    family.memory.ticks[0] += timedelta(days=40)
    again = paid(await family.again(2, 6_000))
    (ask,) = family.world.binding.asked[-1]
    assert ask.replaces == first.settlement_id
    assert [each.settlement_id for each in ask.recent] == [first.settlement_id]
    assert lines(again) == [("father", 6_000, 4_000)]


async def test_a_payer_whose_relation_has_ended_gives_again_what_he_gave_and_no_more() -> None:
    family = Family(money_fen=20_000)
    await family.first(9_000)
    family.father_to_child.reason = "RELATION_ENDED"
    family.mother_to_child.reason = "NO_RELATION"
    again = paid(await family.again(2, 9_500))
    assert lines(again) == [("father", 9_000, 11_000)]
    assert declines(again) == [("father", "RELATION_ENDED"), ("mother", "NO_RELATION")]


async def test_a_frozen_account_gives_again_what_it_gave_and_no_more() -> None:
    family = Family(money_fen=20_000)
    await family.first(9_000)
    family.freeze("father")
    again = paid(await family.again(2, 9_500))
    assert lines(again) == [("father", 9_000, 11_000), ("mother", 500, 19_500)]
    assert declines(again) == [("father", "ACCOUNT_FROZEN")]


async def test_a_frozen_account_of_somebody_who_gave_nothing_gives_nothing() -> None:
    family = Family()
    await family.first(9_000)
    family.freeze("mother")
    again = paid(await family.again(2, 12_000))
    assert lines(again) == [("father", 10_000, 0)]
    assert declines(again) == [("father", "INSUFFICIENT_BALANCE"), ("mother", "ACCOUNT_FROZEN")]


async def test_ones_own_frozen_account_pays_again_what_it_paid() -> None:
    family = Family()
    family.memory.accounts["child"] = account("child", 700)
    await family.first(500)
    family.freeze("child")
    again = paid(await family.again(2, 600))
    assert again.split is not None
    assert (again.split.acct_pay_fen, again.split.own_balance_after_fen) == (500, 200)
    assert lines(again) == [("father", 100, 9_900)]


async def test_more_than_before_follows_todays_limit() -> None:
    family = Family(money_fen=50_000, limit_fen=9_500)
    await family.first(9_000)
    family.mother_to_child.reason = "NO_RELATION"
    again = paid(await family.again(2, 20_000))
    assert lines(again) == [("father", 9_500, 40_500)]
    assert declines(again) == [("father", "LIMIT_REACHED"), ("mother", "NO_RELATION")]


async def test_the_same_request_again_gets_the_same_answer_and_moves_nothing() -> None:
    family = Family()
    await family.first(9_000)
    first = await family.again(2, 6_000)
    assert await family.again(2, 6_000) == first
    assert family.balances == (4_000, 10_000)
    assert reason(await family.again(2, 5_000)) == "MSGID_REUSED"


async def test_naming_it_by_id_or_by_msgid_is_the_same_request() -> None:
    family = Family()
    first = await family.first(9_000)
    again = await family.again(2, 6_000, of=first.settlement_id)
    assert await family.again(2, 6_000, of=1) == again


async def test_a_plain_settlement_under_the_same_msgid_is_another_body() -> None:
    family = Family()
    await family.first(9_000)
    await family.again(2, 6_000)
    assert reason((await family.world.settle(settle(2, bill("child", 6_000))))[0]) == "MSGID_REUSED"


async def test_a_split_that_is_not_expected_leaves_the_first_as_it_was() -> None:
    family = Family()
    first = await family.first(9_000)
    assert reason(await family.again(2, 6_000, expected_acct_mulaid_pay_fen=5_999)) == "AMOUNT_CHANGED"
    assert family.memory.settlements[first.settlement_id] == first
    assert family.balances == (1_000, 10_000)
    released = family.memory.outbox.messages[-1]
    assert isinstance(released, settlement_events_pb2.HoldsReleased)
    assert released.replaces == str(first.settlement_id)
    assert paid(await family.again(3, 6_000)).state is SettlementState.SETTLED


async def test_what_is_unknown_or_took_nothing_cannot_be_settled_again() -> None:
    family = Family()
    assert reason(await family.again(2, 6_000)) == "NOT_FOUND"
    assert reason(await family.again(2, 6_000, of=UUID(int=5))) == "NOT_FOUND"
    await family.world.settle(settle(1, bill("child", 9_000), expected_acct_mulaid_pay_fen=1))
    assert reason(await family.again(2, 6_000)) == "NOT_FOUND"
    assert [each.order.msgid for each in family.memory.settlements.values() if each.order] == [msgid(1)]


async def test_what_is_reversed_cannot_be_settled_again() -> None:
    family = Family()
    await family.first(9_000)
    await family.world.reverse(5, of=1)
    assert reason(await family.again(2, 6_000)) == "ALREADY_REVERSED"
    assert len(family.memory.settlements) == 1


async def test_it_is_replaced_once() -> None:
    family = Family()
    await family.first(9_000)
    await family.again(2, 6_000)
    assert reason(await family.again(3, 5_000)) == "ALREADY_REVERSED"


async def test_the_new_one_can_be_settled_again_in_its_turn() -> None:
    family = Family(limit_fen=9_000)
    await family.first(9_000)
    await family.again(2, 6_000)
    again = paid(await family.again(3, 8_000, of=2))
    assert lines(again) == [("father", 8_000, 2_000)]


async def test_reversing_the_new_one_gives_all_back_and_does_not_revive_the_first() -> None:
    family = Family()
    first = await family.first(9_000)
    await family.again(2, 6_000)
    back = paid(await family.world.reverse(5, of=2))
    assert [(each.psn_no, each.amount_fen) for each in back.refunds] == [("father", 6_000)]
    assert family.balances == (10_000, 10_000)
    assert family.memory.settlements[first.settlement_id].state is SettlementState.REVERSED


async def test_another_patients_bill_is_refused() -> None:
    family = Family()
    await family.first(9_000)
    assert reason((await family.world.settle(resettle(2, 1, bill("baby", 6_000))))[0]) == "NOT_OWN_BILL"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"medfee_sumamt_fen": 1}, "BILL_ARITHMETIC"),
        ({"items": (BillItem(ItemKind.NON_MEDICAL, 6_000),)}, "OUT_OF_SCOPE"),
    ],
)
async def test_a_bill_that_could_not_be_settled_cannot_be_settled_again(changes: dict[str, Any], expected: str) -> None:
    family = Family()
    await family.first(9_000)
    assert reason((await family.world.settle(resettle(2, 1, bill("child", 6_000, **changes))))[0]) == expected


async def test_another_institutions_settlement_is_not_touched() -> None:
    family = Family()
    first = await family.first(9_000)
    command = resettle(2, first.settlement_id, bill("child", 6_000))
    order = replace(command.order, fixmedins_code=OTHER_HOSPITAL, msgid=msgid(2, OTHER_HOSPITAL))
    answer = (await family.world.settle(replace(command, order=order)))[0]
    assert reason(answer) == "FORBIDDEN_INSTITUTION"
    assert family.balances == (1_000, 10_000)


class Reversing(Failpoints):
    """Somebody reverses the first settlement once binding holds for the second."""

    def __init__(self) -> None:
        super().__init__()
        self.family: Family | None = None

    async def reach(self, boundary: Boundary) -> None:
        family, self.family = self.family, None
        if family is None:
            return
        if boundary is Boundary.AFTER_AUTHORIZE:
            await family.world.reverse(5, of=1)
        else:
            self.family = family


async def test_one_that_is_reversed_meanwhile_is_not_given_back_twice() -> None:
    meanwhile = Reversing()
    family = Family(failpoints=meanwhile)
    await family.first(9_000)
    meanwhile.family = family
    assert reason(await family.again(2, 6_000)) == "ALREADY_REVERSED"
    assert family.balances == (10_000, 10_000)
    assert reason(await family.again(2, 6_000)) == "ALREADY_REVERSED"
    assert family.told[-1] == "HoldsReleased"


async def test_without_payers_nobody_is_asked_and_only_ones_own_account_pays() -> None:
    family = Family()
    family.memory.accounts["child"] = account("child", 700)
    first = await family.first(500, use_mutual_aid=False)
    again = paid(await family.again(2, 300, use_mutual_aid=False))
    assert again.split is not None
    assert (again.split.acct_pay_fen, again.split.own_balance_after_fen) == (300, 400)
    assert not family.world.binding.asked
    assert family.memory.settlements[first.settlement_id].state is SettlementState.REVERSED


async def test_a_first_that_had_asked_nobody_is_not_named_to_binding() -> None:
    family = Family()
    await family.first(500, use_mutual_aid=False)
    assert lines(paid(await family.again(2, 300))) == [("father", 300, 9_700)]
    (ask,) = family.world.binding.asked[-1]
    assert ask.replaces is None


AMOUNTS = st.integers(0, 300)


@settings(deadline=None)
@given(
    money=st.tuples(AMOUNTS, AMOUNTS),
    limits=st.tuples(AMOUNTS, AMOUNTS),
    bills=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    ended=st.tuples(st.booleans(), st.booleans()),
    frozen=st.tuples(st.booleans(), st.booleans()),
)
async def test_settling_again_is_what_a_plain_model_says(
    money: tuple[int, int],
    limits: tuple[int, int],
    bills: tuple[int, int],
    ended: tuple[bool, bool],
    frozen: tuple[bool, bool],
) -> None:
    """Model: each payer of A gives up to limit and money, an unfit one up to what that one gave."""
    family = Family()
    for place, name in enumerate(("father", "mother")):
        family.memory.accounts[name] = account(name, money[place])
    relations = (family.father_to_child, family.mother_to_child)
    for relation, limit_fen in zip(relations, limits, strict=True):
        relation.limit_fen = limit_fen
    first = await family.first(bills[0])
    gave = {line.payer_psn_no: line.amount_fen for line in (first.split.lines if first.split else ())}
    for place, (relation, name) in enumerate(zip(relations, ("father", "mother"), strict=True)):
        relation.reason = "RELATION_ENDED" if ended[place] else None
        if frozen[place]:
            family.freeze(name)

    again = paid(await family.again(2, bills[1]))

    left, expected = bills[1], []
    for place, name in enumerate(("father", "mother")):
        most = min(left, limits[place], money[place])
        if ended[place] or frozen[place]:
            most = min(most, gave.get(name, 0))
        if most:
            expected.append((name, most, money[place] - most))
        left -= most
    assert lines(again) == expected
    assert again.split is not None
    assert again.split.psn_cash_pay_fen == left
    assert sum(row.amount_fen for row in family.memory.entries) == 0
    for place, name in enumerate(("father", "mother")):
        rows = [
            row for row in family.memory.entries if (row.account_kind, row.account_key) == (AccountKind.PERSONAL, name)
        ]
        assert money[place] + sum(row.amount_fen for row in rows) == family.memory.accounts[name].balance_fen
    back = paid(await family.world.reverse(9, of=2))
    assert back.state is SettlementState.REVERSED
    assert family.balances == money


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=2, max_size=2), AMOUNTS, AMOUNTS)
async def test_a_batch_of_settling_again_gives_what_one_by_one_gives(
    bills: list[tuple[int, int]], money_fen: int, limit_fen: int
) -> None:
    async def play(*, together: bool) -> tuple[list[object], int]:
        family = Family(money_fen=money_fen)
        family.world.binding.relations[:] = [FakeRelation("father", psn_no, limit_fen) for psn_no in ("child", "baby")]
        for number, (psn_no, (amount_fen, _)) in enumerate(zip(("child", "baby"), bills, strict=True), start=1):
            await family.world.settle(settle(number, bill(psn_no, amount_fen)))
        commands = [
            resettle(number + 10, number, bill(psn_no, amount_fen))
            for number, (psn_no, (_, amount_fen)) in enumerate(zip(("child", "baby"), bills, strict=True), start=1)
        ]
        batches = [commands] if together else [[command] for command in commands]
        answers = [answer for batch in batches for answer in await family.world.settle(*batch)]
        return [lines(paid(answer)) for answer in answers], family.father.balance_fen

    assert await play(together=True) == await play(together=False)
