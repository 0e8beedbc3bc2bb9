"""A table becomes one of months while the version before it serves, and nothing of what it holds is lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from kit.ids import uuid7
from kit.migrate import MigrationError, apply
from kit.months import Month, month_of

FIRST = '''"""the tables of the version before"""
from kit import inbox, outbox
from kit.migrate import run_script
revision = "0001"
down_revision = None
def upgrade() -> None:
    run_script(outbox.SCHEMA)
    run_script(outbox.RUNS + inbox.SCHEMA)
'''
SECOND = '''"""months"""
from kit import month_tables
from kit.bus_months import INBOX_MONTHS, OUTBOX_MONTHS
revision = "0002"
down_revision = "0001"
def upgrade() -> None:
    month_tables.turn(OUTBOX_MONTHS)
    month_tables.turn(INBOX_MONTHS)
'''
# As the version before states them, word for word.
ADD = """
WITH run AS (
    SELECT nextval('outbox_event_id') AS id, (SELECT epoch FROM outbox_epoch) AS epoch
), written AS (
    INSERT INTO outbox_event
        (id, event_id, topic, key, type, source, subject, payload, occurred_at, sequence, traceparent, epoch)
    SELECT run.id + e.place - 1, e.event_id, 'topic', 'key', 'type', 'source', 'subject', '', clock_timestamp(),
           NULL, NULL, run.epoch
    FROM run, unnest($1::uuid[]) WITH ORDINALITY AS e (event_id, place)
), unsent AS (
    INSERT INTO outbox_run (id, events) SELECT id, cardinality($1::uuid[]) FROM run
)
SELECT pg_notify('outbox', '')
"""
FIRST_TIME = """
INSERT INTO inbox (consumer, event_id)
SELECT $1, e.event_id FROM (SELECT DISTINCT unnest($2::uuid[]) AS event_id) AS e ORDER BY e.event_id
ON CONFLICT DO NOTHING
RETURNING event_id
"""
TAKE = """
SELECT r.id AS run, r.events, e.id, e.event_id
FROM (SELECT id, events, sum(events) OVER (ORDER BY id) - events AS before
      FROM (SELECT id, events FROM outbox_run ORDER BY id LIMIT $1) AS lowest) AS r
LEFT JOIN LATERAL (SELECT * FROM outbox_event AS e WHERE e.id >= r.id AND e.id < r.id + r.events) AS e ON true
WHERE r.before < $1
ORDER BY r.id, e.id
"""
EXTENT = "SELECT min(id) AS lowest, max(id) AS highest FROM outbox_event"
PLACE = "SELECT tableoid::regclass::text FROM outbox_event WHERE event_id = $1"
PARTITIONS = """
SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = $1::regclass ORDER BY 1
"""


def before(folder: Path) -> Path:
    return steps(folder / "before", FIRST)


def after(folder: Path) -> Path:
    return steps(folder / "after", FIRST, SECOND)


def steps(folder: Path, *sources: str) -> Path:
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    for number, source in enumerate(sources, start=1):
        (versions / f"{number:04}_step.py").write_text(source, encoding="utf-8")
    return versions.parent


@pytest.fixture
async def connection(empty_database_url: str, tmp_path: Path) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """To a database of the version before."""
    await apply(empty_database_url, before(tmp_path))
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


async def write(connection: Any, events: int = 3) -> Sequence[UUID]:
    ids = [uuid7() for _ in range(events)]
    await connection.execute(ADD, ids)
    assert {row[0] for row in await connection.fetch(FIRST_TIME, "consumer", ids)} == set(ids)
    return ids


async def bounds(connection: Any, table: str) -> dict[str, str]:
    await connection.execute("SET TimeZone = 'UTC'")
    return {row["name"]: row["bounds"] for row in await connection.fetch(PARTITIONS, table)}


async def place_of(connection: Any, table: str, event_id: UUID) -> str:
    places = {"outbox_event": PLACE, "inbox": PLACE.replace("outbox_event", "inbox")}
    found: str = await connection.fetchval(places[table], event_id)
    return found


async def test_a_new_database_begins_with_the_month_under_way(
    connection: Any, empty_database_url: str, tmp_path: Path
) -> None:
    await apply(empty_database_url, after(tmp_path))
    month = month_of(await connection.fetchval("SELECT clock_timestamp()"))
    for table in ("outbox_event", "inbox"):
        months = [month.later(ahead).partition_of(table) for ahead in range(4)]
        assert list(await bounds(connection, table)) == [*months, f"{table}_before", f"{table}_rest"]
    (made,) = await write(connection, 1)
    assert await place_of(connection, "outbox_event", made) == month.partition_of("outbox_event")
    assert await place_of(connection, "inbox", made) == month.partition_of("inbox")
    assert await connection.fetchval("SELECT relkind FROM pg_class WHERE relname = 'outbox_event_before'") == b"r"


async def test_what_is_there_stays_and_is_the_part_before_the_first_month(
    connection: Any, empty_database_url: str, tmp_path: Path
) -> None:
    old = await write(connection)
    await apply(empty_database_url, after(tmp_path))
    now = await connection.fetchval("SELECT clock_timestamp()")
    first = month_of(now + timedelta(days=31)).next
    partitions = await bounds(connection, "outbox_event")
    assert partitions["outbox_event_before"].endswith(f" TO ('{first.begins_at:%Y-%m-%d %H:%M:%S}+00')")
    assert (await bounds(connection, "inbox"))["inbox_before"].endswith(f" TO ('{first.first_id}')")
    assert [name for name in partitions if name[-1].isdigit()] == [
        first.later(ahead).partition_of("outbox_event") for ahead in range(4)
    ]
    assert await connection.fetchval("SELECT array_agg(event_id ORDER BY id) FROM outbox_event") == old
    assert await connection.fetch(FIRST_TIME, "consumer", old) == []
    new = await write(connection)
    assert await place_of(connection, "inbox", new[0]) == "inbox_before"
    assert [row["event_id"] for row in await connection.fetch(TAKE, 1000)] == [*old, *new]
    assert await connection.fetchval("SELECT count(*) FROM pg_constraint WHERE conname ~ 'before_[0-9]{4}'") == 0


async def test_migrating_again_changes_nothing(connection: Any, empty_database_url: str, tmp_path: Path) -> None:
    await write(connection)
    await apply(empty_database_url, after(tmp_path))
    was = await bounds(connection, "outbox_event")
    await connection.execute("DELETE FROM schema_version; INSERT INTO schema_version VALUES ('0001')")  # it died here
    assert await apply(empty_database_url, after(tmp_path)) == ["0002 months"]
    assert await bounds(connection, "outbox_event") == was


async def test_the_version_before_goes_on_meanwhile_and_after_on_the_connections_that_it_has(
    connection: Any, empty_database_url: str, tmp_path: Path
) -> None:
    written = list(await write(connection))
    ended = asyncio.Event()

    async def go_on() -> None:
        while not ended.is_set():
            async with connection.transaction():
                written.extend(await write(connection))
                await connection.fetch(TAKE, 1000)
            await asyncio.sleep(0)

    writer = asyncio.create_task(go_on())
    await apply(empty_database_url, after(tmp_path))
    ended.set()
    await writer
    written += await write(connection)
    assert await connection.fetchval("SELECT array_agg(event_id ORDER BY id) FROM outbox_event") == written
    assert (await connection.fetchrow(EXTENT))["highest"] > 0
    assert {row["event_id"] for row in await connection.fetch("SELECT event_id FROM inbox")} == set(written)
    assert await connection.fetch(FIRST_TIME, "consumer", written) == []


async def test_both_versions_at_once_take_an_event_in_once(
    connection: Any, empty_database_url: str, tmp_path: Path
) -> None:
    await apply(empty_database_url, after(tmp_path))
    other = await asyncpg.connect(empty_database_url)
    made = uuid7()
    first = connection.transaction()
    await first.start()
    assert len(await connection.fetch(FIRST_TIME, "consumer", [made])) == 1
    second = asyncio.create_task(other.fetch(FIRST_TIME, "consumer", [made]))
    await asyncio.sleep(0)
    await first.commit()
    assert await second == []
    assert len(await other.fetch(FIRST_TIME, "another", [made])) == 1
    await other.close()


async def test_an_id_that_says_no_time_of_the_past_is_told_and_nothing_is_left_behind(
    connection: Any, empty_database_url: str, tmp_path: Path
) -> None:
    await connection.fetch(FIRST_TIME, "consumer", [UUID(int=uuid4().int | 0xF << 124)])
    with pytest.raises(MigrationError, match="inbox holds rows whose event_id is of the future, or no UUIDv7"):
        await apply(empty_database_url, after(tmp_path))
    assert await connection.fetchval("SELECT count(*) FROM pg_constraint WHERE conname ~ 'before_[0-9]{4}'") == 0
    await connection.execute("DELETE FROM inbox")
    assert await apply(empty_database_url, after(tmp_path)) == ["0002 months"]


async def test_the_check_of_a_run_that_was_killed_is_used_or_replaced_before_it_refuses_anything(
    connection: Any, empty_database_url: str, tmp_path: Path
) -> None:
    await write(connection)
    now = await connection.fetchval("SELECT clock_timestamp()")
    near, far = month_of(now).later(1), month_of(now).later(5)
    await connection.execute(bind("outbox_event", near))
    await connection.execute(bind("outbox_event", far))
    await apply(empty_database_url, after(tmp_path))
    assert far.partition_of("outbox_event") in await bounds(connection, "outbox_event")
    assert near.partition_of("outbox_event") not in await bounds(connection, "outbox_event")
    assert await connection.fetchval("SELECT count(*) FROM pg_constraint WHERE conname ~ 'before_[0-9]{4}'") == 0


def bind(table: str, month: Month) -> str:
    return (
        f"ALTER TABLE {table} ADD CONSTRAINT {month.partition_of(f'{table}_before')}"
        f" CHECK (created_at < '{month.begins_at.isoformat()}') NOT VALID"
    )


async def test_rows_at_the_turn_of_a_month_are_on_their_side_of_it(
    connection: Any, empty_database_url: str, tmp_path: Path
) -> None:
    await apply(empty_database_url, after(tmp_path))
    month = month_of(datetime.now(UTC)).next
    turn = month.begins_at
    for at in (turn - timedelta(microseconds=1), turn):
        await connection.execute(
            "INSERT INTO outbox_event (event_id, topic, key, type, source, subject, payload, occurred_at, epoch,"
            " created_at) VALUES ($1, 't', 'k', 'y', 's', 'j', '', $2, 1, $2)",
            uuid7(),
            at,
        )
    places = await connection.fetch("SELECT tableoid::regclass::text AS place FROM outbox_event ORDER BY created_at")
    assert [row["place"] for row in places] == [
        month.later(-1).partition_of("outbox_event"),
        month.partition_of("outbox_event"),
    ]
    last = UUID(int=month.first_id.int - 1)
    await connection.fetch(FIRST_TIME, "consumer", [last, month.first_id])
    assert await place_of(connection, "inbox", last) == month.later(-1).partition_of("inbox")
    assert await place_of(connection, "inbox", month.first_id) == month.partition_of("inbox")


GUARDED = '''"""a table that takes no change, by months"""
from kit import month_tables
from kit.kept import Cut, Kept
from kit.migrate import run_script
revision = "0002"
down_revision = "0001"
KEEP = "CREATE TRIGGER keep BEFORE UPDATE OR DELETE OR TRUNCATE ON {} FOR EACH STATEMENT EXECUTE FUNCTION keep();"
TABLE = """
CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL, page int NOT NULL);
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'kept' USING ERRCODE = 'restrict_violation'; END $$;
INSERT INTO note (at, page) VALUES ('2025-01-01', 1);
"""
def upgrade() -> None:
    run_script(TABLE + KEEP.format("note"))
    month_tables.turn(month_tables.Turned(
        Kept("note", "at", Cut.TIME, None, "why"),
        first="ALTER TABLE note ALTER COLUMN id DROP IDENTITY;",
        keys="ALTER TABLE note ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (START WITH 2);",
        partition_key="PRIMARY KEY (id)",
        pattern="CREATE UNIQUE INDEX ON note_rest (page);" + KEEP.format("note_rest"),
        last=KEEP.format("note"),
    ))
'''


@pytest.mark.parametrize("change", ["UPDATE {} SET page = 2", "DELETE FROM {}", "TRUNCATE {}"])
async def test_months_are_made_after_the_likeness_of_the_rest_with_its_indexes_and_triggers(
    connection: Any, empty_database_url: str, tmp_path: Path, change: str
) -> None:
    await apply(empty_database_url, steps(tmp_path / "guarded", FIRST, GUARDED))
    month = month_of(await connection.fetchval("SELECT clock_timestamp()")).later(3)
    for table in ("note", *await bounds(connection, "note")):
        with pytest.raises(asyncpg.RestrictViolationError, match="kept"):
            await connection.execute(change.format(table))
    write = "INSERT INTO note (at, page) VALUES ($1, 1) RETURNING id, tableoid::regclass::text"
    assert await connection.fetchrow(write, month.begins_at) == (2, month.partition_of("note"))
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(write, month.begins_at)
