"""Contributions to many accounts at once, as a pure fold: what is credited, what was credited before, what is refused.

A list gives what crediting its rows one after the other gives. Amounts are in fen.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Final
from uuid import UUID

from settlement.domain.accounts import (
    Account,
    AccountClosedError,
    Contribution,
    ContributionKind,
    ContributionReusedError,
    check_creditable,
    repeated_answer,
)
from settlement.domain.ledger import EntryKind, Occasion, Posted, Posting, contribution_posting, post

MAX_AMOUNT_FEN: Final = 10_000_000_000
_PSN_NO: Final = re.compile(r"[0-9A-Za-z]{1,30}")
_CONTRIBUTION_ID: Final = re.compile(r"[0-9A-Za-z._-]{1,64}")
_ENTRY_KINDS: Final = {
    ContributionKind.CONTRIBUTION: EntryKind.CONTRIBUTION,
    ContributionKind.INTEREST: EntryKind.INTEREST,
}


class RowRefused(Exception):
    """A row is not credited; the reason is of the vocabulary, the sentence names no personal data."""

    def __init__(self, reason: str, description: str) -> None:
        super().__init__(description)
        self.reason = reason
        self.description = description


@dataclass(frozen=True, slots=True)
class Row:
    """One contribution that is to be credited."""

    psn_no: str
    contribution_id: str
    amount_fen: int
    kind: ContributionKind = ContributionKind.CONTRIBUTION


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that was not credited."""

    number: int
    """As the sender counts, from 1."""
    reason: str
    description: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What some rows came to."""

    credited: tuple[Contribution, ...] = ()
    posted: Posted = field(default_factory=lambda: Posted((), {}))
    repeated_count: int = 0
    """Rows that had been credited before."""
    refused: tuple[Refused, ...] = ()

    @property
    def credited_fen(self) -> int:
        """What all of it comes to."""
        return sum(each.amount_fen for each in self.credited)


def row_of(psn_no: str, contribution_id: str, amount_fen: int, kind: ContributionKind) -> Row | RowRefused:
    """The row, if it has the form that the contract of `RecordContribution` asks for."""
    if not _PSN_NO.fullmatch(psn_no):
        return RowRefused("INVALID_FIELDS", "psn_no must have 1 to 30 letters and digits")
    if not _CONTRIBUTION_ID.fullmatch(contribution_id):
        wanted = "1 to 64 letters, digits, dots, underscores and hyphens"
        return RowRefused("INVALID_FIELDS", f"contribution_id must have {wanted}")
    if not 1 <= amount_fen <= MAX_AMOUNT_FEN:
        return RowRefused("INVALID_FIELDS", f"amount must be 1 to {MAX_AMOUNT_FEN} fen")
    return Row(psn_no, contribution_id, amount_fen, kind)


def contribution_hash(row: Row) -> bytes:
    """What a contribution's id is bound to; what has no kind of its own is bound as before there were kinds."""
    kind = "" if row.kind is ContributionKind.CONTRIBUTION else f"|{row.kind}"
    return hashlib.sha256(f"contribution/1|{row.psn_no}|{row.amount_fen}{kind}".encode()).digest()


def posting_of(row: Row, posting_id: UUID, at: datetime, day: date) -> Posting:
    """The movement of a contribution."""
    occasion = Occasion(_ENTRY_KINDS[row.kind], at, day, contribution_id=row.contribution_id)
    return contribution_posting(posting_id, occasion, row.psn_no, row.amount_fen)


@dataclass(frozen=True, slots=True)
class Books:
    """What rows are judged by: read under the accounts' locks."""

    known: Mapping[str, Contribution]
    """By id, those that were credited before."""
    accounts: Mapping[str, Account]
    at: datetime
    day: date
    new_id: Callable[[], UUID]


def take(rows: Sequence[tuple[int, Row | RowRefused]], books: Books) -> Taken:
    """What these numbered rows come to, each after those before it."""
    fresh: dict[str, tuple[Row, Contribution]] = {}
    repeated, refused = 0, list[Refused]()
    for number, row in rows:
        try:
            repeated += _take(row, books, fresh)
        except RowRefused as refusal:
            refused.append(Refused(number, refusal.reason, refusal.description))
    standings = {psn_no: account.standing for psn_no, account in books.accounts.items()}
    posted = post((posting_of(row, books.new_id(), books.at, books.day) for row, _ in fresh.values()), standings)
    balances = [row.balance_after_fen or 0 for row in posted.personal_rows]
    contributions = [contribution for _, contribution in fresh.values()]
    credited = [replace(each, balance_after_fen=balance) for each, balance in zip(contributions, balances, strict=True)]
    return Taken(tuple(credited), posted, repeated, tuple(refused))


def _take(row: Row | RowRefused, books: Books, fresh: dict[str, tuple[Row, Contribution]]) -> bool:
    """Note what is to be credited; whether it was credited before."""
    if isinstance(row, RowRefused):
        raise row
    body_hash = contribution_hash(row)
    try:
        before = books.known.get(row.contribution_id)
        if before is None and row.contribution_id in fresh:
            before = fresh[row.contribution_id][1]
        if before is not None:
            repeated_answer(before, body_hash)
            return True
        check_creditable(books.accounts.get(row.psn_no))
    except (ContributionReusedError, AccountClosedError) as refusal:
        raise RowRefused(refusal.reason, str(refusal)) from None
    fresh[row.contribution_id] = (
        row,
        Contribution(row.contribution_id, row.psn_no, row.amount_fen, 0, body_hash, row.kind),
    )
    return False
