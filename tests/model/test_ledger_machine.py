"""Whatever families, hospitals and operators do, settlement and binding together give what the rules say.

A state machine over accounts, relations, limits, settlements, reversals, settling again, held previews, freezes and the
clock. Both services run with their own domain, codecs and services; the model is `support.ledger_model`.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule
from support.both_services import BothServices
from support.ledger_model import WINDOWS, Account, Bill, Ledger, Relation

from settlement.commands import Command
from settlement.domain.accounts import AccountState
from settlement.domain.allocate import Split
from settlement.domain.ledger import AccountKind
from settlement.domain.quotes import Quote
from settlement.domain.state import Settlement
from settlement.preview_service import Preview, PreviewCommand
from settlement.testing import HOSPITAL, QUOTES_LAST, bill, hold, resettle, settle

PAYERS = ("father", "mother")
PATIENTS = ("child", "baby", "mother")
PAIRS = (("father", "child"), ("mother", "child"), ("father", "baby"), ("mother", "baby"), ("father", "mother"))
UNFIT = ("ENDED", "SUSPENDED")
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

    @initialize(
        money=st.tuples(st.integers(0, 600), st.integers(0, 600)),
        limits=st.lists(LIMITS, min_size=len(PAIRS), max_size=len(PAIRS)),
    )
    def begin(self, money: tuple[int, int], limits: list[dict[str, int]]) -> None:
        self.model = Ledger()
        self.services = BothServices(PAYERS, PATIENTS)
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
        expected = self._bill(patient, amount, flags)
        self.model._split(expected, {})
        assert _told(answer.split) == _expected(expected)

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
        self._agrees(answer, expected)

    @rule(one=held)
    def cancel(self, one: tuple[Bill, Quote]) -> None:
        expected, quote = one
        run(self.world.quotes.cancel(HOSPITAL, quote.quote_id))
        if expected.state == "HELD":
            self.model.free(expected)

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
        frozen = not self.model.accounts[psn_no].frozen
        self.model.accounts[psn_no].frozen = frozen
        before = self.services.settlements.accounts[psn_no]
        state = AccountState.FROZEN if frozen else AccountState.OPEN
        self.services.settlements.accounts[psn_no] = replace(before, state=state)

    @rule(minutes=st.sampled_from([1, 5, 11, 60, 24 * 60, 20 * 24 * 60]))
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
            if not any(self._is_over(quote) for quote in self._held_quotes()):
                assert found.held_fen == expected.held

    @invariant()
    def entries_sum_to_zero_and_leave_no_version_out(self) -> None:
        if not hasattr(self, "model"):
            return
        rows = self.services.settlements.entries
        assert sum(row.amount_fen for row in rows) == 0
        for psn_no in PAYERS:
            own = [row.version for row in rows if (row.account_kind, row.account_key) == (AccountKind.PERSONAL, psn_no)]
            assert own == list(range(2, 2 + len(own)))

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
                self.model.free(one)

    def _agrees(self, answer: Settlement | Exception, expected: Bill) -> None:
        assert isinstance(answer, Settlement), repr(answer)
        assert answer.split is not None
        assert _told(answer.split) == _expected(expected)


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
