"""Whatever families, hospitals and operators do, settlement and binding together give what the rules say.

A state machine over accounts from contributions to payout, relations, limits, arrears, settlements, reversals, settling
again, previews that hold and that do not, freezes and the clock; premiums have one of their own. Both services run with
their own domain, codecs and services; the model is `support.ledger_model`. What many callers do at once on real
services (`make histories`) comes from a generator of its own, `model.history`, and is held to the same model.
"""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import multiple, rule
from support.family_machine import (
    AMOUNTS,
    FLAGS,
    PAIRS,
    PATIENTS,
    PAYERS,
    FamilyMachine,
    expected_of,
    run,
    told,
)
from support.ledger_model import Bill

from settlement.commands import Command
from settlement.domain.quotes import Quote
from settlement.domain.state import Settlement
from settlement.preview_service import Preview, PreviewCommand
from settlement.testing import bill, hold, resettle, settle


class LedgerMachine(FamilyMachine):
    """Everything that is done with bills."""

    settled, held = FamilyMachine.settled, FamilyMachine.held

    @rule(amounts=st.tuples(AMOUNTS, AMOUNTS, AMOUNTS), flags=FLAGS, holding=st.sampled_from([None, *PATIENTS]))
    def three_at_once(self, amounts: tuple[int, int, int], flags: tuple[bool, bool], holding: str | None) -> None:
        self.expire()
        commands, expected = [], []
        for patient, amount in zip(PATIENTS, amounts, strict=True):
            make, happens = (hold, self.model.hold) if patient == holding else (settle, self.model.settle)
            of = bill(patient, amount)
            commands.append(make(self.next_number(), of, acct_used_flag=flags[0], use_mutual_aid=flags[1]))
            expected.append(happens(self.expected(patient, amount, flags)))
        for answer, one in zip(run(self.world.hold(*commands)), expected, strict=True):
            assert isinstance(answer, Settlement | Quote), answer
            assert answer.split is not None
            assert told(answer.split) == expected_of(one)

    @rule(one=settled)
    def send_the_same_again(self, one: tuple[Bill, Command]) -> None:
        before = len(self.services.settlements.entries)
        answer = run(self.world.settle(one[1]))[0]
        assert isinstance(answer, Settlement)
        assert len(self.services.settlements.entries) == before

    @rule(target=settled, one=settled, amount=AMOUNTS, flags=FLAGS)
    def settle_again(self, one: tuple[Bill, Command], amount: int, flags: tuple[bool, bool]) -> Any:
        self.expire()
        first, before = one
        original = int(before.order.msgid[-4:])
        command = resettle(
            self.next_number(), original, bill(first.patient, amount), acct_used_flag=flags[0], use_mutual_aid=flags[1]
        )
        answer = run(self.world.settle(command))[0]
        if first.state != "SETTLED":
            assert getattr(answer, "reason", "") == "ALREADY_REVERSED"
            return multiple()
        expected = self.model.resettle(first, self.expected(first.patient, amount, flags))
        self.agrees(answer, expected)
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
        self.expire()
        presented = settle(self.next_number(), bill(patient, amount)).presented
        (answer,) = run(
            self.world.previewing.preview([PreviewCommand(presented, acct_used_flag=flags[0], use_mutual_aid=flags[1])])
        )
        assert isinstance(answer, Preview), answer
        assert told(answer.split) == expected_of(self.model.preview(self.expected(patient, amount, flags)))

    @rule(one=held)
    def use(self, one: tuple[Bill, Quote]) -> None:
        expected, quote = one
        order = quote.order
        number = self.next_number()
        command = settle(
            number,
            order.bill,
            quote_id=quote.quote_id,
            acct_used_flag=order.acct_used_flag,
            use_mutual_aid=order.use_mutual_aid,
        )
        (answer,) = run(self.world.settle_quotes(command))
        if expected.state != "HELD" or self.is_over(quote):
            assert getattr(answer, "reason", "") in {"QUOTE_USED", "QUOTE_EXPIRED"}
            return
        self.model.use(expected)
        self.model.hear(expected)
        self.agrees(answer, expected)

    @rule(one=settled, amount=AMOUNTS, flags=FLAGS)
    def settle_after_a_refund_to_an_account_that_was_closed(
        self, one: tuple[Bill, Command], amount: int, flags: tuple[bool, bool]
    ) -> None:
        if one[0].state == "SETTLED" and one[0].lines:
            self.close_account(one[0].lines[0][0])
            self.reverse(one)
            self.settle(one[0].patient, amount, flags)

    @rule(psn_no=st.sampled_from(PAYERS))
    def pay_out_what_came_to_a_closed_account(self, psn_no: str) -> None:
        account = self.model.accounts[psn_no]
        paid = run(self.services.pay_out_refunds(psn_no))
        assert paid == (account.balance if account.state == "CLOSED" else 0)
        account.balance -= paid


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
