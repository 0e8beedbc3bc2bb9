"""Reversing, on memory: what comes back to whom, and what each msgid of a reversal is answered with."""

from typing import Any
from uuid import UUID

import pytest

from kit.failpoints import Boundary
from settlement.domain.accounts import AccountState
from settlement.domain.state import SettlementState
from settlement.reverse_service import ReverseCommand
from settlement.testing import HOSPITAL, Family, account, bill, msgid, paid, reason, settle
from settlement.testing_failpoints import Crash, Dying


async def test_reversing_gives_back_to_exactly_the_accounts_that_paid() -> None:
    family = Family()
    family.memory.accounts["child"] = account("child", 1000)
    settlement = await family.settle(1)
    reversal = paid(await family.world.reverse(90, of=1))
    assert reversal.state is SettlementState.REVERSED
    assert [(refund.psn_no, refund.amount_fen, refund.balance_after_fen) for refund in reversal.refunds] == [
        ("child", 1000, 1000),
        ("father", 8000, 50000),
    ]
    assert family.told[3:] == ["SettlementReversed", "AccountRefunded", "AccountRefunded"]
    assert sum(row.amount_fen for row in family.memory.entries) == 0
    assert reversal.split == settlement.split


async def test_reversing_again_repeats_the_answer_whoever_asks() -> None:
    family = Family()
    settlement = await family.settle(1)
    first = await family.world.reverse(90, of=1)
    assert await family.world.reverse(90, of=1) == first
    assert await family.world.reverse(91, of=1) == first
    assert await family.world.reverse(92, of=settlement.settlement_id) == first
    assert family.balance_fen == 50000
    assert len(family.memory.reversals) == 3


async def test_a_settle_after_its_reversal_is_answered_with_the_reversed_settlement() -> None:
    family = Family()
    await family.settle(1)
    await family.world.reverse(90, of=1)
    assert (await family.settle(1)).state is SettlementState.REVERSED


async def test_a_settle_that_comes_after_its_reversal_is_refused() -> None:
    family = Family()
    fence = paid(await family.world.reverse(90, of=1))
    assert (fence.state, fence.order, fence.refunds) == (SettlementState.ABANDONED, None, ())
    assert reason((await family.world.settle(settle(1)))[0]) == "ABANDONED"
    assert (await family.settle(2)).state is SettlementState.SETTLED
    assert family.told == ["SettlementCompleted", "AccountDebited"], "of what never came there is nothing to tell"


async def test_the_limit_is_free_again_after_a_reversal_without_any_event() -> None:
    family = Family(limit_fen=10000)
    await family.settle(1, 10000)
    await family.world.reverse(90, of=1)
    second = await family.settle(2, 7000)
    assert second.split is not None
    assert second.split.acct_mulaid_pay_fen == 7000


@pytest.mark.parametrize("state", [AccountState.FROZEN, AccountState.CLOSED])
async def test_a_refund_arrives_on_an_account_that_gives_nothing_any_more(state: AccountState) -> None:
    family = Family()
    await family.settle(1)
    frozen = family.memory.accounts["father"]
    family.memory.accounts["father"] = type(frozen)("father", state, frozen.balance_fen, 0, frozen.version)
    assert paid(await family.world.reverse(90, of=1)).state is SettlementState.REVERSED
    assert (family.balance_fen, family.memory.accounts["father"].state) == (50000, state)


async def test_a_refused_settlement_stays_refused_when_it_is_reversed() -> None:
    family = Family()
    await family.world.settle(settle(1, expected_acct_pay_fen=1))
    assert paid(await family.world.reverse(90, of=1)).state is SettlementState.REFUSED


async def test_a_reversals_msgid_is_bound_to_its_settlement() -> None:
    family = Family()
    await family.settle(1)
    await family.settle(2)
    await family.world.reverse(90, of=1)
    assert reason(await family.world.reverse(90, of=2)) == "MSGID_REUSED"
    assert reason(await family.world.reverse(2, of=1)) == "MSGID_REUSED"
    assert reason((await family.world.settle(settle(90)))[0]) == "MSGID_REUSED"


async def test_a_list_of_reversals_takes_each_as_it_finds_it() -> None:
    family = Family(failpoints=Dying(Boundary.AFTER_INTENT))
    with pytest.raises(Crash):
        await family.world.settle(settle(1, bill("baby", 100)))
    settlement = await family.settle(2)
    asked: list[Any] = [msgid(1), msgid(2), msgid(3), settlement.settlement_id, msgid(2)]
    commands = [ReverseCommand(HOSPITAL, msgid(90 + place), each) for place, each in enumerate(asked)]
    another_body = ReverseCommand(HOSPITAL, msgid(90), msgid(7))
    answers = await family.world.reversing.reverse([*commands, another_body])
    states = [paid(answer).state for answer in answers[:5]]
    gone, back = SettlementState.ABANDONED, SettlementState.REVERSED
    assert states == [gone, back, gone, back, back]
    assert reason(answers[5]) == "MSGID_REUSED"
    assert family.balance_fen == 50000
    assert family.told[2:] == ["HoldsReleased", "SettlementReversed", "AccountRefunded"]
    assert len(family.memory.reversals) == 5
    assert msgid(7) not in {each.msgid for each in family.memory.settlements.values()}, "a refusal fences nothing off"


async def test_a_reversal_by_an_unknown_setl_id_is_not_found() -> None:
    family = Family()
    await family.settle(1)
    unknown = UUID(int=1)
    assert reason(await family.world.reverse(90, of=unknown)) == "NOT_FOUND"
    assert not family.memory.reversals
