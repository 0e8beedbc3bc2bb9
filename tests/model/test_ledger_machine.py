"""Whatever families, hospitals and operators do, settlement and binding together give what the rules say.

A state machine over accounts from contributions to payout, relations, limits, arrears, settlements, reversals, settling
again, previews that hold and that do not, premiums, freezes and the clock. Both services run with their own domain,
codecs and services; the model is `support.ledger_model`.
"""

import asyncio
from collections.abc import Coroutine
from datetime import date, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule
from support.both_services import BY_ORDER, BothServices
from support.ledger_model import WINDOWS, Account, Bill, Ledger, Relation, Terms

from settlement.commands import Command
from settlement.domain.accounts import AccountRefusalError
from settlement.domain.allocate import Split
from settlement.domain.quotes import Quote
from settlement.domain.reasons import SettlementRefusedError
from settlement.domain.state import Settlement
from settlement.preview_service import Preview, PreviewCommand
from settlement.testing import HOSPITAL, QUOTES_LAST, bill, hold, resettle, settle

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


class LedgerMachine(RuleBasedStateMachine):
    """One family, both services, one model."""

    settled = Bundle("settled")
    held = Bundle("held")
    premiums = Bundle("premiums")

    @initialize(
        money=st.tuples(st.integers(0, 600), st.integers(0, 600)),
        limits=st.lists(LIMITS, min_size=len(PAIRS), max_size=len(PAIRS)),
    )
    def begin(self, money: tuple[int, int], limits: list[dict[str, int]]) -> None:
        self.model = Ledger()
        self.services = BothServices(PAYERS, PATIENTS)
        self.model.residents = {"child", "baby", "sister"}
        self.services.insure_as_resident("child", "baby", "sister")
        self.world = self.services.world
        self.number = 0
        self.relation_ids: list[Any] = []
        for psn_no, fen in zip(PAYERS, money, strict=True):
            self.model.accounts[psn_no] = Account(fen)
            self.services.open_account(psn_no, fen)
        for priority, ((payer, patient), of) in enumerate(zip(PAIRS, limits, strict=True), start=1):
            valid_to = date(2025, 6, 12) if payer == "mother" else date(2026, 12, 31)
            self.model.relations.append(Relation(payer, patient, of, valid_to))
            self.relation_ids.append(run(self.services.relate(payer, patient, priority, of, valid_to)))

    # a hospital's steps

    @rule(target=settled, patient=st.sampled_from(PATIENTS), amount=AMOUNTS, flags=FLAGS)
    def settle(self, patient: str, amount: int, flags: tuple[bool, bool]) -> tuple[Bill, Command]:
        self._expire()
        command = settle(self._next(), bill(patient, amount), acct_used_flag=flags[0], use_mutual_aid=flags[1])
        expected = self.model.settle(self._bill(patient, amount, flags))
        self._agrees(run(self.world.settle(command))[0], expected)
        return expected, command

    @rule(amounts=st.tuples(AMOUNTS, AMOUNTS, AMOUNTS), flags=FLAGS, holding=st.sampled_from([None, *PATIENTS]))
    def three_at_once(self, amounts: tuple[int, int, int], flags: tuple[bool, bool], holding: str | None) -> None:
        self._expire()
        commands, expected = [], []
        for patient, amount in zip(PATIENTS, amounts, strict=True):
            make, happens = (hold, self.model.hold) if patient == holding else (settle, self.model.settle)
            of = bill(patient, amount)
            commands.append(make(self._next(), of, acct_used_flag=flags[0], use_mutual_aid=flags[1]))
            expected.append(happens(self._bill(patient, amount, flags)))
        for answer, one in zip(run(self.world.hold(*commands)), expected, strict=True):
            assert isinstance(answer, Settlement | Quote), answer
            assert answer.split is not None
            assert _told(answer.split) == _expected(one)

    @rule(one=settled)
    def send_the_same_again(self, one: tuple[Bill, Command]) -> None:
        before = len(self.services.settlements.entries)
        answer = run(self.world.settle(one[1]))[0]
        assert isinstance(answer, Settlement)
        assert len(self.services.settlements.entries) == before

    @rule(one=settled)
    def reverse(self, one: tuple[Bill, Command]) -> None:
        expected, command = one
        answer = run(self.world.reverse(self._next(), of=int(command.order.msgid[-4:])))
        assert isinstance(answer, Settlement), answer
        if expected.state == "SETTLED":
            self.model.reverse(expected)
        assert [(each.psn_no, each.amount_fen) for each in answer.refunds] == list(expected.payments())

    @rule(target=settled, one=settled, amount=AMOUNTS, flags=FLAGS)
    def settle_again(self, one: tuple[Bill, Command], amount: int, flags: tuple[bool, bool]) -> Any:
        self._expire()
        first, before = one
        original = int(before.order.msgid[-4:])
        command = resettle(
            self._next(), original, bill(first.patient, amount), acct_used_flag=flags[0], use_mutual_aid=flags[1]
        )
        answer = run(self.world.settle(command))[0]
        if first.state != "SETTLED":
            assert getattr(answer, "reason", "") == "ALREADY_REVERSED"
            return multiple()
        expected = self.model.resettle(first, self._bill(first.patient, amount, flags))
        self._agrees(answer, expected)
        return expected, command

    @rule(
        target=settled, one=settled, state=st.sampled_from(["ENDED", "SUSPENDED"]), amount=AMOUNTS, freeze=st.booleans()
    )
    def settle_again_what_a_payer_would_not_pay_today(
        self, one: tuple[Bill, Command], state: str, amount: int, *, freeze: bool
    ) -> Any:
        if one[0].state != "SETTLED" or not one[0].lines:
            return multiple()
        payer = one[0].lines[0][0]
        self.change_state(PAIRS.index((payer, one[0].patient)), state)
        if freeze:
            self.freeze_or_release(payer)
        return self.settle_again(one, amount, (False, True))

    @rule(patient=st.sampled_from(PATIENTS), amount=AMOUNTS, flags=FLAGS)
    def preview(self, patient: str, amount: int, flags: tuple[bool, bool]) -> None:
        self._expire()
        presented = settle(self._next(), bill(patient, amount)).presented
        (answer,) = run(
            self.world.previewing.preview([PreviewCommand(presented, acct_used_flag=flags[0], use_mutual_aid=flags[1])])
        )
        assert isinstance(answer, Preview), answer
        assert _told(answer.split) == _expected(self.model.preview(self._bill(patient, amount, flags)))

    @rule(target=held, patient=st.sampled_from(PATIENTS), amount=AMOUNTS, flags=FLAGS)
    def hold(self, patient: str, amount: int, flags: tuple[bool, bool]) -> tuple[Bill, Quote]:
        self._expire()
        command = hold(self._next(), bill(patient, amount), acct_used_flag=flags[0], use_mutual_aid=flags[1])
        expected = self.model.hold(self._bill(patient, amount, flags))
        (answer,) = run(self.world.hold(command))
        assert isinstance(answer, Quote), answer
        assert _told(answer.split) == _expected(expected)
        return expected, answer

    @rule(one=held)
    def use(self, one: tuple[Bill, Quote]) -> None:
        expected, quote = one
        order = quote.order
        number = self._next()
        command = settle(
            number,
            order.bill,
            quote_id=quote.quote_id,
            acct_used_flag=order.acct_used_flag,
            use_mutual_aid=order.use_mutual_aid,
        )
        (answer,) = run(self.world.settle_quotes(command))
        if expected.state != "HELD" or self._is_over(quote):
            assert getattr(answer, "reason", "") in {"QUOTE_USED", "QUOTE_EXPIRED"}
            return
        self.model.use(expected)
        self.model.hear(expected)
        self._agrees(answer, expected)

    @rule(one=held)
    def cancel(self, one: tuple[Bill, Quote]) -> None:
        expected, quote = one
        run(self.world.quotes.cancel(HOSPITAL, quote.quote_id))
        if expected.state == "HELD":
            self.model.cancel(expected)

    # premiums

    @rule(year=YEARS, amount=AMOUNTS, first=st.integers(0, 30), days=st.integers(0, 40))
    def state_premium(self, year: int, amount: int, first: int, days: int) -> None:
        opens = date(2025, 6, 1) + timedelta(days=first)
        self.model.terms[year] = Terms(amount, opens, opens + timedelta(days=days))
        run(self.services.state_premium(year, amount, opens, opens + timedelta(days=days)))

    @rule(target=premiums, payer=st.sampled_from(PAYERS), insured=st.sampled_from(INSURED), year=YEARS)
    def pay_premium(self, payer: str, insured: str, year: int) -> Any:
        if payer == insured:
            return multiple()
        self._expire()
        refusal = self.model.premium_refusal(payer, insured, year, self.world.clock.now())
        payment_id = uuid4()
        pay = self.services.pay_premium(payment_id, payer, insured, year)
        if refusal:
            assert _refusal(pay) == refusal
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
            assert _refusal(refund) == refusal
            return
        answer = run(refund)
        if expected.state == "SETTLED":
            self.model.reverse(expected)
        assert [(each.psn_no, each.amount_fen) for each in answer.refunds] == expected.lines

    # families, operators and time

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
        refused = _refusal(act(psn_no, BY_ORDER))
        assert refused == ("STATE_FORBIDS" if account.state == "CLOSED" else "")
        if not refused:
            account.state = "FROZEN" if freezes else "OPEN"

    @rule(psn_no=st.sampled_from(PAYERS), amount=AMOUNTS)
    def contribute(self, psn_no: str, amount: int) -> None:
        account = self.model.accounts[psn_no]
        refused = _refusal(self.services.contribute(psn_no, amount))
        assert refused == ("ACCOUNT_CLOSED" if account.state == "CLOSED" else "")
        account.balance += 0 if refused else amount

    @precondition(lambda self: self.number % 7 == 6)
    @rule(psn_no=st.sampled_from(PAYERS))
    def close_account(self, psn_no: str) -> None:
        self.sweep()
        assert _refusal(self.services.close(psn_no)) == self.model.close(psn_no)

    @rule(psn_no=st.sampled_from(PAYERS))
    def pay_out_what_came_to_a_closed_account(self, psn_no: str) -> None:
        account = self.model.accounts[psn_no]
        paid = run(self.services.pay_out_refunds(psn_no))
        assert paid == (account.balance if account.state == "CLOSED" else 0)
        account.balance -= paid

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
        self._expire()

    # what is always true

    @invariant()
    def balances_and_holds_are_those_of_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        for psn_no, expected in self.model.accounts.items():
            found = self.services.settlements.accounts[psn_no]
            assert found.balance_fen == expected.balance >= 0
            assert found.state == expected.state
            if not any(self._is_over(quote) for quote in self._held_quotes()):
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

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _bill(self, patient: str, amount: int, flags: tuple[bool, bool]) -> Bill:
        return Bill(patient, amount, self.world.clock.now(), own=flags[0], aid=flags[1])

    def _held_quotes(self) -> list[Quote]:
        return [each for each in self.services.settlements.quotes.quotes.values() if each.ended_at is None]

    def _is_over(self, quote: Quote) -> bool:
        return self.world.clock.now() >= quote.expires_at

    def _expire(self) -> None:
        """Every request first frees what previews kept beyond their time."""
        for one in self.model.bills:
            if one.state == "HELD" and self.world.clock.now() >= one.at + QUOTES_LAST:
                self.model.cancel(one)

    def _agrees_on_premium(self, paying: Coroutine[Any, Any, Settlement], expected: Bill) -> None:
        if expected.state == "REFUSED":
            ((_, reason, window),) = expected.declines
            assert _refused_with_window(paying) == (reason, window)
            return
        answer = run(paying)
        assert answer.state == expected.state
        self._agrees(answer, expected)

    def _agrees(self, answer: Settlement | Exception, expected: Bill) -> None:
        assert isinstance(answer, Settlement), repr(answer)
        assert answer.split is not None
        assert _told(answer.split) == _expected(expected)


def _refusal(work: Coroutine[Any, Any, object]) -> str:
    """Why something is refused; empty if it is not."""
    return _refused_with_window(work)[0]


def _refused_with_window(work: Coroutine[Any, Any, object]) -> tuple[str, str]:
    try:
        run(work)
    except (SettlementRefusedError, AccountRefusalError) as refused:
        return str(refused.reason), refused.metadata.get("window", "").lower()
    return "", ""


def _told(split: Split) -> tuple[object, ...]:
    lines = [(line.payer_psn_no, line.amount_fen) for line in split.lines]
    declines = [(each.payer_psn_no, str(each.reason), (each.window or "").lower()) for each in split.declines]
    return split.acct_pay_fen, lines, split.psn_cash_pay_fen, declines


def _expected(expected: Bill) -> tuple[object, ...]:
    return expected.acct_pay, expected.lines, expected.cash, expected.declines


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
