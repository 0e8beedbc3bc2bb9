"""Premiums that were paid, on memory with a fake binding: who sees them, and who gets them back, and until when."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from gongji.settlement.events.v1 import account_events_pb2, premium_events_pb2
from kit.errors import Refusal
from kit.failpoints import Boundary
from settlement.domain.accounts import AccountState
from settlement.domain.ledger import EntryKind
from settlement.domain.reasons import SettlementRefusedError
from settlement.domain.state import Settlement, SettlementState
from settlement.testing import TEN_O_CLOCK, bill, settle
from settlement.testing_failpoints import Crash, Dying
from settlement.testing_premiums import Family, shanghai


async def test_a_refund_goes_back_to_the_account_that_paid_and_restores_the_limit() -> None:
    family = Family(limit_fen=40_000)
    paid = await family.pay()
    refunded = await family.premiums.refund(paid.settlement_id, "father")
    assert refunded.state is SettlementState.REVERSED
    assert family.father.balance_fen == 100_000
    told, refund = family.memory.outbox.messages[2:]
    assert isinstance(told, premium_events_pb2.PremiumRefunded)
    assert (told.year, told.payer_psn_no, told.amount_fen, len(told.settlement.lines)) == (2026, "father", 40_000, 1)
    assert isinstance(refund, account_events_pb2.AccountRefunded)
    assert (refund.premium_year, refund.fixmedins_code, refund.balance_after_fen) == (2026, "", 100_000)
    assert family.memory.entries[-1].occasion.kind is EntryKind.PREMIUM_REFUND
    assert sum(each.amount_fen for each in family.memory.entries) == 0
    again = await family.pay()
    assert again.state is SettlementState.SETTLED, "the limit of just one premium is free again, and so is the year"


async def test_refunding_again_repeats_the_answer() -> None:
    family = Family()
    paid = await family.pay()
    first = await family.premiums.refund(paid.settlement_id, "father")
    family.world.clock.advance(timedelta(days=400))
    assert await family.premiums.refund(paid.settlement_id, None) == first
    assert family.father.balance_fen == 100_000


@pytest.mark.parametrize(("at", "goes"), [(shanghai(2025, 12, 31, 23, 59, 59), True), (shanghai(2026, 1, 1), False)])
async def test_it_is_given_back_until_its_year_begins_in_shanghai(at: datetime, *, goes: bool) -> None:
    family = Family()
    paid = await family.pay()
    family.world.clock.advance(at - TEN_O_CLOCK)
    if goes:
        assert (await family.premiums.refund(paid.settlement_id, None)).reversed_at == at
        return
    with pytest.raises(SettlementRefusedError, match="year has begun") as caught:
        await family.premiums.refund(paid.settlement_id, None)
    assert caught.value.reason == "PREMIUM_CLOSED"
    assert family.father.balance_fen == 60_000


@pytest.mark.parametrize("state", [AccountState.FROZEN, AccountState.CLOSED])
async def test_it_is_given_back_whatever_has_become_of_relation_and_account(state: AccountState) -> None:
    family = Family()
    paid = await family.pay()
    family.father_to_child.reason = "RELATION_ENDED"
    family.memory.accounts["father"] = replace(family.father, state=state)
    await family.premiums.refund(paid.settlement_id, "father")
    assert (family.father.balance_fen, family.father.state) == (100_000, state)
    waiting = [(each.psn_no, each.settlement_id, each.amount_fen) for each in family.memory.closed_refunds]
    assert waiting == ([("father", paid.settlement_id, 40_000)] if state is AccountState.CLOSED else [])


@pytest.mark.parametrize("who", ["mother", "child", ""])
async def test_nobody_but_the_payer_or_an_operator_has_it_given_back(who: str) -> None:
    family = Family()
    paid = await family.pay()
    with pytest.raises(Refusal) as caught:
        await family.premiums.refund(paid.settlement_id, who)
    assert caught.value.reason == "FORBIDDEN"
    assert family.father.balance_fen == 60_000


async def test_what_took_nothing_and_what_is_no_premium_is_not_given_back() -> None:
    family = Family(money_fen=39_999)
    assert await family.refused() == "INSUFFICIENT_BALANCE"
    (refused,) = family.memory.settlements
    (settled,) = await family.world.settle(settle(1, bill("child", 100)))
    assert isinstance(settled, Settlement)
    for premium_id in (refused, settled.settlement_id, UUID(int=9)):
        with pytest.raises(SettlementRefusedError) as caught:
            await family.premiums.refund(premium_id, None)
        assert caught.value.reason == "NOT_FOUND"
    assert family.father.balance_fen == 39_899


async def test_one_that_is_being_paid_is_not_given_back() -> None:
    family = Family(failpoints=Dying(Boundary.AFTER_AUTHORIZE))
    with pytest.raises(Crash):
        await family.pay()
    (pending,) = family.memory.settlements
    with pytest.raises(SettlementRefusedError) as caught:
        await family.premiums.refund(pending, "father")
    assert caught.value.reason == "IN_PROGRESS"


# asking


async def test_a_payment_is_shown_to_payer_insured_and_operators_only() -> None:
    family = Family()
    payment_id = uuid4()
    paid = await family.pay(payment_id=str(payment_id))
    for who in ("father", "child", None):
        assert await family.premiums.by_id(paid.settlement_id, who) == paid
        assert await family.premiums.by_payment_id(payment_id, who) == paid
    for stranger in ("mother", ""):
        with pytest.raises(Refusal, match="payer and the insured"):
            await family.premiums.by_id(paid.settlement_id, stranger)
    with pytest.raises(SettlementRefusedError) as caught:
        await family.premiums.by_payment_id(uuid4(), None)
    assert caught.value.reason == "NOT_FOUND"


async def test_a_premium_counts_in_the_limits_of_bills_at_once() -> None:
    family = Family(limit_fen=45_000)
    await family.pay()
    (settled,) = await family.world.settle(settle(1, bill("child", 9_000)))
    assert isinstance(settled, Settlement)
    assert settled.split is not None
    assert [(line.payer_psn_no, line.amount_fen) for line in settled.split.lines] == [
        ("father", 5_000),
        ("mother", 4_000),
    ]
