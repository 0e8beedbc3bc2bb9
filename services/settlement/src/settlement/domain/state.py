"""A settlement (结算) through its life: `PENDING → SETTLED → REVERSED`, `PENDING → REFUSED`, `PENDING → ABANDONED`.

Each function is one move and gives the settlement as it is after it. Asked to move from another state it raises, since
the row's lock and `WHERE state = …` should have kept it from being asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from settlement.domain.allocate import Split
from settlement.domain.bill import Bill, ClearingType
from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.visit import InsuranceType


class SettlementState(StrEnum):
    """Where a settlement stands."""

    PENDING = "PENDING"
    """Under way: an intent is written, nothing is paid."""
    SETTLED = "SETTLED"
    REVERSED = "REVERSED"
    REFUSED = "REFUSED"
    """Refused after the intent: nothing was taken, the msgid is spent."""
    ABANDONED = "ABANDONED"
    """Given up, or reversed before it came: nothing was taken, the msgid is spent."""


class OrderKind(StrEnum):
    """What a request that asks payers comes to."""

    BILL = "BILL"
    """A bill is paid."""
    QUOTE = "QUOTE"
    """A preview that holds: the amounts are kept."""
    PREMIUM = "PREMIUM"
    """A resident premium is paid."""


@dataclass(frozen=True, slots=True)
class Premium:
    """Which premium an order pays; the insured is its patient."""

    year: int
    payer_psn_no: str


@dataclass(frozen=True, slots=True)
class Order:
    """What a request to settle or to hold asks for: the business part, without the credential."""

    fixmedins_code: str
    msgid: str
    bill: Bill
    acct_used_flag: bool
    use_mutual_aid: bool
    expected_acct_pay_fen: int | None = None
    expected_acct_mulaid_pay_fen: int | None = None
    kind: OrderKind = OrderKind.BILL
    quote_id: UUID | None = None
    """The held preview that is settled; None when there is none."""
    replaces: UUID | None = None
    """The settlement that is settled again (R12); None when there is none."""
    premium: Premium | None = None
    """The premium that is paid; None of a bill."""

    @property
    def asks_payers(self) -> bool:
        """Whether binding is asked: mutual aid is wanted and something is left to pay."""
        return self.use_mutual_aid and self.bill.psn_part_amt_fen > 0


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The hash of a request's body, and by which list of fields it was made."""

    version: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Refund:
    """Money given back to an account that had paid."""

    psn_no: str
    amount_fen: int
    balance_after_fen: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """A settlement in whatever state. Of one that was reversed before it came, only ids, state and time are known."""

    settlement_id: UUID
    fixmedins_code: str
    msgid: str
    state: SettlementState
    reason: str | None = None
    reason_window: str | None = None
    """The tightest window, when the reason is LIMIT_REACHED."""
    order: Order | None = None
    fingerprint: Fingerprint | None = None
    insutype: InsuranceType | None = None
    occurred_at: datetime | None = None
    """The time that decides every window and validity, here and in binding; of one that never came, of its reversal."""
    split: Split | None = None
    setl_time: datetime | None = None
    reversed_at: datetime | None = None
    refunds: tuple[Refund, ...] = ()
    replaced_by: UUID | None = None
    """The settlement that settled its bill again."""

    @property
    def clr_type(self) -> ClearingType | None:
        """The column that it is cleared in."""
        return self.order.bill.clr_type if self.order else None


@dataclass(frozen=True, slots=True)
class Intent:
    """A settlement that has just become PENDING, with all that is known then."""

    settlement_id: UUID
    order: Order
    fingerprint: Fingerprint
    insutype: InsuranceType | None
    jti: str | None
    """Of the credential that it came with; None when it came without one."""
    occurred_at: datetime

    @property
    def settlement(self) -> Settlement:
        """The settlement as it begins."""
        return Settlement(
            settlement_id=self.settlement_id,
            fixmedins_code=self.order.fixmedins_code,
            msgid=self.order.msgid,
            state=SettlementState.PENDING,
            order=self.order,
            fingerprint=self.fingerprint,
            insutype=self.insutype,
            occurred_at=self.occurred_at,
        )


def asked_payers(settlement: Settlement) -> bool:
    """Whether payers were asked for it, so that binding has an authorization of its id."""
    return settlement.order is not None and settlement.order.asks_payers


class IllegalMoveError(Exception):
    """A settlement was asked to move from a state that does not allow it; a fault in the code."""


def intent_of(settlement: Settlement) -> Intent:
    """What a settlement began with; without its credential, which is not part of it.

    Raises:
        IllegalMoveError: it never began.
    """
    order, fingerprint, occurred_at = settlement.order, settlement.fingerprint, settlement.occurred_at
    if order is None or fingerprint is None or occurred_at is None:
        raise IllegalMoveError(f"settlement {settlement.settlement_id} never came")
    return Intent(settlement.settlement_id, order, fingerprint, settlement.insutype, None, occurred_at)


def settled(settlement: Settlement, split: Split, at: datetime) -> Settlement:
    """Paid, by this split."""
    _must_be(settlement, SettlementState.PENDING)
    return replace(settlement, state=SettlementState.SETTLED, split=split, setl_time=at)


def refused(settlement: Settlement, reason: Reason | str, window: str | None = None) -> Settlement:
    """Refused after its intent: nothing is taken."""
    _must_be(settlement, SettlementState.PENDING)
    return replace(settlement, state=SettlementState.REFUSED, reason=str(reason), reason_window=window)


def abandoned(settlement: Settlement, reason: Reason = Reason.ABANDONED) -> Settlement:
    """Given up: nothing is taken."""
    _must_be(settlement, SettlementState.PENDING)
    return replace(settlement, state=SettlementState.ABANDONED, reason=str(reason))


def fenced(settlement_id: UUID, fixmedins_code: str, msgid: str, at: datetime) -> Settlement:
    """The record that a msgid which has not come shall never be settled, made at this time."""
    return Settlement(
        settlement_id,
        fixmedins_code,
        msgid,
        SettlementState.ABANDONED,
        reason=str(Reason.ABANDONED),
        occurred_at=at,
    )


def reversed_with(
    settlement: Settlement, refunds: tuple[Refund, ...], at: datetime, replaced_by: UUID | None = None
) -> Settlement:
    """Given back, to exactly the accounts that had paid (R11); `replaced_by` settles its bill again."""
    _must_be(settlement, SettlementState.SETTLED)
    return replace(settlement, state=SettlementState.REVERSED, refunds=refunds, reversed_at=at, replaced_by=replaced_by)


def _must_be(settlement: Settlement, state: SettlementState) -> None:
    if settlement.state is not state:
        raise IllegalMoveError(f"settlement {settlement.settlement_id} is {settlement.state}, not {state}")


def answer_from_record(settlement: Settlement, fingerprint: Fingerprint | None = None) -> Settlement:
    """What a Settle under a known msgid is answered with; `fingerprint` is the new request's, None to skip the check.

    Raises:
        SettlementRefusedError: MSGID_REUSED, IN_PROGRESS, ABANDONED, or what the settlement was refused for.
    """
    known = settlement.fingerprint
    if fingerprint is not None and known is not None and known != fingerprint:
        raise SettlementRefusedError(Reason.MSGID_REUSED, "this msgid was used before with another body")
    ids = {"setl_id": str(settlement.settlement_id)}
    if settlement.state in {SettlementState.SETTLED, SettlementState.REVERSED}:
        return settlement
    if settlement.state is SettlementState.PENDING:
        raise SettlementRefusedError(Reason.IN_PROGRESS, "this msgid is being settled; ask again in a moment", ids)
    reason = settlement.reason or str(Reason.ABANDONED)
    if settlement.reason_window:
        ids["window"] = settlement.reason_window
    raise SettlementRefusedError(reason, _SPENT.get(reason, "nothing was taken, this msgid is spent"), ids)


_SPENT: Mapping[str, str] = {
    Reason.ALREADY_REVERSED: "the settlement that was to be replaced had been reversed meanwhile; nothing was taken",
    Reason.ABANDONED: "given up or reversed before it took anything; send the bill again under a new msgid",
    Reason.AMOUNT_CHANGED: "the split differs from the expected one, nothing was taken; preview again, use a new msgid",
}
