"""Every row is given to the change once, whatever stops it in between."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from kit import backfill as module
from kit.backfill import BackfillError, Columns, Row, backfill, begin_again
from kit.db import Database
from kit.testing import patient_database

FACTS = Columns("of_day", ("day", "place"), ("number", "note"))
ROWS = 23
TABLE = """
CREATE TABLE of_day (day date, place uuid, number bigint, note text, PRIMARY KEY (day, place));
INSERT INTO of_day SELECT '2025-06-01'::date + n % 5, md5(n::text)::uuid, n, 'old' FROM generate_series(1, 23) AS n;
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = patient_database(database_url)
    async with opened.transaction() as transaction:
        await transaction.raw.execute(module.SCHEMA)
        await transaction.raw.execute(TABLE)
    yield opened
    await opened.close()


class Doubling:
    """Doubles odd numbers; the even ones stay."""

    def __init__(self, fails_at: int = 0) -> None:
        self.batches: list[int] = []
        self.seen: list[int] = []
        self.fails_at = fails_at

    def __call__(self, rows: Sequence[Row]) -> Sequence[Row]:
        self.batches.append(len(rows))
        if len(self.batches) == self.fails_at:
            raise ConnectionError("killed")
        self.seen += [number for _day, _place, number, _note in rows]
        return [(day, place, number * 2, "new") for day, place, number, _note in rows if number % 2]


async def numbers(database: Database) -> dict[str, list[int]]:
    async with database.transaction() as transaction:
        rows = await transaction.raw.fetch("SELECT note, array_agg(number ORDER BY number) FROM of_day GROUP BY note")
    return dict(map(tuple, rows))


DOUBLED = {"new": [2 * n for n in range(1, ROWS + 1) if n % 2], "old": [n for n in range(1, ROWS + 1) if n % 2 == 0]}


@pytest.mark.parametrize("batch", [1, 7, ROWS, ROWS + 1])
async def test_every_row_is_given_once_in_batches(database: Database, batch: int) -> None:
    lines: list[str] = []
    change = Doubling()
    done = await backfill(database, "doubling", FACTS, change, batch=batch, tell=lines.append)
    assert (done.looked, done.changed, done.is_complete) == (ROWS, 12, True)
    assert sorted(change.seen) == list(range(1, ROWS + 1))
    assert max(change.batches) <= batch
    assert await numbers(database) == DOUBLED
    assert lines[-1].startswith(f"of_day: {ROWS} complete, 12 changed")


async def test_what_failed_goes_on_behind_the_last_batch_and_nothing_is_changed_twice(database: Database) -> None:
    first = Doubling(fails_at=3)
    with pytest.raises(ConnectionError):
        await backfill(database, "doubling", FACTS, first, batch=5)
    second = Doubling()
    assert (await backfill(database, "doubling", FACTS, second, batch=5)).looked == ROWS
    assert len(first.seen) == 10
    assert sorted(first.seen + second.seen) == list(range(1, ROWS + 1))
    assert await numbers(database) == DOUBLED


async def test_it_stops_when_told_to_and_says_so(database: Database) -> None:
    change = Doubling()
    done = await backfill(database, "doubling", FACTS, change, batch=4, stop=lambda: len(change.batches) == 2)
    assert (done.looked, done.is_complete) == (8, False)
    assert (await backfill(database, "doubling", FACTS, change, batch=4)).is_complete
    assert await numbers(database) == DOUBLED


async def test_what_is_complete_is_left_alone_until_it_begins_again(database: Database) -> None:
    await backfill(database, "doubling", FACTS, Doubling())
    again = Doubling()
    assert (await backfill(database, "doubling", FACTS, again)).looked == ROWS
    assert again.batches == []
    await begin_again(database, "doubling")
    assert (await backfill(database, "doubling", FACTS, again)).changed == 0  # all are even now
    assert len(again.seen) == ROWS


async def test_two_runs_at_once_look_at_every_row_once(database: Database) -> None:
    one, other = Doubling(), Doubling()
    await asyncio.gather(*(backfill(database, "doubling", FACTS, each, batch=2) for each in (one, other)))
    assert sorted(one.seen + other.seen) == list(range(1, ROWS + 1))
    assert await numbers(database) == DOUBLED


async def test_an_empty_table_is_complete(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute("TRUNCATE of_day")
    done = await backfill(database, "doubling", FACTS, Doubling())
    assert (done.looked, done.is_complete) == (0, True)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (Columns("nowhere", ("a",), ("b",)), "no table nowhere"),
        (Columns("of_day", ("day", "place"), ("colour",)), "no column colour"),
        (Columns("of_day", (), ("number",)), "a row a key"),
        (Columns("of_day", ("day",), ()), "something to change"),
    ],
)
async def test_what_is_not_there_is_named(database: Database, columns: Columns, words: str) -> None:
    with pytest.raises(BackfillError, match=words):
        await backfill(database, "wrong", columns, Doubling())


@pytest.mark.parametrize("wrong", ["another", "twice", "short"])
async def test_a_change_gives_back_only_what_it_was_given(database: Database, wrong: str) -> None:
    def change(rows: Sequence[Row]) -> Sequence[Row]:
        day, place, number, note = rows[0]
        return {
            "another": [(day.replace(year=1999), place, number, note)],
            "twice": [rows[0], rows[0]],
            "short": [rows[0][:-1]],
        }[wrong]

    with pytest.raises(BackfillError, match="gave back"):
        await backfill(database, "wrong", FACTS, change)
    assert (await numbers(database)) == {"old": list(range(1, ROWS + 1))}
