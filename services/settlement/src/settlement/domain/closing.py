"""Closing a personal account (注销), and paying out refunds that come to it afterwards, as pure decisions. In fen.

An account is closed once and for all: its balance leaves by one posting, to the heirs of an owner who has died or to
another account. Refunds still come to exactly the account that paid (R11); each becomes an item of a worklist, whose
open items together are the closed account's balance.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from settlement.domain.accounts import (
    Account,
    AccountChange,
    AccountChangeKind,
    AccountNotFoundError,
    AccountState,
    Instruction,
    StateForbidsError,
)
from settlement.domain.ledger import REFUNDS, EntryRow, LedgerError, Posted


class PayoutWay(StrEnum):
    """Where the money of a closed account goes."""

    HEIRS = "HEIRS"
    """To the heirs of an owner who has died."""
    TRANSFER = "TRANSFER"
    """To another account."""


class ClosedRefundNotFoundError(AccountNotFoundError):
    """There is no refund to a closed account under that id."""


@dataclass(frozen=True, slots=True)
class PayoutOrder:
    """Where money goes, why, and by whose order."""

    way: PayoutWay
    instruction: Instruction
    payment_reference: str = ""
    """Number of the payment order at finance, if there is one yet."""


@dataclass(frozen=True, slots=True)
class Payout:
    """Money that left a closed account."""

    payout_id: UUID
    """The posting's, too."""
    psn_no: str
    amount_fen: int
    balance_after_fen: int
    order: PayoutOrder
    paid_at: datetime


@dataclass(frozen=True, slots=True)
class ClosedRefund:
    """A refund that came to a closed account."""

    closed_refund_id: UUID
    """The refund's posting."""
    psn_no: str
    settlement_id: UUID
    """The settlement that was reversed."""
    amount_fen: int
    refunded_at: datetime
    payout_id: UUID | None = None
    """None while it waits to be paid out."""


def check_closable(account: Account, order: PayoutOrder, died_on: date | None) -> None:
    """Return if the account may be closed and paid out so.

    Raises:
        StateForbidsError: previews hold part of it, it is frozen and its owner lives, or heirs are to be paid and the
            owner lives.
    """
    if account.held_fen:
        raise StateForbidsError("previews hold part of the balance: wait until they are settled or have run out")
    if account.state is AccountState.FROZEN and died_on is None:
        raise StateForbidsError("the account is frozen: whoever ordered that has to release it first")
    check_way(order, died_on)


def check_way(order: PayoutOrder, died_on: date | None) -> None:
    """Return if money of this owner may go that way.

    Raises:
        StateForbidsError: heirs are to be paid and the owner lives, as far as identity has told.
    """
    if order.way is PayoutWay.HEIRS and died_on is None:
        raise StateForbidsError("no death of the owner is on record, so there are no heirs to pay")


def close(account: Account, instruction: Instruction, at: datetime) -> tuple[Account, AccountChange]:
    """An empty account closed, and the change that did it.

    Raises:
        LedgerError: it is closed already, or there is still money on it; a fault in the code.
    """
    if account.state is AccountState.CLOSED or account.balance_fen:
        raise LedgerError("only an account that is empty and not closed can be closed")
    closed = replace(account, state=AccountState.CLOSED, version=account.version + 1)
    return closed, AccountChange.of(closed, AccountChangeKind.CLOSED, instruction, at)


def check_open(refund: ClosedRefund | None) -> ClosedRefund:
    """The refund, if it waits to be paid out.

    Raises:
        ClosedRefundNotFoundError: there is none.
        StateForbidsError: it was paid out before.
    """
    if refund is None:
        raise ClosedRefundNotFoundError("there is no refund to a closed account under this id")
    if refund.payout_id is not None:
        raise StateForbidsError("this refund was paid out before")
    return refund


def refunds_to_closed(posted: Posted, accounts: Mapping[str, Account]) -> list[ClosedRefund]:
    """What postings of settlements left on closed accounts, refund by refund.

    Settling again takes from a closed account what it has just given back to it, so only the rest has to be paid out.
    """
    left: dict[str, list[ClosedRefund]] = {
        psn_no: [] for psn_no, account in accounts.items() if account.state is AccountState.CLOSED
    }
    for row in posted.personal_rows if left else ():
        if row.account_key in left:
            take_in = _come if row.occasion.kind in REFUNDS else _go
            take_in(left[row.account_key], row)
    return [refund for refunds in left.values() for refund in refunds]


def _come(refunds: list[ClosedRefund], row: EntryRow) -> None:
    if row.occasion.settlement_id is None:
        raise LedgerError(f"posting {row.posting_id} gives back what no settlement took")
    refunds.append(
        ClosedRefund(
            row.posting_id, row.account_key, row.occasion.settlement_id, row.amount_fen, row.occasion.posted_at
        )
    )


def _go(refunds: list[ClosedRefund], row: EntryRow) -> None:
    taken_fen = -row.amount_fen
    while taken_fen:
        if not refunds:
            raise LedgerError(f"posting {row.posting_id} takes from a closed account more than it has just given back")
        last = refunds.pop()
        if last.amount_fen > taken_fen:
            refunds.append(replace(last, amount_fen=last.amount_fen - taken_fen))
        taken_fen -= min(taken_fen, last.amount_fen)
