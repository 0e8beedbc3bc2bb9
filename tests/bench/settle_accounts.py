"""Personal accounts with a history, written by COPY: as many as a region has, in bounded memory."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

import asyncpg

OPENING_FEN: Final = 1_000_000_000
"""What each account has; far more than any load takes from it."""
ENTRIES_A_CONTRIBUTION: Final = 2
COPY_ENTRIES: Final = 100_000
"""Entries of one COPY: the trigger that adds up postings keeps as many rows in the server's memory."""

_POSTED_AT: Final = datetime(2024, 12, 31, 16, tzinfo=UTC)
_DAY: Final = date(2025, 1, 1)
_ACCOUNT_COLUMNS: Final = ("psn_no", "state", "balance_fen", "version")
_ENTRY_COLUMNS: Final = (
    *("posting_id", "account_kind", "account_key", "amount_fen", "balance_after_fen", "version", "entry_kind"),
    *("contribution_id", "posted_at", "business_day"),
)

Account = tuple[str, str, int, int]
Entry = tuple[UUID, str, str, int, int | None, int | None, str, str, datetime, date]
Tell = Callable[[int], None]
"""Is told how many accounts are written so far."""


async def copy_accounts(url: str, prefix: str, count: int, contributions_each: int, tell: Tell) -> None:
    """`count` accounts with so many contributions each; balances and versions agree with their entries."""
    step = max(1, COPY_ENTRIES // (ENTRIES_A_CONTRIBUTION * contributions_each))
    connection = await asyncpg.connect(url)
    try:
        for first in range(0, count, step):
            numbers = range(first, min(count, first + step))
            await connection.copy_records_to_table(
                "account", records=account_rows(prefix, numbers, contributions_each), columns=_ACCOUNT_COLUMNS
            )
            await connection.copy_records_to_table(
                "entry", records=entry_rows(prefix, numbers, contributions_each), columns=_ENTRY_COLUMNS
            )
            tell(numbers.stop)
        for table in ("account", "entry"):
            await connection.execute(f"VACUUM ANALYZE {table}")
    finally:
        await connection.close()


def account_rows(prefix: str, numbers: range, contributions_each: int) -> Iterator[Account]:
    """Open accounts, each after its last contribution."""
    balance_fen = OPENING_FEN // contributions_each * contributions_each
    for number in numbers:
        yield psn_no(prefix, number), "OPEN", balance_fen, contributions_each


def entry_rows(prefix: str, numbers: range, contributions_each: int) -> Iterator[Entry]:
    """Both entries of each contribution; one after the other, so that a posting is never in two COPYs."""
    amount_fen = OPENING_FEN // contributions_each
    for number in numbers:
        owner = psn_no(prefix, number)
        for version in range(1, contributions_each + 1):
            posting, of = UUID(int=random.getrandbits(128)), f"{owner}.{version}"
            last = ("CONTRIBUTION", of, _POSTED_AT, _DAY)
            yield posting, "CONTRIBUTION", "310", -amount_fen, None, None, *last
            yield posting, "PERSONAL", owner, amount_fen, amount_fen * version, version, *last


def psn_no(prefix: str, number: int) -> str:
    """As a region would give it: F00000001."""
    return f"{prefix}{number:08d}"
