"""Changing every row of a large table in batches, by a command beside running services; it may stop and go on.

Between expanding and contracting, what is old is filled or sealed anew. One statement over the whole table would lock
all of it and undo hours when it fails. Here a batch of rows is one short transaction, and how far it came is written
down in the same one: whatever ends the process, the next run goes on behind the last batch.

Run it once all processes write the new form: a row that is written behind its back is not looked at again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from kit.clock import Elapsed
from kit.db import Database, retrying

SCHEMA: Final = """
-- How far commands came that change every row of a table in batches.
CREATE TABLE backfill (
    name     text        PRIMARY KEY,
    after    text[],
    looked   bigint      NOT NULL DEFAULT 0 CHECK (looked >= 0),
    changed  bigint      NOT NULL DEFAULT 0 CHECK (changed BETWEEN 0 AND looked),
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz
);
COMMENT ON COLUMN backfill.after IS 'the key of the last row that was looked at, as text; null before the first';
"""
"""For a migration of a service with such a command; frozen. A later change is a new constant and a new migration."""

BATCH: Final = 500
TELL_EVERY_SECONDS: Final = 2.0

Row = tuple[Any, ...]
Change = Callable[[Sequence[Row]], Sequence[Row]]
"""Given rows (the key's columns, then the others), the same rows with new values; those that stay are left out."""

_TYPES: Final = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = $1::regclass AND attname = ANY ($2::text[])
"""
_ABOUT: Final = "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = $1::regclass"
_PLACE: Final = """
INSERT INTO backfill (name) VALUES ($1)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING after, looked, changed, ended_at IS NOT NULL AS is_done
"""
_KEEP: Final = """
UPDATE backfill SET after = coalesce($2::text[], after), looked = looked + $3, changed = changed + $4,
                    ended_at = CASE WHEN $5 THEN clock_timestamp() END
WHERE name = $1
"""
_LOCKS: Final = {False: "FOR NO KEY UPDATE", True: "FOR NO KEY UPDATE SKIP LOCKED"}
_AGAIN: Final = "DELETE FROM backfill WHERE name = $1 AND ended_at IS NOT NULL"


class BackfillError(Exception):
    """The table or its columns are not there as they were named, or a change is no change of what it was given."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What is read and written."""

    table: str
    key: tuple[str, ...]
    """The primary key, in its order: by it the table is walked through."""
    changed: tuple[str, ...]
    """The columns that are given to the change and may come back with other values."""
    beside: tuple[str, ...] = ()
    """Columns that are given to the change after those, and are not written."""


@dataclass(frozen=True, slots=True)
class Done:
    """How far it came, all runs together."""

    looked: int
    changed: int
    is_complete: bool
    """False if it was told to stop before the end."""


def never() -> bool:
    """What is not to be stopped."""
    return False


async def backfill(
    database: Database,
    name: str,
    columns: Columns,
    change: Change,
    *,
    batch: int = BATCH,
    pass_over_locked: bool = False,
    tell: Callable[[str], None] = lambda _line: None,
    stop: Callable[[], bool] = never,
) -> Done:
    """Give every row to `change`, in batches by the primary key; goes on where a run before of this name stopped.

    What was completed is left alone; `begin_again` lets it start anew. Of two runs at once the second waits for each
    batch of the first, and both together look at every row once.

    Args:
        database: the service's own, with the table `backfill`.
        name: of this work, such as `person by key 3`: another purpose is another name.
        columns: see `Columns`.
        change: pure; see `Change`.
        batch: rows of one transaction. Calls that change one of them wait so long.
        pass_over_locked: leave out rows that somebody else is changing, instead of waiting for them, so that a batch
            can never be in a deadlock; for a change of which is known afterwards which rows still lack it.
        tell: given a line every other second, and one at the end.
        stop: asked before each batch.

    Raises:
        BackfillError: see there.
    """
    statements = await _statements(database, columns, f"LIMIT {batch} {_LOCKS[pass_over_locked]}", batch)
    about = await _about(database, columns.table)
    elapsed, silent, here = Elapsed(), Elapsed(), 0
    while True:
        before = await _place(database, name)
        if before.is_complete or stop():
            tell(_line(columns.table, before, about, here, elapsed))
            return before
        looked = await retrying(lambda: _one_batch(database, name, statements, change, batch))
        here += looked
        if silent.seconds >= TELL_EVERY_SECONDS:
            silent = Elapsed()
            tell(_line(columns.table, await _place(database, name), about, here, elapsed))


async def begin_again(database: Database, name: str) -> None:
    """Forget that this was completed; what is under way stays."""
    async with database.transaction() as transaction:
        await transaction.raw.execute(_AGAIN, name)


@dataclass(frozen=True, slots=True)
class _Statements:
    first: str
    later: str
    put: str
    key_length: int
    put_length: int


async def _statements(database: Database, columns: Columns, end: str, batch: int) -> _Statements:
    if batch < 1 or not columns.key or not columns.changed:
        raise BackfillError("a batch has at least one row, and a row a key and something to change")
    written = (*columns.key, *columns.changed)
    names = (*written, *columns.beside)
    async with database.transaction() as transaction:
        try:
            types = dict(map(tuple, await transaction.raw.fetch(_TYPES, columns.table, list(names))))
        except asyncpg.UndefinedTableError as error:
            raise BackfillError(f"there is no table {columns.table}") from error
    if missing := [each for each in names if each not in types]:
        raise BackfillError(f"{columns.table} has no column {', '.join(missing)}")
    keys = ", ".join(map(_quoted, columns.key))
    after = ", ".join(f"($1::text[])[{place}]::{types[each]}" for place, each in enumerate(columns.key, 1))
    all_of_them, table = ", ".join(map(_quoted, names)), _quoted(columns.table)
    take = f"SELECT {all_of_them}, ARRAY[{', '.join(f'{_quoted(each)}::text' for each in columns.key)}] FROM {table}"  # noqa: S608 - quoted
    end = f"ORDER BY {keys} {end}"
    first_changed = len(columns.key) + 1
    values = ", ".join(f"{_quoted(each)} = ${place}" for place, each in enumerate(columns.changed, first_changed))
    found = " AND ".join(f"{_quoted(each)} = ${place}" for place, each in enumerate(columns.key, 1))
    return _Statements(
        f"{take} {end}",
        f"{take} WHERE ({keys}) > ({after}) {end}",
        f"UPDATE {table} SET {values} WHERE {found}",  # noqa: S608 - quoted
        len(columns.key),
        len(written),
    )


async def _one_batch(database: Database, name: str, statements: _Statements, change: Change, batch: int) -> int:
    async with database.transaction() as transaction:
        place = await transaction.raw.fetchrow(_PLACE, name)  # locks it: of two runs one waits
        if place is None or place["is_done"]:
            return 0
        after = place["after"]
        found = await transaction.raw.fetch(*((statements.later, after) if after else (statements.first,)))
        rows = [tuple(each)[:-1] for each in found]
        new = _checked(rows, change(rows) if rows else [], statements.key_length)
        await transaction.raw.executemany(statements.put, [row[: statements.put_length] for row in new])
        last = found[-1][-1] if found else None
        await transaction.raw.execute(_KEEP, name, last, len(rows), len(new), len(rows) < batch)
    return len(rows)


def _checked(rows: Sequence[Row], new: Sequence[Row], key_length: int) -> Sequence[Row]:
    given = {row[:key_length] for row in rows}
    if len({row[:key_length] for row in new} & given) != len(new) or any(len(row) != len(rows[0]) for row in new):
        raise BackfillError("the change gave back rows that it was not given, or one twice, or with other columns")
    return new


async def _place(database: Database, name: str) -> Done:
    async with database.transaction() as transaction:
        place = await transaction.raw.fetchrow(_PLACE, name)
    if place is None:
        raise BackfillError(f"{name} is not written down")
    return Done(place["looked"], place["changed"], place["is_done"])


async def _about(database: Database, table: str) -> int:
    async with database.transaction() as transaction:
        return int(await transaction.raw.fetchval(_ABOUT, table))


def _line(table: str, done: Done, about: int, here: int, elapsed: Elapsed) -> str:
    end = "complete" if done.is_complete else f"of about {max(about, done.looked):,}"
    return f"{table}: {done.looked:,} {end}, {done.changed:,} changed; {here / max(elapsed.seconds, 0.001):,.0f} rows/s"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
