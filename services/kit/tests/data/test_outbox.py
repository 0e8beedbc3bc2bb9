"""What every outbox promises, kept by the one in memory and the one on PostgreSQL."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import asyncpg
import pytest
from google.protobuf import wrappers_pb2
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from kit import outbox, tracing
from kit.db import Database
from kit.events import MAX_PAYLOAD_BYTES, Event, EventTooLargeError, StoredEvent
from kit.outbox import COPY_FROM_EVENTS, MemoryOutbox, NaiveTimeError, PostgresOutbox, raise_epoch
from kit.testing import eventually
from kit.testing_events import AT, HAPPENED, SampleTopic, event, happened, noted
from kit.topics import CatalogueError

TOPIC = SampleTopic()
ROWS = """
SELECT id, event_id, topic, key, type, source, subject, payload, occurred_at, sequence, traceparent, epoch
FROM outbox_unsent JOIN outbox_event USING (id) ORDER BY id
"""


class Bench(Protocol):
    async def add(self, events: Sequence[Event]) -> None: ...
    async def rows(self) -> Sequence[StoredEvent]: ...


class MemoryBench:
    def __init__(self) -> None:
        self._outbox = MemoryOutbox("kit", TOPIC.catalogue)
        self.add = self._outbox.add

    async def rows(self) -> Sequence[StoredEvent]:
        return self._outbox.rows


class PostgresBench:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, events: Sequence[Event]) -> None:
        async with self._database.transaction() as transaction:
            await PostgresOutbox(transaction, "kit", TOPIC.catalogue).add(events)

    async def rows(self) -> Sequence[StoredEvent]:
        async with self._database.transaction() as transaction:
            return [StoredEvent(**dict(row)) for row in await transaction.raw.fetch(ROWS)]


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.stack)])
def bench(request: pytest.FixtureRequest) -> Bench:
    return MemoryBench() if request.param == "memory" else PostgresBench(request.getfixturevalue("database"))


async def test_ids_ascend_in_the_order_of_the_facts(bench: Bench) -> None:
    await bench.add([event(f"k{number % 7}", f"fact {number}") for number in range(500)])
    await bench.add([event("k0", "fact 500")])
    rows = await bench.rows()
    assert [row.payload for row in rows] == [happened(f"fact {number}").SerializeToString() for number in range(501)]
    assert [row.id for row in rows] == sorted({row.id for row in rows})


@pytest.mark.parametrize("others", [0, COPY_FROM_EVENTS], ids=["few", "as many as go by COPY"])
async def test_everything_about_an_event_is_kept(bench: Bench, others: int) -> None:
    more = [event("k", "x")] * others
    await bench.add([Event(happened("text", 7), "key", AT, "about"), Event(noted("note"), "other", AT), *more])
    first, second, *rest = await bench.rows()
    assert len(rest) == others
    assert first == StoredEvent(
        id=first.id,
        event_id=first.event_id,
        topic=TOPIC.name,
        key="key",
        type=HAPPENED,
        source="/gongji/kit",
        subject="about",
        payload=happened("text", 7).SerializeToString(),
        occurred_at=AT,
        sequence=7,
        traceparent=None,
        epoch=1,
    )
    assert first.event_id.version == 7
    assert (second.subject, second.sequence) == ("other", None)
    assert second.event_id != first.event_id


async def test_the_trace_that_a_call_came_with_travels_with_the_event_also_without_a_collector(bench: Bench) -> None:
    parent = tracing.take_over(f"00-{'ab' * 16}-{'cd' * 8}-01")
    await bench.add([event("key", "text")])
    assert (await bench.rows())[0].traceparent == parent


async def test_the_trace_under_way_travels_with_the_event(bench: Bench) -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("settle"):
        trace_id = trace.get_current_span().get_span_context().trace_id
        await bench.add([event("key", "text")])
    row = (await bench.rows())[0]
    assert row.traceparent is not None
    assert row.traceparent.split("-")[1] == f"{trace_id:032x}"


async def test_nothing_to_tell_is_no_error(bench: Bench) -> None:
    await bench.add([])
    assert list(await bench.rows()) == []


async def test_a_message_that_no_topic_lists_is_refused(bench: Bench) -> None:
    with pytest.raises(CatalogueError, match="StringValue"):
        await bench.add([event("k", "good"), Event(wrappers_pb2.StringValue(value="x"), "k", AT)])
    assert list(await bench.rows()) == []


async def test_what_no_broker_would_take_is_refused_when_it_is_written(bench: Bench) -> None:
    with pytest.raises(EventTooLargeError, match=HAPPENED):
        await bench.add([event("k", "x" * MAX_PAYLOAD_BYTES)])
    assert list(await bench.rows()) == []


async def test_a_time_without_a_zone_is_refused(bench: Bench) -> None:
    naive = datetime(2025, 3, 14)  # noqa: DTZ001 - this is what must be refused
    with pytest.raises(NaiveTimeError):
        await bench.add([Event(happened("x"), "k", naive)])


@pytest.mark.stack
async def test_after_a_restore_events_carry_the_next_epoch(database: Database) -> None:
    async with database.transaction() as transaction:
        assert await raise_epoch(transaction) == 2
    bench = PostgresBench(database)
    await bench.add([event("k", "x")])
    await bench.add([event("k", "x")] * COPY_FROM_EVENTS)
    assert {row.epoch for row in await bench.rows()} == {2}


@pytest.mark.stack
async def test_what_the_version_before_is_still_writing_is_waited_for_and_stays_unsent(empty_database_url: str) -> None:
    writer, migration, watcher = [await asyncpg.connect(empty_database_url) for _ in range(3)]
    await writer.execute(outbox.SCHEMA)
    writing = writer.transaction()
    await writing.start()
    await writer.execute("INSERT INTO outbox_unsent VALUES (7)")
    migrated = asyncio.create_task(migration.execute(outbox.RUNS))
    waiting = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype = 'relation'"
    await eventually(lambda: watcher.fetchval(waiting), what="the migration waits for the writer")
    await writing.commit()
    await migrated
    assert [tuple(row) for row in await watcher.fetch("SELECT id, events FROM outbox_run")] == [(7, 1)]
    for connection in (writer, migration, watcher):
        await connection.close()


@pytest.mark.stack
async def test_ids_of_runs_have_a_range_of_their_own_unless_they_are_beyond_it_already(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute(outbox.SCHEMA)
    await connection.execute(
        "INSERT INTO outbox_event (id, event_id, topic, key, type, source, subject, payload, occurred_at, epoch)"
        " VALUES (10000000, gen_random_uuid(), 't', 'k', 'y', 's', 'j', '', now(), 1)"
    )
    await connection.execute(outbox.RUNS)
    assert await connection.fetchval("SELECT to_regclass('outbox_event_2')") is None
    await connection.close()
