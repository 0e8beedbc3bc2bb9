"""What the state machines of `tests/model` share: a family, both services, the model, and what is always true."""

import asyncio
from collections.abc import Coroutine
from datetime import date, timedelta
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from settlement.commands import Command
from settlement.domain.accounts import AccountRefusalError
from settlement.domain.allocate import PaymentOrder, Split
from settlement.domain.quotes import Quote
from settlement.domain.reasons import SettlementRefusedError
from settlement.domain.state import Settlement
from settlement.testing import HOSPITAL, QUOTES_LAST, bill, hold, settle
from support.both_services import BY_ORDER, BothServices
from support.ledger_model import WINDOWS, Account, Bill, Ledger, Relation, Terms

PAYERS = ("father", "mother")
PATIENTS = ("child", "baby", "mother")
PAIRS = (("father", "child"), ("mother", "child"), ("father", "baby"), ("mother", "baby"), ("father", "mother"))
INSURED = ("child", "baby", "mother", "sister")
"""Mother is an employee and has no premium; sister has nobody who may pay."""
YEARS = st.sampled_from([2025, 2026])
AMOUNTS = st.integers(1, 300)
LIMITS = st.dictionaries(st.sampled_from(WINDOWS), st.integers(0, 400), min_size=1, max_size=3)
FLAGS = st.tuples(st.booleans(), st.sampled_from([True, True, True, False]))

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """In a loop of its own: nothing here outlives one step."""
    return asyncio.run(work)


class FamilyMachine(RuleBasedStateMachine):
    """One family, both services, one model."""

    settled = Bundle("settled")
    held = Bundle("held")

    @initialize(
        money=st.tuples(st.integers(0, 600), st.integers(0, 600)),
        limits=st.lists(LIMITS, min_size=len(PAIRS), max_size=len(PAIRS)),
        premiums=st.tuples(AMOUNTS, AMOUNTS),
        order=st.sampled_from(PaymentOrder),
    )
    def begin(
        self, money: tuple[int, int], limits: list[dict[str, int]], premiums: tuple[int, int], order: PaymentOrder
    ) -> None:
        self.model = Ledger(str(order))
        self.services = BothServices(PAYERS, PATIENTS, order)
        self.model.residents = {"child", "baby", "sister"}
        self.services.insure_as_resident("child", "baby", "sister")
        self.world = self.services.world
        self.number = 0
        self.relation_ids: list[Any] = []
        for psn_no, fen in zip(PAYERS, money, strict=True):
            self.model.accounts[psn_no] = Account(fen)
            self.services.open_account(psn_no, fen)
        for year, amount in zip((2025, 2026), premiums, strict=True):
            self.state(year, Terms(amount, date(2025, 6, 2), date(2025, 6, 10) if year == 2025 else date(2025, 7, 1)))
        for priority, ((payer, patient), of) in enumerate(zip(PAIRS, limits, strict=True), start=1):
            valid_to = date(2025, 6, 12) if payer == "mother" else date(2026, 12, 31)
            self.model.relations.append(Relation(payer, patient, of, valid_to))
            self.relation_ids.append(run(self.services.relate(payer, patient, priority, of, valid_to)))

    @rule(target=settled, patient=st.sampled_from(PATIENTS), amount=AMOUNTS, flags=FLAGS)
    def settle(self, patient: str, amount: int, flags: tuple[bool, bool]) -> tuple[Bill, Command]:
        self.expire()
        command = settle(self.next_number(), bill(patient, amount), acct_used_flag=flags[0], use_mutual_aid=flags[1])
        expected = self.model.settle(self.expected(patient, amount, flags))
        self.agrees(run(self.world.settle(command))[0], expected)
        return expected, command

    @rule(one=settled)
    def reverse(self, one: tuple[Bill, Command]) -> None:
        expected, command = one
        answer = run(self.world.reverse(self.next_number(), of=int(command.order.msgid[-4:])))
        assert isinstance(answer, Settlement), answer
        if expected.state == "SETTLED":
            self.model.reverse(expected)
        assert [(each.psn_no, each.amount_fen) for each in answer.refunds] == list(expected.payments())

    @rule(target=held, patient=st.sampled_from(PATIENTS), amount=AMOUNTS, flags=FLAGS)
    def hold(self, patient: str, amount: int, flags: tuple[bool, bool]) -> tuple[Bill, Quote]:
        self.expire()
        command = hold(self.next_number(), bill(patient, amount), acct_used_flag=flags[0], use_mutual_aid=flags[1])
        expected = self.model.hold(self.expected(patient, amount, flags))
        (answer,) = run(self.world.hold(command))
        assert isinstance(answer, Quote), answer
        assert told(answer.split) == expected_of(expected)
        return expected, answer

    @rule(one=held)
    def cancel(self, one: tuple[Bill, Quote]) -> None:
        expected, quote = one
        run(self.world.quotes.cancel(HOSPITAL, quote.quote_id))
        if expected.state == "HELD":
            self.model.cancel(expected)

    @rule(which=st.integers(0, len(PAIRS) - 1), limits=LIMITS)
    def change_limits(self, which: int, limits: dict[str, int]) -> None:
        self.model.relations[which].limits = limits
        self.services.change(self.relation_ids[which], limits=limits)

    @rule(which=st.integers(0, len(PAIRS) - 1), state=st.sampled_from(["ENDED", "SUSPENDED", "ACTIVE"]))
    def change_state(self, which: int, state: str) -> None:
        if self.model.relations[which].state != "ENDED":
            self.model.relations[which].state = state
            self.services.change(self.relation_ids[which], state=state)

    @rule(psn_no=st.sampled_from(PAYERS))
    def freeze_or_release(self, psn_no: str) -> None:
        account = self.model.accounts[psn_no]
        freezes = account.state == "OPEN"
        act = self.services.accounts.freeze if freezes else self.services.accounts.unfreeze
        refused = refusal_of(act(psn_no, BY_ORDER))
        assert refused == ("STATE_FORBIDS" if account.state == "CLOSED" else "")
        if not refused:
            account.state = "FROZEN" if freezes else "OPEN"

    @rule(psn_no=st.sampled_from(PAYERS), amount=AMOUNTS)
    def contribute(self, psn_no: str, amount: int) -> None:
        account = self.model.accounts[psn_no]
        refused = refusal_of(self.services.contribute(psn_no, amount))
        assert refused == ("ACCOUNT_CLOSED" if account.state == "CLOSED" else "")
        account.balance += 0 if refused else amount

    @precondition(lambda self: self.number % 7 == 6)
    @rule(psn_no=st.sampled_from(PAYERS))
    def close_account(self, psn_no: str) -> None:
        self.sweep()
        assert refusal_of(self.services.close(psn_no)) == self.model.close(psn_no)

    @rule(psn_no=st.sampled_from(PAYERS))
    def fall_into_arrears_or_catch_up(self, psn_no: str) -> None:
        account = self.model.accounts[psn_no]
        account.arrears = not account.arrears
        self.services.owes_contributions(psn_no, arrears=account.arrears)

    @rule(minutes=st.sampled_from([1, 5, 11, 60, 24 * 60, 20 * 24 * 60, 200 * 24 * 60]))
    def wait(self, minutes: int) -> None:
        self.world.clock.advance(timedelta(minutes=minutes))

    @precondition(lambda self: self.number % 3 == 0)
    @rule()
    def sweep(self) -> None:
        assert run(self.world.sweep()) == 0
        self.expire()

    @invariant()
    def balances_and_holds_are_those_of_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        for psn_no, expected in self.model.accounts.items():
            found = self.services.settlements.accounts[psn_no]
            assert found.balance_fen == expected.balance >= 0
            assert found.state == expected.state
            if not any(self.is_over(quote) for quote in self._held_quotes()):
                assert found.held_fen == expected.held

    @invariant()
    def entries_sum_to_zero_and_leave_no_version_out(self) -> None:
        if not hasattr(self, "model"):
            return
        rows = self.services.settlements.entries
        assert sum(row.amount_fen for row in rows) == 0
        for psn_no in PAYERS:
            versions = self.services.versions(psn_no)
            assert versions == list(range(2, 2 + len(versions)))

    @invariant()
    def what_waits_on_a_closed_account_is_its_balance(self) -> None:
        for psn_no, account in self.model.accounts.items() if hasattr(self, "model") else ():
            waiting = [
                each.amount_fen
                for each in self.services.settlements.closed_refunds
                if each.psn_no == psn_no and each.payout_id is None
            ]
            assert sum(waiting) == (account.balance if account.state == "CLOSED" else 0)

    def state(self, year: int, terms: Terms) -> None:
        self.model.terms[year] = terms
        run(self.services.state_premium(year, terms.amount, terms.collect_from, terms.collect_to))

    def next_number(self) -> int:
        self.number += 1
        return self.number

    def expected(self, patient: str, amount: int, flags: tuple[bool, bool]) -> Bill:
        return Bill(patient, amount, self.world.clock.now(), own=flags[0], aid=flags[1])

    def _held_quotes(self) -> list[Quote]:
        return [each for each in self.services.settlements.quotes.quotes.values() if each.ended_at is None]

    def is_over(self, quote: Quote) -> bool:
        return self.world.clock.now() >= quote.expires_at

    def expire(self) -> None:
        """Every request first frees what previews kept beyond their time."""
        for one in self.model.bills:
            if one.state == "HELD" and self.world.clock.now() >= one.at + QUOTES_LAST:
                self.model.cancel(one)

    def agrees(self, answer: Settlement | Exception, expected: Bill) -> None:
        assert isinstance(answer, Settlement), repr(answer)
        assert answer.split is not None
        assert told(answer.split) == expected_of(expected)


def refusal_of(work: Coroutine[Any, Any, object]) -> str:
    """Why something is refused; empty if it is not."""
    return refusal_with_window(work)[0]


def refusal_with_window(work: Coroutine[Any, Any, object]) -> tuple[str, str]:
    try:
        run(work)
    except (SettlementRefusedError, AccountRefusalError) as refused:
        return str(refused.reason), refused.metadata.get("window", "").lower()
    return "", ""


def told(split: Split) -> tuple[object, ...]:
    lines = [(line.payer_psn_no, line.amount_fen) for line in split.lines]
    declines = [(each.payer_psn_no, str(each.reason), (each.window or "").lower()) for each in split.declines]
    return split.acct_pay_fen, lines, split.psn_cash_pay_fen, declines


def expected_of(expected: Bill) -> tuple[object, ...]:
    return expected.acct_pay, expected.lines, expected.cash, expected.declines
