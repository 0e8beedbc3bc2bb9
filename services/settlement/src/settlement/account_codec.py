"""Personal accounts ⇄ the contract: messages of AccountService and the accounts' events."""

import base64
import binascii
from collections.abc import Mapping
from typing import Final

from gongji.settlement.events.v1 import account_events_pb2 as events_pb2
from gongji.settlement.v1 import account_pb2
from kit.days import stated_day
from kit.errors import FieldViolation, InvalidFields
from kit.events import Event
from kit.timestamps import timestamp
from settlement.domain.accounts import Account, AccountChange, AccountChangeKind, AccountState, StatementLine
from settlement.domain.closing import Payout, PayoutWay
from settlement.domain.ledger import EntryKind, EntryRow
from settlement.domain.statements import Period

_STATES: Final[Mapping[AccountState, account_pb2.AccountState.ValueType]] = {
    AccountState.OPEN: account_pb2.ACCOUNT_STATE_OPEN,
    AccountState.FROZEN: account_pb2.ACCOUNT_STATE_FROZEN,
    AccountState.CLOSED: account_pb2.ACCOUNT_STATE_CLOSED,
}
_KINDS: Final[Mapping[EntryKind, account_pb2.EntryKind.ValueType]] = {
    EntryKind.CONTRIBUTION: account_pb2.ENTRY_KIND_CONTRIBUTION,
    EntryKind.INTEREST: account_pb2.ENTRY_KIND_INTEREST,
    EntryKind.SETTLEMENT: account_pb2.ENTRY_KIND_SETTLEMENT,
    EntryKind.REFUND: account_pb2.ENTRY_KIND_REFUND,
    EntryKind.PAYOUT: account_pb2.ENTRY_KIND_PAYOUT,
    EntryKind.PREMIUM: account_pb2.ENTRY_KIND_PREMIUM,
    EntryKind.PREMIUM_REFUND: account_pb2.ENTRY_KIND_PREMIUM_REFUND,
}
_WAYS: Final[Mapping[PayoutWay, events_pb2.PayoutWay.ValueType]] = {
    PayoutWay.HEIRS: events_pb2.PAYOUT_WAY_HEIRS,
    PayoutWay.TRANSFER: events_pb2.PAYOUT_WAY_TRANSFER,
}
_CREDITED: Final[Mapping[EntryKind, events_pb2.ContributionKind.ValueType]] = {
    EntryKind.CONTRIBUTION: events_pb2.CONTRIBUTION_KIND_CONTRIBUTION,
    EntryKind.INTEREST: events_pb2.CONTRIBUTION_KIND_INTEREST,
}
_LONGEST_VERSION_DIGITS: Final = 19


def account_message(account: Account) -> account_pb2.Account:
    """The account as the contract shows it."""
    return account_pb2.Account(
        psn_no=account.psn_no,
        state=_STATES[account.state],
        balance=account.balance_fen,
        held=account.held_fen,
        version=account.version,
    )


def entry_message(line: StatementLine) -> account_pb2.Entry:
    """One line of a statement as the contract shows it."""
    return account_pb2.Entry(
        version=line.version,
        kind=_KINDS[line.kind],
        amount=line.amount_fen,
        balance_after=line.balance_after_fen,
        posted_at=timestamp(line.posted_at),
        reference=line.reference,
        patient_psn_no=line.patient_psn_no,
        fixmedins_code=line.fixmedins_code,
    )


def period_of(request: account_pb2.GetStatementRequest | account_pb2.ExportStatementRequest) -> Period:
    """The period that is asked for.

    Raises:
        InvalidFields: a day is none of the calendar, or the last is before the first.
    """
    period = Period(stated_day(request.from_day, "from_day"), stated_day(request.to_day, "to_day"))
    if period.last < period.first:
        raise InvalidFields([FieldViolation("to_day", "must not be before from_day")])
    return period


def page_token(last: int) -> str:
    """The opaque token with which the page after this version, or position, is asked for."""
    return base64.urlsafe_b64encode(str(last).encode()).decode()


def number_of(token: str) -> int | None:
    """The version or position after which the page begins; None on the first page.

    Raises:
        InvalidFields: the token is not one that `page_token` made.
    """
    if not token:
        return None
    try:
        text = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise _bad_token() from None
    if not (text.isdigit() and len(text) < _LONGEST_VERSION_DIGITS):
        raise _bad_token()
    return int(text)


def paid_out(payout: Payout, version: int) -> Event:
    """The event of a payout's entry, which made that version of the account."""
    message = events_pb2.AccountPaidOut(
        psn_no=payout.psn_no,
        sequence=version,
        amount_fen=payout.amount_fen,
        balance_after_fen=payout.balance_after_fen,
        posted_at=timestamp(payout.paid_at),
        payout_id=str(payout.payout_id),
        way=_WAYS[payout.order.way],
        reason=payout.order.instruction.reason,
    )
    return Event(message, key=payout.psn_no, occurred_at=payout.paid_at)


def _bad_token() -> InvalidFields:
    return InvalidFields([FieldViolation("page_token", "is not a token of an answer before")])


def credited(row: EntryRow) -> Event:
    """The event of a contribution's entry on its personal account."""
    message = events_pb2.AccountCredited(
        psn_no=row.account_key,
        sequence=row.version or 0,
        amount_fen=row.amount_fen,
        balance_after_fen=row.balance_after_fen or 0,
        posted_at=timestamp(row.occasion.posted_at),
        contribution_id=row.occasion.contribution_id or "",
        kind=_CREDITED[row.occasion.kind],
    )
    return Event(message, key=row.account_key, occurred_at=row.occasion.posted_at)


def changed(account: Account, change: AccountChange) -> Event:
    """The event of a freeze, release or closing; `account` as it is after it."""
    message: events_pb2.AccountFrozen | events_pb2.AccountUnfrozen | events_pb2.AccountClosed
    if change.kind is AccountChangeKind.FROZEN:
        message = events_pb2.AccountFrozen(frozen_at=timestamp(change.changed_at))
    elif change.kind is AccountChangeKind.CLOSED:
        message = events_pb2.AccountClosed(closed_at=timestamp(change.changed_at))
    else:
        message = events_pb2.AccountUnfrozen(unfrozen_at=timestamp(change.changed_at))
    message.psn_no = account.psn_no
    message.sequence = change.version
    message.balance_after_fen = account.balance_fen
    message.reason = change.reason
    message.authority = change.authority
    return Event(message, key=account.psn_no, occurred_at=change.changed_at)
