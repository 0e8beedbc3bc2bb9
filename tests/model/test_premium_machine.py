"""Premiums among whatever else a family does: stated, collected, paid whole and once, given back before the year."""

from collections.abc import Coroutine
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, multiple, rule
from support.family_machine import (
    AMOUNTS,
    INSURED,
    PAYERS,
    YEARS,
    FamilyMachine,
    refusal_of,
    refusal_with_window,
    run,
)
from support.ledger_model import Bill, Terms

from settlement.domain.state import Settlement


class PremiumMachine(FamilyMachine):
    """Premiums, and bills that share accounts and limits with them."""

    premiums = Bundle("premiums")

    @rule(year=YEARS, amount=AMOUNTS, first=st.integers(0, 30), days=st.integers(0, 40))
    def state_premium(self, year: int, amount: int, first: int, days: int) -> None:
        opens = date(2025, 6, 1) + timedelta(days=first)
        self.state(year, Terms(amount, opens, opens + timedelta(days=days)))

    @rule(target=premiums, payer=st.sampled_from(PAYERS), insured=st.sampled_from(INSURED), year=YEARS)
    def pay_premium(self, payer: str, insured: str, year: int) -> Any:
        if payer == insured:
            return multiple()
        self.expire()
        refusal = self.model.premium_refusal(payer, insured, year, self.world.clock.now())
        payment_id = uuid4()
        pay = self.services.pay_premium(payment_id, payer, insured, year)
        if refusal:
            assert refusal_of(pay) == refusal
            return multiple()
        expected = self.model.settle(self.model.premium(payer, insured, year, self.world.clock.now()))
        self._agrees_on_premium(pay, expected)
        return expected, payment_id, payer

    @rule(one=premiums)
    def pay_the_same_premium_again(self, one: tuple[Bill, UUID, str]) -> None:
        expected, payment_id, payer = one
        before = len(self.services.settlements.entries)
        self._agrees_on_premium(
            self.services.pay_premium(payment_id, payer, expected.patient, expected.premium_year), expected
        )
        assert len(self.services.settlements.entries) == before

    @rule(one=premiums)
    def refund_premium(self, one: tuple[Bill, UUID, str]) -> None:
        expected, payment_id, payer = one
        premium_id = run(self.world.pipeline.premiums.by_payment_id(payment_id, payer)).settlement_id
        refund = self.services.refund_premium(premium_id, payer)
        refusal = self.model.refund_refusal(expected, self.world.clock.now())
        if refusal:
            assert refusal_of(refund) == refusal
            return
        answer = run(refund)
        if expected.state == "SETTLED":
            self.model.reverse(expected)
        assert [(each.psn_no, each.amount_fen) for each in answer.refunds] == expected.lines

    def _agrees_on_premium(self, paying: Coroutine[Any, Any, Settlement], expected: Bill) -> None:
        if expected.state == "REFUSED":
            ((_, reason, window),) = expected.declines
            assert refusal_with_window(paying) == (reason, window)
            return
        answer = run(paying)
        assert answer.state == expected.state
        self.agrees(answer, expected)


TestPremiums = PremiumMachine.TestCase
TestPremiums.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
