"""Paying premiums (R7, R10) on memory with a fake binding: who may pay when, all or nothing, once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gongji.settlement.events.v1 import account_events_pb2, premium_events_pb2, settlement_events_pb2
from kit.failpoints import Boundary
from kit.testing import MemoryWork
from settlement.domain.accounts import AccountState
from settlement.domain.allocate import Grant
from settlement.domain.ledger import AccountKind, EntryKind
from settlement.domain.premiums import Terms, of_payer, premium_order
from settlement.domain.reasons import SettlementRefusedError
from settlement.domain.state import Premium, SettlementState
from settlement.domain.visit import InsuranceStatus, InsuranceType, PersonFacts
from settlement.memory import MemorySettlements
from settlement.premium_memory import MemoryPremiums
from settlement.premium_repository import InsuredYear
from settlement.testing import TEN_O_CLOCK, FakeRelation, World, account, bill, settle
from settlement.testing_failpoints import Crash, Dying
from settlement.testing_premiums import TERMS, Family, resident, shanghai


async def test_a_premium_moves_from_the_payers_account_to_the_account_of_its_year() -> None:
    family = Family()
    paid = await family.pay()
    assert paid.state is SettlementState.SETTLED
    assert family.father.balance_fen == 60_000
    personal, premium = family.memory.entries
    assert (personal.account_key, personal.amount_fen, personal.balance_after_fen) == ("father", -40_000, 60_000)
    assert (premium.account_kind, premium.account_key, premium.amount_fen) == (AccountKind.PREMIUM, "2026", 40_000)
    assert personal.occasion.kind is EntryKind.PREMIUM
    assert personal.occasion.patient_psn_no == "child"
    assert personal.occasion.fixmedins_code is None


async def test_binding_and_the_payer_are_told() -> None:
    family = Family()
    paid = await family.pay()
    told, debited = family.memory.outbox.messages
    assert isinstance(told, premium_events_pb2.PremiumPaid)
    assert told.settlement.setl_id == str(paid.settlement_id)
    assert (told.settlement.psn_no, told.settlement.use_mutual_aid) == ("child", True)
    (line,) = told.settlement.lines
    assert (line.payer_psn_no, line.amount_fen, line.relation_id) == ("father", 40_000, str(family.father_to_child.id))
    assert (told.year, told.payer_psn_no, told.amount_fen) == (2026, "father", 40_000)
    assert isinstance(debited, account_events_pb2.AccountDebited)
    assert (debited.premium_year, debited.fixmedins_code, debited.patient_psn_no) == (2026, "", "child")
    assert (debited.sequence, debited.balance_after_fen) == (2, 60_000)


async def test_the_one_payer_is_asked_and_nobody_else() -> None:
    family = Family()
    await family.pay("mother")
    asked = [ask.payer_psn_no for asks in family.world.binding.asked for ask in asks]
    assert asked == ["mother", "mother"]
    assert family.father.balance_fen == 100_000
    assert list(family.world.binding.holds.values()) == [{family.mother_to_child.id: 40_000}]


def test_what_other_payers_are_granted_is_not_taken_for_a_premium() -> None:
    order = premium_order("one", "child", Premium(2026, "father"))
    grants = [Grant(payer, UUID(int=7), 40_000) for payer in ("mother", "father", "aunt")]
    assert of_payer(order, grants) == (grants[1],)
    assert of_payer(order, grants[:1]) == ()
    assert of_payer(settle(1).order, grants) == tuple(grants)


async def test_the_same_request_again_is_answered_from_the_record_whatever_has_changed() -> None:
    family = Family()
    first = await family.pay(payment_id="one")
    family.world.clock.advance(timedelta(days=400))
    family.memory.persons["child"] = PersonFacts(died_on=date(2025, 8, 1))
    family.memory.premiums.stated.append((replace(TERMS, amount_fen=1), "operator", TEN_O_CLOCK))
    family.world.binding.down = True
    assert await family.pay(payment_id="one") == first
    assert family.father.balance_fen == 60_000


@pytest.mark.parametrize("other", [{"insured": "sister"}, {"year": 2027}, {"payer": "mother"}, {"expected_fen": 1}])
async def test_another_body_under_a_payment_id_is_refused(other: dict[str, Any]) -> None:
    family = Family()
    await family.pay(payment_id="one")
    assert await family.refused(payment_id="one", **other) == "MSGID_REUSED"


async def test_it_is_paid_once_a_person_and_year_whoever_pays() -> None:
    family = Family()
    await family.pay("father")
    assert await family.refused("father") == "PREMIUM_ALREADY_PAID"
    assert await family.refused("mother") == "PREMIUM_ALREADY_PAID"
    family.memory.premiums.stated.append((replace(TERMS, year=2027), "operator", TEN_O_CLOCK))
    assert (await family.pay("mother", year=2027)).state is SettlementState.SETTLED
    assert len(family.memory.settlements) == 2, "refusals leave no trace"


class Overtaken(MemoryPremiums):
    """Somebody else's process pays just before this one looks who has paid, or what the premium is."""

    def __init__(self, beside: MemorySettlements, before: str) -> None:
        super().__init__(beside)
        self._before = before
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def terms(self, years: Iterable[int]) -> dict[int, Terms]:
        """See `PremiumRepository.terms`."""
        await self._overtake("terms")
        return await super().terms(years)

    async def paid(self, asked: Iterable[InsuredYear]) -> set[InsuredYear]:
        """See `PremiumRepository.paid`."""
        await self._overtake("paid")
        return await super().paid(asked)

    async def _overtake(self, before: str) -> None:
        if self.meanwhile and before == self._before:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()


@pytest.mark.parametrize("before", ["paid", "terms"])
@pytest.mark.parametrize(("payer", "payment_id"), [("father", "one"), ("mother", "another")])
async def test_who_is_overtaken_by_another_process_hears_of_its_own_payment_or_of_the_others(
    payer: str, payment_id: str, before: str
) -> None:
    family = Family()
    overtaken = Overtaken(family.memory, before)
    overtaken.stated = family.memory.premiums.stated
    family.memory.premiums = overtaken
    other = World(MemoryWork(family.memory), family.father_to_child, family.mother_to_child).pipeline.premiums
    premium = Premium(2026, payer)
    overtaken.meanwhile = lambda: other.pay(premium_order(payment_id, "child", premium), premium)
    if payer == "father":
        assert (await family.pay("father", "one")).state is SettlementState.SETTLED
    else:
        assert await family.refused("father", "one") == "PREMIUM_ALREADY_PAID"
    assert sum(each.balance_fen for each in family.memory.accounts.values()) == 160_000


async def test_of_two_payers_at_once_one_pays() -> None:
    family = Family()
    answers = await asyncio.gather(family.pay("father"), family.pay("mother"), return_exceptions=True)
    assert sorted(getattr(answer, "reason", None) or answer.state for answer in answers) == [  # type: ignore[union-attr]
        "PREMIUM_ALREADY_PAID",
        "SETTLED",
    ]
    assert sum(each.balance_fen for each in family.memory.accounts.values()) == 160_000


@pytest.mark.parametrize(
    ("balance_fen", "held_fen", "limit_fen", "state", "relation_reason", "expected"),
    [
        (39_999, 0, 500_000, AccountState.OPEN, None, "INSUFFICIENT_BALANCE"),
        (40_000, 1, 500_000, AccountState.OPEN, None, "INSUFFICIENT_BALANCE"),
        (100_000, 0, 39_999, AccountState.OPEN, None, "LIMIT_REACHED"),
        (100_000, 0, 500_000, AccountState.FROZEN, None, "ACCOUNT_FROZEN"),
        (100_000, 0, 500_000, AccountState.CLOSED, None, "ACCOUNT_CLOSED"),
        (100_000, 0, 500_000, AccountState.OPEN, "RELATION_ENDED", "RELATION_ENDED"),
        (100_000, 0, 500_000, AccountState.OPEN, "PAYER_ARREARS", "PAYER_ARREARS"),
    ],
)
async def test_a_payer_who_cannot_pay_all_of_it_pays_nothing(
    *, balance_fen: int, held_fen: int, limit_fen: int, state: AccountState, relation_reason: str | None, expected: str
) -> None:
    family = Family(limit_fen=limit_fen)
    family.memory.accounts["father"] = account("father", balance_fen, state, held_fen=held_fen)
    family.father_to_child.reason = relation_reason
    assert await family.refused(payment_id="one") == expected
    assert family.father == account("father", balance_fen, state, held_fen=held_fen)
    assert family.memory.entries == []
    (refused,) = family.memory.settlements.values()
    assert (refused.state, refused.reason) == (SettlementState.REFUSED, expected)
    (released,) = family.memory.outbox.messages
    assert isinstance(released, settlement_events_pb2.HoldsReleased)
    assert released.settlement.use_mutual_aid


async def test_what_could_not_be_paid_stays_refused_under_its_id_and_is_paid_under_another() -> None:
    family = Family(money_fen=39_999)
    assert await family.refused(payment_id="one") == "INSUFFICIENT_BALANCE"
    family.memory.accounts["father"] = account("father", 90_000)
    assert await family.refused(payment_id="one") == "INSUFFICIENT_BALANCE"
    assert (await family.pay(payment_id="two")).state is SettlementState.SETTLED


async def test_a_limit_is_told_with_its_window_again_and_again() -> None:
    family = Family(limit_fen=39_999)
    for _ in range(2):
        with pytest.raises(SettlementRefusedError) as caught:
            await family.pay(payment_id="one")
        assert caught.value.metadata["window"] == "TOTAL"


async def test_just_enough_is_enough() -> None:
    family = Family(money_fen=40_000, limit_fen=40_000)
    await family.pay()
    assert family.father.balance_fen == 0


@pytest.mark.parametrize(
    ("insured", "expected"),
    [
        (None, "NOT_INSURED"),
        (PersonFacts(), "NOT_INSURED"),
        (resident(insutype=InsuranceType.EMPLOYEE), "NOT_INSURED"),
        (resident(status=InsuranceStatus.SUSPENDED), "NOT_INSURED"),
        (resident(valid_from=date(2025, 6, 11)), "NOT_INSURED"),
        (resident(valid_to=date(2025, 6, 9)), "NOT_INSURED"),
        (replace(resident(), died_on=date(2025, 6, 1)), "DECEASED"),
    ],
)
async def test_the_insured_lives_and_is_normally_insured_under_390(insured: PersonFacts | None, expected: str) -> None:
    family = Family()
    if insured is None:
        del family.memory.persons["child"]
    else:
        family.memory.persons["child"] = insured
    assert await family.refused() == expected
    assert family.memory.settlements == {}


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        (shanghai(2025, 5, 31, 23, 59, 59), False),
        (shanghai(2025, 6, 1), True),
        (shanghai(2025, 9, 30, 23, 59, 59), True),
        (shanghai(2025, 10, 1), False),
    ],
)
async def test_it_is_collected_from_the_first_to_the_last_day_in_shanghai(at: datetime, *, is_open: bool) -> None:
    family = Family()
    family.world.clock.advance(at - TEN_O_CLOCK)
    if is_open:
        assert (await family.pay()).setl_time == at
    else:
        assert await family.refused() == "PREMIUM_CLOSED"
        assert family.memory.settlements == {}


async def test_a_year_of_which_nobody_has_said_what_it_costs_is_closed() -> None:
    assert await Family().refused(year=2027) == "PREMIUM_CLOSED"


async def test_another_amount_than_the_payer_was_shown_is_refused_without_a_trace() -> None:
    family = Family()
    assert await family.refused(expected_fen=39_999) == "AMOUNT_CHANGED"
    assert family.memory.settlements == {}
    assert (await family.pay(expected_fen=40_000)).state is SettlementState.SETTLED


async def test_a_stranger_learns_nothing_about_a_person() -> None:
    family = Family()
    alive = await family.refused("stranger")
    family.memory.persons["child"] = replace(resident(), died_on=date(2025, 6, 1))
    dead = await family.refused("stranger")
    unknown = await family.refused("stranger", insured="nobody")
    assert (alive, dead, unknown) == ("NO_RELATION",) * 3
    assert family.memory.settlements == {}


async def test_nothing_is_written_while_the_relation_cannot_be_looked_up() -> None:
    family = Family()
    family.world.binding.down = True
    with pytest.raises(Exception, match="down") as caught:
        await family.pay()
    assert getattr(caught.value, "reason", None) == "UNAVAILABLE"
    family.world.binding.down = False
    family.world.binding.refuse["child"] = "INTERNAL"
    assert await family.refused() == "UNAVAILABLE"
    assert family.memory.settlements == {}


async def test_what_binding_does_not_answer_is_given_up_and_paid_under_another_id() -> None:
    family = Family()
    family.world.binding.lose_replies = 1
    assert await family.refused(payment_id="one") == "ABANDONED"
    assert family.told == ["HoldsReleased"]
    assert (await family.pay(payment_id="two")).state is SettlementState.SETTLED
    assert family.father.balance_fen == 60_000


@pytest.mark.parametrize("boundary", [Boundary.AFTER_INTENT, Boundary.AFTER_AUTHORIZE])
async def test_what_a_crash_leaves_is_swept_and_nothing_is_paid_twice(boundary: Boundary) -> None:
    family = Family(failpoints=Dying(boundary))
    with pytest.raises(Crash):
        await family.pay(payment_id="one")
    assert await family.refused(payment_id="one") == "IN_PROGRESS"
    assert await family.refused("mother") == "IN_PROGRESS"
    assert await family.world.sweep() == 1
    assert family.told == ["HoldsReleased"]
    assert await family.refused(payment_id="one") == "ABANDONED"
    assert (await family.pay("mother")).state is SettlementState.SETTLED
    assert (family.father.balance_fen, family.memory.accounts["mother"].balance_fen) == (100_000, 60_000)


async def test_after_a_crash_with_the_money_moved_the_answer_is_the_payment() -> None:
    family = Family(failpoints=Dying(Boundary.AFTER_COMMIT))
    with pytest.raises(Crash):
        await family.pay(payment_id="one")
    assert (await family.pay(payment_id="one")).state is SettlementState.SETTLED
    assert family.father.balance_fen == 60_000


Step = tuple[str, str, str, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["pay", "pay", "refund", "bill"]),
        st.sampled_from(["father", "mother"]),
        st.sampled_from(["child", "baby"]),
        st.integers(1, 60_000),
    ),
    max_size=14,
)


class Ledger:
    """What must come of it, by the rules alone."""

    def __init__(self, money_fen: int, limit_fen: int) -> None:
        self.money = dict.fromkeys(("father", "mother"), money_fen)
        self.left = {(payer, insured): limit_fen for payer in self.money for insured in ("child", "baby")}
        self.paid: dict[str, str] = {}

    def pay(self, payer: str, insured: str) -> str:
        if insured in self.paid:
            return "PREMIUM_ALREADY_PAID"
        left = self.left[payer, insured]
        if min(left, self.money[payer]) < TERMS.amount_fen:
            return "INSUFFICIENT_BALANCE" if self.money[payer] < min(left, TERMS.amount_fen) else "LIMIT_REACHED"
        self.move(payer, insured, TERMS.amount_fen)
        self.paid[insured] = payer
        return "SETTLED"

    def refund(self, insured: str) -> None:
        payer = self.paid.pop(insured)
        self.move(payer, insured, -TERMS.amount_fen)

    def settle(self, insured: str, amount_fen: int) -> None:
        for payer in self.money:
            given = min(amount_fen, self.money[payer], self.left[payer, insured])
            self.move(payer, insured, given)
            amount_fen -= given

    def move(self, payer: str, insured: str, amount_fen: int) -> None:
        self.money[payer] -= amount_fen
        self.left[payer, insured] -= amount_fen


@settings(max_examples=60, deadline=None)
@given(steps, st.integers(0, 200_000), st.integers(0, 120_000))
def test_money_and_limits_are_those_of_the_rules(chosen: list[Step], money_fen: int, limit_fen: int) -> None:
    asyncio.run(_play(chosen, money_fen, limit_fen))


async def _play(chosen: list[Step], money_fen: int, limit_fen: int) -> None:
    family, model = Family(money_fen=money_fen, limit_fen=limit_fen), Ledger(money_fen, limit_fen)
    family.memory.persons["baby"] = resident()
    family.world.binding.relations += [FakeRelation(payer, "baby", limit_fen) for payer in ("father", "mother")]
    ids: dict[str, UUID] = {}
    for number, (kind, payer, insured, amount_fen) in enumerate(chosen):
        if kind == "pay":
            try:
                paid = await family.pay(payer, insured=insured)
                ids[insured], came = paid.settlement_id, str(paid.state)
            except SettlementRefusedError as refusal:
                came = refusal.reason
            assert came == model.pay(payer, insured)
        elif kind == "refund" and insured in ids:
            await family.premiums.refund(ids.pop(insured), None)
            model.refund(insured)
        elif kind == "bill":
            await family.world.settle(settle(number, bill(insured, amount_fen)))
            model.settle(insured, amount_fen)
        assert {name: each.balance_fen for name, each in family.memory.accounts.items()} == model.money
    assert sum(each.amount_fen for each in family.memory.entries) == 0
    versions = [(row.account_key, row.version) for row in family.memory.entries if row.version is not None]
    assert len(versions) == len(set(versions))
