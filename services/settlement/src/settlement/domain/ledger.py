"""The ledger (账本): money only moves, it never comes from nowhere.

A posting is a set of entries that sums to zero. A settlement moves from a personal account (个人账户) to the
institution's clearing account, a refund moves the same way back, a contribution comes from the contribution fund, a
payout leaves an account that is closed. Only personal accounts keep a running balance and a version; a clearing
account's balance is the sum of its entries, so it is never a row that everybody waits for. Nothing is ever changed: a
correction is a new posting. All amounts are in fen.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

CONTRIBUTION_FUND: Final = "310"
"""The one contribution fund so far: employee insurance pays into personal accounts."""
INTEREST_FUND: Final = "310-INTEREST"
"""Where interest on personal accounts comes from."""


class LedgerError(Exception):
    """A fault in the code that posts: nothing may be written. Not a refusal, so it carries no reason."""


class UnbalancedPostingError(LedgerError):
    """The entries of a posting do not sum to zero."""


class ZeroEntryError(LedgerError):
    """An entry, or a posting as a whole, moves nothing."""


class OverdrawnError(LedgerError):
    """A personal account would go below zero; `allocate` must not have let it come to this."""


class UnknownAccountError(LedgerError):
    """A posting touches a personal account whose balance was not read under its lock."""


class MovedAccountError(LedgerError):
    """An account is not at the version from which entries, or a change of state, go on: it was not locked."""


class AccountKind(StrEnum):
    """Whose account an entry is on."""

    PERSONAL = "PERSONAL"
    """A person's; the key is the psn_no."""
    CLEARING = "CLEARING"
    """What is owed to an institution; the key is the fixmedins_code."""
    CONTRIBUTION = "CONTRIBUTION"
    """Where contributions come from; the key is the fund's name."""
    PAYOUT = "PAYOUT"
    """What has left the platform with closed accounts; the key is the way."""
    PREMIUM = "PREMIUM"
    """What residents' premiums have brought for a year; the key is the year."""


class EntryKind(StrEnum):
    """What an entry is."""

    CONTRIBUTION = "CONTRIBUTION"
    INTEREST = "INTEREST"
    SETTLEMENT = "SETTLEMENT"
    REFUND = "REFUND"
    PAYOUT = "PAYOUT"
    PREMIUM = "PREMIUM"
    PREMIUM_REFUND = "PREMIUM_REFUND"


PAYMENTS: Final = frozenset({EntryKind.SETTLEMENT, EntryKind.PREMIUM})
"""What takes money from a personal account."""
REFUNDS: Final = frozenset({EntryKind.REFUND, EntryKind.PREMIUM_REFUND})
"""What gives it back."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a posting is made for, and when."""

    kind: EntryKind
    posted_at: datetime
    """By the injected clock, aware."""
    business_day: date
    """The Asia/Shanghai day that the posting belongs to."""
    settlement_id: UUID | None = None
    contribution_id: str | None = None
    patient_psn_no: str | None = None
    fixmedins_code: str | None = None
    premium_year: int | None = None
    """Of a premium, which is no institution's."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One side of a posting. Positive comes in, negative goes out; never zero."""

    account_kind: AccountKind
    account_key: str
    amount_fen: int

    def __post_init__(self) -> None:
        if self.amount_fen == 0:
            raise ZeroEntryError(f"an entry on {self.account_kind} {self.account_key} moves nothing")


@dataclass(frozen=True, slots=True)
class Posting:
    """Entries that sum to zero, written together or not at all.

    Raises:
        ZeroEntryError: there are no entries.
        UnbalancedPostingError: they do not sum to zero.
    """

    posting_id: UUID
    occasion: Occasion
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        if not self.entries:
            raise ZeroEntryError(f"posting {self.posting_id} has no entries")
        total_fen = sum(entry.amount_fen for entry in self.entries)
        if total_fen:
            raise UnbalancedPostingError(f"the entries of posting {self.posting_id} sum to {total_fen} fen, not zero")


@dataclass(frozen=True, slots=True)
class Standing:
    """A personal account as it stands: its ledger balance (held amounts included) and its version."""

    balance_fen: int
    version: int
    """Counts the account's entries and changes of state; the `sequence` of its events."""


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An entry as it is written; `balance_after_fen` and `version` are None except on personal accounts."""

    posting_id: UUID
    account_kind: AccountKind
    account_key: str
    amount_fen: int
    balance_after_fen: int | None
    version: int | None
    occasion: Occasion


@dataclass(frozen=True, slots=True)
class Posted:
    """What posting makes: the rows in order, and the personal accounts that they touched as they stand afterwards."""

    rows: tuple[EntryRow, ...]
    standings: Mapping[str, Standing]
    """By psn_no; only those that changed."""

    @property
    def personal_rows(self) -> tuple[EntryRow, ...]:
        """The rows that an account event is told about, in order."""
        return tuple(row for row in self.rows if row.account_kind is AccountKind.PERSONAL)


def settlement_posting(posting_id: UUID, occasion: Occasion, psn_no: str, amount_fen: int) -> Posting:
    """One line of a settlement: `amount_fen` > 0 from a personal account to the institution's clearing account.

    A premium's goes to the account of its year.
    """
    return _pair(posting_id, occasion, (AccountKind.PERSONAL, psn_no), _taker(occasion), amount_fen)


def refund_posting(posting_id: UUID, occasion: Occasion, psn_no: str, amount_fen: int) -> Posting:
    """One line given back: `amount_fen` > 0 from where it went to exactly the account that paid (R11)."""
    return _pair(posting_id, occasion, _taker(occasion), (AccountKind.PERSONAL, psn_no), amount_fen)


def contribution_posting(posting_id: UUID, occasion: Occasion, psn_no: str, amount_fen: int) -> Posting:
    """A contribution or interest: `amount_fen` > 0 from its fund to a personal account."""
    fund = (
        AccountKind.CONTRIBUTION,
        INTEREST_FUND if occasion.kind is EntryKind.INTEREST else CONTRIBUTION_FUND,
    )
    return _pair(posting_id, occasion, fund, (AccountKind.PERSONAL, psn_no), amount_fen)


def payout_posting(posting_id: UUID, occasion: Occasion, psn_no: str, amount_fen: int, way: str) -> Posting:
    """A payout: `amount_fen` > 0 from the personal account of a closed account to where `way` says."""
    return _pair(posting_id, occasion, (AccountKind.PERSONAL, psn_no), (AccountKind.PAYOUT, way), amount_fen)


def _taker(occasion: Occasion) -> tuple[AccountKind, str]:
    if occasion.premium_year is not None:
        return AccountKind.PREMIUM, str(occasion.premium_year)
    if not occasion.fixmedins_code:
        raise LedgerError("a settlement or refund is posted without the institution whose clearing account it is on")
    return AccountKind.CLEARING, occasion.fixmedins_code


def _pair(
    posting_id: UUID,
    occasion: Occasion,
    source: tuple[AccountKind, str],
    target: tuple[AccountKind, str],
    amount_fen: int,
) -> Posting:
    if amount_fen < 0:
        raise LedgerError(f"posting {posting_id} moves {amount_fen} fen; the direction is the kind's, not the sign's")
    return Posting(posting_id, occasion, (Entry(*source, -amount_fen), Entry(*target, amount_fen)))


def post(postings: Iterable[Posting], standings: Mapping[str, Standing]) -> Posted:
    """The rows of these postings, in order, on accounts that stand as `standings` says (read under their locks).

    Raises:
        OverdrawnError: an account would go below zero, even if a later entry made up for it.
        UnknownAccountError: a personal account is not in `standings`.
    """
    touched: dict[str, Standing] = {}
    rows: list[EntryRow] = []
    for posting in postings:
        for entry in posting.entries:
            after = _after(entry, touched.get(entry.account_key) or standings.get(entry.account_key))
            if after is not None:
                touched[entry.account_key] = after
            rows.append(_row(posting, entry, after))
    return Posted(tuple(rows), touched)


def _after(entry: Entry, before: Standing | None) -> Standing | None:
    if entry.account_kind is not AccountKind.PERSONAL:
        return None
    if before is None:
        raise UnknownAccountError("a posting touches a personal account that was not read under its lock")
    balance_fen = before.balance_fen + entry.amount_fen
    if balance_fen < 0:
        raise OverdrawnError(f"an account with {before.balance_fen} fen cannot take an entry of {entry.amount_fen} fen")
    return Standing(balance_fen, before.version + 1)


def _row(posting: Posting, entry: Entry, after: Standing | None) -> EntryRow:
    return EntryRow(
        posting_id=posting.posting_id,
        account_kind=entry.account_kind,
        account_key=entry.account_key,
        amount_fen=entry.amount_fen,
        balance_after_fen=after.balance_fen if after else None,
        version=after.version if after else None,
        occasion=posting.occasion,
    )


def versions_before(rows: Sequence[EntryRow]) -> dict[str, int]:
    """From which version of each personal account these rows go on, by its psn_no."""
    return {row.account_key: row.version - 1 for row in reversed(rows) if row.version is not None}
