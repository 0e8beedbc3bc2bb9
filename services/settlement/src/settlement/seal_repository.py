"""Rows of sealed blocks ⇄ the domain, and entries as they are sealed.

An entry's line is the text of a row of its fields, as PostgreSQL writes it with dates in ISO form and times in UTC: it
tells NULL from an empty text and quotes what needs it, so no two entries have the same line.
"""

from collections.abc import Sequence
from typing import Final

import asyncpg

from kit.db import Transaction
from kit.outbox import Outbox, PostgresOutbox
from settlement.account_repository import SERVICE
from settlement.domain.seals import BEGINNING, Block, Content, Place, SealAlgorithm

_LOCK_SPACE: Final = 0x7365616C
"""The first half of the sealers' advisory lock ("seal")."""

_TRY = "SELECT pg_try_advisory_xact_lock($1, 0)"
# Without sorts, months are merged by their indexes, and as much is read as is asked for. The planner expects next to
# nothing behind a transaction that wrote most of the ledger, or came after its last look; all there is of it would be
# read and sorted for each block. Compiling is what it would do about a plan that it must not like.
PLAIN = """
SELECT set_config('datestyle', 'ISO, YMD', true), set_config('timezone', 'UTC', true),
       set_config('enable_sort', 'off', true), set_config('jit', 'off', true)
"""
_BLOCK = """
SELECT number, format, algorithm, entries, last_tx::text AS last_tx, last_entry_id, previous_hash, hash, sealed_at
FROM entry_block
"""
_NEWEST = _BLOCK + "ORDER BY number DESC LIMIT 1"
_BEHIND = _BLOCK + "WHERE number > $1 ORDER BY number LIMIT $2"
_NUMBERED = _BLOCK + "WHERE number = ANY($1::bigint[])"
_ADD = """
INSERT INTO entry_block (number, format, algorithm, entries, last_tx, last_entry_id, previous_hash, hash, sealed_at)
VALUES ($1, $2, $3, $4, $5::text::xid8, $6, $7, $8, $9)
"""
FIELDS_OF_FORMAT_1: Final = (
    *("id", "tx", "posting_id", "account_kind", "account_key", "amount_fen", "balance_after_fen", "version"),
    *("entry_kind", "settlement_id", "contribution_id", "patient_psn_no", "fixmedins_code", "posted_at"),
    *("business_day", "created_at"),
)
"""What of an entry is sealed: all of it. A field that is added makes format 2; blocks of format 1 stay as they are."""

_FIELDS = ", ".join(f"e.{field}" for field in FIELDS_OF_FORMAT_1)
# Read by the index from one place on, as many as are asked for, and only then cut off: compared with a last place, too,
# the index would be read to the end of the last transaction, which may have written most of the ledger.
_CONTENT = """
WITH behind AS MATERIALIZED (
    SELECT e.tx, e.id, ROW({fields})::text AS line
    FROM entry AS e WHERE (e.tx, e.id) > ($1::text::xid8, $2) ORDER BY e.tx, e.id LIMIT $3
), chunk AS MATERIALIZED (
    SELECT * FROM behind AS e WHERE {until}
)
SELECT (SELECT count(*) FROM chunk) AS entries, (SELECT string_agg(line, E'\\n' ORDER BY tx, id) FROM chunk) AS content,
       last.tx::text AS tx, last.id
FROM (SELECT tx, id FROM chunk ORDER BY tx DESC, id DESC LIMIT 1) AS last
"""
# What transactions below the oldest running one have written is all there, and nothing will ever come between.
_SEALABLE = _CONTENT.format(fields=_FIELDS, until="e.tx < pg_snapshot_xmin(pg_current_snapshot())")
SEALED = _CONTENT.format(fields=_FIELDS, until="(e.tx, e.id) <= ($4::text::xid8, $5)")
_WAITING = """
SELECT count(*) AS entries,
       coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8 AS age_seconds
FROM entry WHERE (tx, id) > ($1::text::xid8, $2)
"""


class PostgresSealRepository:
    """Blocks and the entries that they seal, in one transaction."""

    outbox: Outbox

    def __init__(self, transaction: Transaction) -> None:
        self._raw = transaction.raw
        self.outbox = PostgresOutbox(transaction, SERVICE)

    async def is_alone(self) -> bool:
        """Whether nobody else seals until this transaction ends."""
        return bool(await self._raw.fetchval(_TRY, _LOCK_SPACE))

    async def newest(self) -> Block | None:
        """The last block; None if there is none."""
        row = await self._raw.fetchrow(_NEWEST)
        return _block(row) if row else None

    async def behind(self, number: int, limit: int) -> list[Block]:
        """Blocks after that number, in their order."""
        return [_block(row) for row in await self._raw.fetch(_BEHIND, number, limit)]

    async def numbered(self, numbers: Sequence[int]) -> dict[int, Block]:
        """The blocks of these numbers, those that there are."""
        return {row["number"]: _block(row) for row in await self._raw.fetch(_NUMBERED, numbers)}

    async def sealable(self, after: Place, limit: int) -> Content | None:
        """Entries behind a place that nothing can come before any more; None if there are none."""
        await self._raw.execute(PLAIN)
        row = await self._raw.fetchrow(_SEALABLE, after.tx, after.entry_id, limit)
        return _content(row) if row else None

    async def between(self, after: Place, last: Place, limit: int) -> Content:
        """What there is behind one place up to another, at most `limit` entries of it."""
        await self._raw.execute(PLAIN)
        row = await self._raw.fetchrow(SEALED, after.tx, after.entry_id, limit, last.tx, last.entry_id)
        return _content(row) if row else Content(0, "", last)

    async def add(self, block: Block) -> None:
        """Write the next block.

        Raises:
            asyncpg.UniqueViolationError: there is one of its number.
        """
        await self._raw.execute(
            _ADD,
            block.number,
            block.format,
            str(block.algorithm),
            block.entries,
            block.last.tx,
            block.last.entry_id,
            block.previous_hash,
            block.hash,
            block.sealed_at,
        )

    async def waiting(self) -> tuple[int, float]:
        """How many entries are not sealed yet, and how old the oldest of them is in seconds."""
        newest = await self.newest()
        last = newest.last if newest else BEGINNING
        row = await self._raw.fetchrow(_WAITING, last.tx, last.entry_id)
        return (row["entries"], row["age_seconds"]) if row else (0, 0.0)


def _block(row: asyncpg.Record) -> Block:
    return Block(
        number=row["number"],
        format=row["format"],
        algorithm=SealAlgorithm(row["algorithm"]),
        entries=row["entries"],
        last=Place(row["last_tx"], row["last_entry_id"]),
        previous_hash=bytes(row["previous_hash"]),
        hash=bytes(row["hash"]),
        sealed_at=row["sealed_at"],
    )


def _content(row: asyncpg.Record) -> Content:
    return Content(row["entries"], row["content"], Place(row["tx"], row["id"]))
