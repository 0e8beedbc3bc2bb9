"""Counters of limits in one transaction: asyncpg, every statement over a whole batch.

A relation's row counts in the windows of its open day, the latest that was ever spent on: the lock of a relation brings
its counters along, and a settlement writes one row for all of them. Windows that a later day has closed are rows of a
table; a refund needs them, or a bill of a day before.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from binding.domain.batch import Book
from binding.domain.limits import COUNTED_WINDOWS, NO_USE, TOTAL_START, CounterKey, LimitWindow, Use, window_starts
from binding.domain.nearly_used import NearlyUsed, newest
from binding.repository.rows import Row
from kit.db import Transaction

_USES = """
SELECT c.relation_id, c.window_kind, c.window_start, c.used_fen, c.held_fen, c.nearly_told
FROM limit_counter AS c JOIN unnest($1::uuid[], $2::text[], $3::date[]) AS k (relation_id, window_kind, window_start)
     USING (relation_id, window_kind, window_start)
WHERE c.relation_id = ANY ($1::uuid[])
"""
# What never counted anything and was never told is not kept: it reads the same when it is not there.
_CLOSE = """
INSERT INTO limit_counter_closed (relation_id, window_kind, window_start, used_fen, held_fen, nearly_told)
SELECT r.relation_id, w.kind, w.start, w.used_fen, w.held_fen, w.told
FROM unnest($1::uuid[], $2::smallint[]) AS m (relation_id, kept) JOIN relation AS r USING (relation_id)
CROSS JOIN LATERAL (VALUES
    (1, 'DAY', r.open_day, r.day_used_fen, r.day_held_fen, r.day_told),
    (2, 'MONTH', date_trunc('month', r.open_day)::date, r.month_used_fen, r.month_held_fen, r.month_told),
    (4, 'YEAR', date_trunc('year', r.open_day)::date, r.year_used_fen, r.year_held_fen, r.year_told)
) AS w (bit, kind, start, used_fen, held_fen, told)
WHERE m.kept & w.bit = 0 AND (w.used_fen, w.held_fen, w.told) <> (0, 0, false)
"""
_BEGIN_CLOSED = """
INSERT INTO limit_counter_closed (relation_id, window_kind, window_start)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::date[]) ON CONFLICT DO NOTHING
"""
# The guard, as for open windows: what a grant moves must fit under the limit as the locked relation states it.
_MOVE_CLOSED = """
UPDATE limit_counter_closed AS c SET used_fen = c.used_fen + m.used_fen, held_fen = c.held_fen + m.held_fen
FROM unnest($1::uuid[], $2::text[], $3::date[], $4::bigint[], $5::bigint[], $6::boolean[])
     AS m (relation_id, window_kind, window_start, used_fen, held_fen, granting)
     JOIN relation AS r USING (relation_id)
WHERE c.relation_id = m.relation_id AND c.window_kind = m.window_kind AND c.window_start = m.window_start
  AND (NOT m.granting OR c.used_fen + c.held_fen + m.used_fen + m.held_fen <= coalesce(
        CASE m.window_kind WHEN 'DAY' THEN r.day_fen WHEN 'MONTH' THEN r.month_fen ELSE r.year_fen END,
        9223372036854775807))
RETURNING 1
"""
_TOLD = """
WITH told AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::date[]) AS k (relation_id, window_kind, window_start)
), closed AS (
    UPDATE limit_counter_closed AS c SET nearly_told = true
    FROM told AS k
    WHERE c.relation_id = k.relation_id AND c.window_kind = k.window_kind AND c.window_start = k.window_start
)
UPDATE relation AS r SET
    sequence = s.sequence,
    day_told = r.day_told OR (r.relation_id, 'DAY', r.open_day) IN (TABLE told),
    month_told = r.month_told OR (r.relation_id, 'MONTH', date_trunc('month', r.open_day)::date) IN (TABLE told),
    year_told = r.year_told OR (r.relation_id, 'YEAR', date_trunc('year', r.open_day)::date) IN (TABLE told),
    total_told = r.total_told OR (r.relation_id, 'TOTAL', '1970-01-01'::date) IN (TABLE told)
FROM unnest($4::uuid[], $5::bigint[]) AS s (relation_id, sequence) WHERE r.relation_id = s.relation_id
"""

_COLUMNS = ("day", "month", "year", "total")
"""Of the windows in their order; a window's bit is 1, 2, 4, 8."""


def _moved_column(name: str, bit: int, kind: str) -> str:
    column = f"{name}_{kind}_fen"
    return f"CASE WHEN m.kept & {bit} = 0 THEN 0 ELSE r.{column} END + m.{column}"


def _set(name: str, bit: int) -> str:
    used, held = (_moved_column(name, bit, kind) for kind in ("used", "held"))
    return f"{name}_used_fen = {used}, {name}_held_fen = {held}, {name}_told = r.{name}_told AND m.kept & {bit} <> 0"


def _fits(name: str, bit: int) -> str:
    taken = " + ".join(_moved_column(name, bit, kind) for kind in ("used", "held"))
    return f"(m.granting & {bit} = 0 OR {taken} <= coalesce(r.{name}_fen, 9223372036854775807))"


_READ = [(f"{name}_used_fen", f"{name}_held_fen", f"{name}_told") for name in _COLUMNS]
_PLACES = {window: place for place, window in enumerate(COUNTED_WINDOWS)}
_WINDOWS = [(name, 1 << place) for place, name in enumerate(_COLUMNS)]
# What outcomes and grants move, at once. The guard: a window that a grant moves is written only where the result fits
# under the limit as the locked relation states it; what outcomes alone move is never refused.
MOVED = f"""
moved AS (
    UPDATE relation AS r SET open_day = m.open_day,
        {", ".join(_set(name, bit) for name, bit in _WINDOWS)}
    FROM unnest((SELECT $1::moved_relation[])) AS m
    WHERE r.relation_id = m.relation_id AND {" AND ".join(_fits(name, bit) for name, bit in _WINDOWS)}
    RETURNING 1
)
"""  # noqa: S608 - constants of this file
"""A part of a statement: `moved` has a row for each of the `Move`s in $1 that was written."""


class GuardBroken(Exception):
    """A grant that the rules allowed would exceed a limit in the table; a fault in the code, nothing is committed."""


class Counters(NamedTuple):
    """What counters say."""

    uses: dict[CounterKey, Use]
    told: set[CounterKey]
    """Those of which it was told that they are nearly used."""

    def with_others(self, others: "Counters") -> "Counters":
        """These and others."""
        return Counters(self.uses | others.uses, self.told | others.told)


@dataclass(slots=True)
class Move:
    """How the row of one relation changes, by window in their order."""

    relation_id: UUID
    open_day: date
    kept: int
    """The bits of the windows that stay open; the others are those of a later day now."""
    granting: int = 0
    """The bits of the windows that a grant moves."""
    used_fen: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    held_fen: list[int] = field(default_factory=lambda: [0, 0, 0, 0])

    def row(self) -> tuple[object, ...]:
        """As the database's type moved_relation has it."""
        return (self.relation_id, self.open_day, self.kept, self.granting, *self.used_fen, *self.held_fen)


class CounterRows:
    """Counters in one transaction; they are written only under the lock of their relation."""

    def __init__(self, transaction: Transaction) -> None:
        self._raw = transaction.raw

    async def uses(self, keys: Collection[CounterKey]) -> dict[CounterKey, Use]:
        """See `Repository.uses`."""
        return (await self.counters(keys)).uses

    async def nearly_used_told(self, keys: Collection[CounterKey]) -> set[CounterKey]:
        """See `Repository.nearly_used_told`."""
        return (await self.counters(keys)).told

    async def counters(self, keys: Collection[CounterKey]) -> Counters:
        """The counters of these keys, open or closed."""
        found = Counters({}, set())
        rows = await self._raw.fetch(_USES, *columns(sorted(keys))) if keys else []
        for relation_id, kind, start, used_fen, held_fen, nearly_told in rows:
            _note(found, CounterKey(relation_id, LimitWindow(kind), start), used_fen, held_fen, nearly_told)
        return found

    async def note_nearly_used(self, notices: Sequence[NearlyUsed]) -> None:
        """See `Repository.note_nearly_used`."""
        if notices:
            relations = [(relation.relation_id, relation.sequence) for relation in newest(notices)]
            await self._raw.execute(_TOLD, *columns([notice.key for notice in notices]), *columns(relations))

    async def close_windows(self, moves: Collection[Move], book: Book) -> None:
        """Keep the windows that later days close as rows of their own, before the relations' rows are written."""
        closing = [
            (it.relation_id, it.kept) for it in moves if TOTAL_START < book.open_days[it.relation_id] < it.open_day
        ]
        if closing:
            await self._raw.execute(_CLOSE, *columns(closing))

    async def move_closed(self, keys: Collection[CounterKey], book: Book) -> None:
        """Write what moves in closed windows. Raises GuardBroken."""
        if keys:
            await self._raw.execute(_BEGIN_CLOSED, *columns(sorted(keys)))
            moved = await self._raw.fetch(_MOVE_CLOSED, *columns([_closed_row(book, key) for key in keys]))
            refuse_unmoved(len(keys), len(moved))


def refuse_unmoved(wanted: int, moved: int) -> None:
    """Raises GuardBroken unless all was written that was to be written."""
    if moved != wanted:
        raise GuardBroken(f"{wanted - moved} of {wanted} counters would exceed a limit")


def open_counters(rows: Iterable[Row]) -> Counters:
    """What rows of relations count in the windows of their open days."""
    found = Counters({}, set())
    for row in rows:
        if (open_day := row["open_day"]) == TOTAL_START:
            continue
        relation_id = row["relation_id"]
        for (window, start), (used, held, told) in zip(window_starts(open_day), _READ, strict=True):
            _note(found, CounterKey(relation_id, window, start), row[used], row[held], row[told])
    return found


def closed_keys(days: Iterable[tuple[UUID, date]], open_days: Mapping[UUID, date]) -> set[CounterKey]:
    """The counters of these days that are not in their relation's row, because a later day has closed their windows."""
    return {
        CounterKey(relation_id, window, start)
        for relation_id, day in days
        if day < open_days[relation_id]
        for (window, start), (_, opened) in zip(window_starts(day), window_starts(open_days[relation_id]), strict=True)
        if start < opened
    }


def moves_of(book: Book) -> tuple[list[Move], list[CounterKey]]:
    """How the relations' rows change, and the counters that change in closed windows."""
    latest: dict[UUID, date] = {}
    keys = book.freed.keys() | book.held.keys()
    for relation_id, _, start in keys:
        if start > latest.setdefault(relation_id, book.open_days[relation_id]):
            latest[relation_id] = start
    moves = {key: Move(key, day, _kept(book.open_days[key], day)) for key, day in latest.items()}
    return list(moves.values()), [key for key in keys if not _moves_open(moves[key.relation_id], key, book)]


@lru_cache(maxsize=1024)
def _kept(open_day: date, day: date) -> int:
    pairs = zip(window_starts(open_day), window_starts(day), strict=True)
    return sum(1 << place for place, (before, after) in enumerate(pairs) if before == after)


def _moves_open(move: Move, key: CounterKey, book: Book) -> bool:
    place = _PLACES[key.window]
    if window_starts(move.open_day)[place][1] != key.start:
        return False
    change = book.freed.get(key)
    if (granted := book.held.get(key)) is not None:
        move.granting |= 1 << place
        change = granted if change is None else change + granted
    if change is not None:
        move.used_fen[place], move.held_fen[place] = change.used_fen, change.held_fen
    return True


def _note(found: Counters, key: CounterKey, used_fen: int, held_fen: int, nearly_told: bool) -> None:  # noqa: FBT001 - a column
    found.uses[key] = Use(used_fen, held_fen)
    if nearly_told:
        found.told.add(key)


def _closed_row(book: Book, key: CounterKey) -> tuple[object, ...]:
    change = book.freed.get(key, NO_USE) + book.held.get(key, NO_USE)
    return (*key, change.used_fen, change.held_fen, key in book.held)


def columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """Rows as the arrays that `unnest` takes."""
    return [list(column) for column in zip(*rows, strict=True)]
