"""Differences between institutions' lines and ours: rows ⇄ the domain."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Final, Protocol
from uuid import UUID

import asyncpg

from kit.db import Transaction
from settlement.domain.differences import Change, Compared, Difference, DifferenceState, LineKey, Mismatch
from settlement.domain.reconciliation import Amounts, bounds
from settlement.reconciliation_sql import REVERSED, SETTLED, SUMMED

# One at a time for an institution's day: two comparisons at once would both find what is not on the list yet.
_ALONE: Final = "SELECT pg_advisory_xact_lock(hashtextextended('difference ' || $1 || ' ' || $2::date, 0))"

_COMPARE: Final = f"""
SELECT msgid, refund, h.fen AS here_fen, t.fen AS there_fen
FROM (SELECT msgid, refund, ARRAY[{", ".join(SUMMED)}] AS fen
      FROM ({SETTLED} AND fixmedins_code = $4 UNION ALL {REVERSED} AND fixmedins_code = $4) AS line) AS h
FULL JOIN (SELECT msgid, refund, ARRAY[a, b, c, d, e, f] AS fen
           FROM unnest($5::text[], $6::boolean[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],
                       $11::bigint[], $12::bigint[]) AS line (msgid, refund, a, b, c, d, e, f)) AS t
    USING (msgid, refund)
WHERE h.fen IS DISTINCT FROM t.fen
ORDER BY msgid COLLATE "C", refund
"""  # noqa: S608 - only our own names

_SELECT: Final = """
SELECT d.difference_id, d.fixmedins_code, d.day, d.msgid, d.refd_setl_flag, d.here_fen, d.there_fen,
       c.state, c.changed_by, c.note, c.changed_at
FROM {differences} AS d JOIN difference_change AS c USING (difference_id)
ORDER BY d.difference_id, c.position
"""
_OF_DAY: Final = _SELECT.format(differences="(SELECT * FROM difference WHERE fixmedins_code = $1 AND day = $2)")
_LOCKED: Final = _SELECT.format(differences="(SELECT * FROM difference WHERE difference_id = $1 FOR UPDATE)")
_PAGE: Final = _SELECT.format(
    differences="""(
    SELECT * FROM difference
    WHERE fixmedins_code = $1 AND ($2::date IS NULL OR day = $2) AND ($3::text IS NULL OR state = $3)
      AND ($4::uuid IS NULL OR difference_id > $4)
    ORDER BY difference_id LIMIT $5)"""
)
_SAVE: Final = """
INSERT INTO difference (difference_id, fixmedins_code, day, msgid, refd_setl_flag, here_fen, there_fen, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (difference_id) DO UPDATE
SET here_fen = excluded.here_fen, there_fen = excluded.there_fen, state = excluded.state, updated_at = clock_timestamp()
"""
_ADD_CHANGE: Final = """
INSERT INTO difference_change (difference_id, position, state, changed_by, note, changed_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""


class DifferenceRepository(Protocol):
    """Lines of days and the worklist of what differs, in one unit of work."""

    async def compare(self, fixmedins_code: str, day: date, there: Mapping[LineKey, Amounts]) -> Compared:
        """What an institution's lines and ours differ in; other comparisons of that day wait until the unit ends."""
        ...

    async def of_day(self, fixmedins_code: str, day: date) -> Sequence[Difference]:
        """All differences of a day that are known."""
        ...

    async def save(self, differences: Sequence[Difference]) -> None:
        """Write differences of which something more, their last change, was said."""
        ...

    async def lock(self, difference_id: UUID) -> Difference | None:
        """One of them, locked."""
        ...

    async def page(
        self,
        fixmedins_code: str,
        day: date | None,
        state: DifferenceState | None,
        after: UUID | None,
        limit: int,
    ) -> Sequence[Difference]:
        """At most `limit` of an institution's, oldest first, after that one."""
        ...


class PostgresDifferenceRepository:
    """See `DifferenceRepository`.

    What takes a while for tens of thousands of lines is done in threads: bills are settled on this event loop.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._raw = transaction.raw

    async def compare(self, fixmedins_code: str, day: date, there: Mapping[LineKey, Amounts]) -> Compared:
        """See `DifferenceRepository.compare`."""
        await self._raw.execute(_ALONE, fixmedins_code, day)
        columns = await asyncio.to_thread(_columns, there)
        rows = await self._raw.fetch(_COMPARE, day, *bounds(day), fixmedins_code, *columns)
        mismatches = await asyncio.to_thread(_mismatches, rows)
        return Compared(len(there) - sum(each.there is not None for each in mismatches), mismatches)

    async def of_day(self, fixmedins_code: str, day: date) -> Sequence[Difference]:
        """See `DifferenceRepository.of_day`."""
        rows = await self._raw.fetch(_OF_DAY, fixmedins_code, day)
        return await asyncio.to_thread(lambda: list(_differences(rows)))

    async def save(self, differences: Sequence[Difference]) -> None:
        """See `DifferenceRepository.save`."""
        rows = await asyncio.to_thread(lambda: [(_row(each), _last_change(each)) for each in differences])
        await self._raw.executemany(_SAVE, [row for row, _ in rows])
        await self._raw.executemany(_ADD_CHANGE, [change for _, change in rows])

    async def lock(self, difference_id: UUID) -> Difference | None:
        """See `DifferenceRepository.lock`."""
        return next(_differences(await self._raw.fetch(_LOCKED, difference_id)), None)

    async def page(
        self,
        fixmedins_code: str,
        day: date | None,
        state: DifferenceState | None,
        after: UUID | None,
        limit: int,
    ) -> Sequence[Difference]:
        """See `DifferenceRepository.page`."""
        return list(_differences(await self._raw.fetch(_PAGE, fixmedins_code, day, state, after, limit)))


def _columns(there: Mapping[LineKey, Amounts]) -> tuple[list[object], ...]:
    amounts = [each.parts[1:] for each in there.values()]
    columns: list[list[object]] = [[msgid for msgid, _ in there], [refund for _, refund in there]]
    columns += [[each[place] for each in amounts] for place in range(len(SUMMED))]
    return tuple(columns)


def _differences(rows: Sequence[asyncpg.Record]) -> Iterator[Difference]:
    for difference_id, group in groupby(rows, key=lambda row: row["difference_id"]):
        said = list(group)
        first = said[0]
        yield Difference(
            difference_id=difference_id,
            fixmedins_code=first["fixmedins_code"],
            day=first["day"],
            mismatch=_mismatch(first, first["refd_setl_flag"]),
            changes=tuple(
                Change(DifferenceState(row["state"]), row["changed_by"], row["note"], row["changed_at"]) for row in said
            ),
        )


def _mismatches(rows: Sequence[asyncpg.Record]) -> tuple[Mismatch, ...]:
    return tuple(_mismatch(row, row["refund"]) for row in rows)


def _mismatch(row: asyncpg.Record, refd_setl_flag: bool) -> Mismatch:  # noqa: FBT001 - the column's name
    return Mismatch((row["msgid"], refd_setl_flag), _amounts(row["here_fen"]), _amounts(row["there_fen"]))


def _amounts(fen: Sequence[int] | None) -> Amounts | None:
    return None if fen is None else Amounts(1, *fen)


def _row(difference: Difference) -> tuple[object, ...]:
    here, there = difference.mismatch.here, difference.mismatch.there
    return (
        difference.difference_id,
        difference.fixmedins_code,
        difference.day,
        *difference.mismatch.key,
        list(here.parts[1:]) if here else None,
        list(there.parts[1:]) if there else None,
        difference.state,
    )


def _last_change(difference: Difference) -> tuple[object, ...]:
    last = difference.changes[-1]
    place = len(difference.changes)
    return difference.difference_id, place, last.state, last.changed_by, last.note, last.changed_at
