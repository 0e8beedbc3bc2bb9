"""A held preview (预结算锁定): `HELD → USED`, `HELD → EXPIRED`, `HELD → CANCELLED`. Amounts are in fen.

What it keeps is held on the accounts, so nobody else can spend it, and at binding, so it fits the limits; whatever ends
it frees that. Settling by it takes just those amounts, whatever has become of relation or account since (R13).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from settlement.domain.accounts import Account
from settlement.domain.allocate import Split, payments
from settlement.domain.body_hash import order_fingerprint
from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.state import Fingerprint, IllegalMoveError, Order, Settlement, SettlementState, intent_of
from settlement.domain.visit import InsuranceType


class QuoteState(StrEnum):
    """Where a held preview stands."""

    HELD = "HELD"
    USED = "USED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Quote:
    """A held preview in whatever state."""

    quote_id: UUID
    """Also of the authorization at binding, and of the settlement that it comes to."""
    order: Order
    fingerprint: Fingerprint
    insutype: InsuranceType | None
    occurred_at: datetime
    """The time that decides every window and validity."""
    split: Split
    expires_at: datetime
    state: QuoteState = QuoteState.HELD
    ended_at: datetime | None = None


def hold(pending: Settlement, split: Split, at: datetime, lasts: timedelta) -> Quote:
    """What a request to hold comes to once its payers have answered.

    Raises:
        IllegalMoveError: it is not under way any more.
    """
    if pending.state is not SettlementState.PENDING:
        raise IllegalMoveError(f"settlement {pending.settlement_id} is {pending.state}, nothing can be held for it")
    intent = intent_of(pending)
    return Quote(
        pending.settlement_id, intent.order, intent.fingerprint, intent.insutype, intent.occurred_at, split, at + lasts
    )


def seen_at(quote: Quote, now: datetime) -> Quote:
    """The quote as it counts at a time: one that is held has expired once its time is over, found so or not."""
    is_over = quote.state is QuoteState.HELD and now >= quote.expires_at
    return ended(quote, QuoteState.EXPIRED, now) if is_over else quote


def ended(quote: Quote, state: QuoteState, at: datetime) -> Quote:
    """The quote at its end.

    Raises:
        IllegalMoveError: it has ended before.
    """
    if quote.state is not QuoteState.HELD:
        raise IllegalMoveError(f"quote {quote.quote_id} is {quote.state}, not HELD")
    return replace(quote, state=state, ended_at=at)


def kept_fen(quotes: Iterable[Quote]) -> dict[str, int]:
    """By account owner, what these quotes keep or kept."""
    kept: dict[str, int] = {}
    for quote in quotes:
        for psn_no, amount_fen in payments(quote.order.bill.psn_no, quote.split):
            kept[psn_no] = kept.get(psn_no, 0) + amount_fen
    return kept


def check_usable(quote: Quote | None, order: Order, now: datetime) -> Quote:
    """The quote that an order names, if it may be settled now by that institution.

    Raises:
        SettlementRefusedError: NOT_FOUND, FORBIDDEN_INSTITUTION, QUOTE_USED or QUOTE_EXPIRED.
    """
    if quote is None:
        raise SettlementRefusedError(Reason.NOT_FOUND, "there is no held preview of this quote_id")
    if quote.order.fixmedins_code != order.fixmedins_code:
        raise SettlementRefusedError(Reason.FORBIDDEN_INSTITUTION, "this quote_id belongs to another institution")
    state = seen_at(quote, now).state
    if state is QuoteState.EXPIRED:
        raise SettlementRefusedError(Reason.QUOTE_EXPIRED, "the held preview has run out: preview again")
    if state is not QuoteState.HELD:
        raise SettlementRefusedError(Reason.QUOTE_USED, "the held preview was settled or cancelled before")
    return quote


def is_as_quoted(quote: Quote, order: Order) -> bool:
    """Whether an order asks for just what was held: the same bill and flags, and no other amounts expected."""
    held, split = quote.order, quote.split
    return (
        order.bill == held.bill
        and (order.acct_used_flag, order.use_mutual_aid) == (held.acct_used_flag, held.use_mutual_aid)
        and order.expected_acct_pay_fen in {None, split.acct_pay_fen}
        and order.expected_acct_mulaid_pay_fen in {None, split.acct_mulaid_pay_fen}
    )


def settle_quote(quote: Quote, order: Order, accounts: Mapping[str, Account], at: datetime) -> Settlement:
    """The settlement of a held preview: its amounts, with the balances that they leave now."""
    own, split = accounts.get(order.bill.psn_no), quote.split
    lines = tuple(
        replace(line, balance_after_fen=accounts[line.payer_psn_no].balance_fen - line.amount_fen)
        for line in split.lines
    )
    return Settlement(
        settlement_id=quote.quote_id,
        fixmedins_code=order.fixmedins_code,
        msgid=order.msgid,
        state=SettlementState.SETTLED,
        order=order,
        fingerprint=order_fingerprint(order),
        insutype=quote.insutype,
        occurred_at=quote.occurred_at,
        split=replace(split, lines=lines, own_balance_after_fen=own.balance_fen - split.acct_pay_fen if own else None),
        setl_time=at,
    )


def refuse_changed(settlement_id: UUID, quote: Quote, order: Order) -> Settlement:
    """The record that an order did not ask for what was held: nothing was taken, its msgid is spent."""
    return Settlement(
        settlement_id=settlement_id,
        fixmedins_code=order.fixmedins_code,
        msgid=order.msgid,
        state=SettlementState.REFUSED,
        reason=str(Reason.AMOUNT_CHANGED),
        order=order,
        fingerprint=order_fingerprint(order),
        insutype=quote.insutype,
        occurred_at=quote.occurred_at,
    )


def pay_kept(accounts: Mapping[str, Account], quote: Quote) -> dict[str, Account]:
    """The accounts after what was kept has been paid."""
    return dict(accounts) | {
        psn_no: replace(
            accounts[psn_no],
            balance_fen=accounts[psn_no].balance_fen - amount_fen,
            held_fen=accounts[psn_no].held_fen - amount_fen,
        )
        for psn_no, amount_fen in kept_fen([quote]).items()
    }
