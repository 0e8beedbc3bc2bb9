"""Publishing a stretch of the outbox again: what, in which order, under which ids and epoch, and who did it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import outbox_actions
from kit.db import Database
from kit.events import StoredEvent
from kit.kafka import KafkaAddress
from kit.outbox import RUN_EVENTS, PostgresOutbox
from kit.outbox_actions import BATCH_EVENTS, EmptyStretchError, Run, Stretch, runs_of
from kit.relay_publisher import PublishError
from kit.republish import Progress, Republishing, StalledError
from kit.testing_events import SampleTopic, event

pytestmark = pytest.mark.filterwarnings("error")
TOPIC = SampleTopic()
NOON = datetime(2026, 5, 1, 4, tzinfo=UTC)
NOWHERE = KafkaAddress("127.0.0.1:1")
MINUTE = timedelta(minutes=1)


@given(st.sets(st.integers(1, 5_000), max_size=3_000))
def test_runs_are_the_ids_again_in_rows_that_the_relay_takes(ids: set[int]) -> None:
    runs = list(runs_of(sorted(ids)))
    assert [each for run in runs for each in range(run.id, run.id + run.events)] == sorted(ids)
    assert all(1 <= run.events <= RUN_EVENTS for run in runs)
    assert all(after.id > before.id + before.events or before.events == RUN_EVENTS for before, after in pairwise(runs))


def test_a_row_longer_than_the_relay_knows_is_cut() -> None:
    assert list(runs_of(range(1, RUN_EVENTS + 2))) == [Run(1, RUN_EVENTS), Run(RUN_EVENTS + 1, 1)]


@pytest.mark.parametrize("until", [NOON, NOON - MINUTE])
def test_a_stretch_ends_after_it_begins(until: datetime) -> None:
    with pytest.raises(EmptyStretchError, match="is not after --since"):
        Stretch(NOON, until)


class Taking:
    """A Kafka that takes everything, or nothing."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.kafka: list[StoredEvent] = []
        self.deaf = deaf

    async def publish(self, rows: Sequence[StoredEvent]) -> list[int]:
        if self.deaf:
            raise PublishError("on purpose", [])
        self.kafka += rows
        return [row.id for row in rows]

    async def close(self) -> None: ...

    @property
    def texts(self) -> list[str]:
        return [row.payload.decode()[2:] for row in self.kafka]


async def tell(database: Database, *texts: str, topic: SampleTopic = TOPIC) -> None:
    async with database.transaction() as transaction:
        await PostgresOutbox(transaction, "kit", topic.catalogue).add([event("k", text) for text in texts])


async def execute(database: Database, query: str, *arguments: object) -> list[asyncpg.Record]:
    async with database.transaction() as transaction:
        return list(await transaction.raw.fetch(query, *arguments))


async def sent(database: Database) -> None:
    await execute(database, "DELETE FROM outbox_run")


async def at_minutes(database: Database) -> None:
    """One event a minute, from noon on."""
    await execute(
        database,
        "UPDATE outbox_event AS e SET created_at = $1::timestamptz + make_interval(mins => n.minute::int) FROM ("
        "SELECT id, row_number() OVER (ORDER BY id) - 1 AS minute FROM outbox_event) AS n WHERE n.id = e.id",
        NOON,
    )


async def publish_again(
    database: Database, url: str, stretch: Stretch, kafka: Taking, told: list[Progress] | None = None
) -> int:
    republishing = Republishing(database, url, NOWHERE, publisher=kafka, stalled_seconds=0.2 if kafka.deaf else 60)
    return await republishing.run(stretch, "clerk wang", (told if told is not None else []).append)


@pytest.mark.stack
async def test_just_the_stretch_is_published_again_in_order_under_its_own_ids_and_epoch(
    database: Database, database_url: str
) -> None:
    for number in range(60):
        await tell(database, f"fact {number:02}")
    await sent(database)
    await at_minutes(database)
    ids = [row["event_id"] for row in await execute(database, "SELECT event_id FROM outbox_event ORDER BY id")]
    async with database.transaction() as transaction:
        assert await outbox_actions.begin_epoch(transaction, "clerk wang", "restored to noon") == 2
    kafka, told = Taking(), list[Progress]()
    stretch = Stretch(NOON + 20 * MINUTE, NOON + 40 * MINUTE)
    assert await publish_again(database, database_url, stretch, kafka, told) == 20
    assert kafka.texts == [f"fact {number}" for number in range(20, 40)]
    assert [row.event_id for row in kafka.kafka] == ids[20:40]
    assert {row.epoch for row in kafka.kafka} == {1}  # or (2, 20) would be taken for newer than (1, 59)
    await tell(database, "new")
    await publish_again(database, database_url, stretch, kafka)
    assert {row.epoch for row in kafka.kafka if row.payload == kafka.kafka[-1].payload} == {2}
    assert (told[-1].events, told[-1].reached) == (20, stretch.until)
    assert await execute(database, "SELECT FROM outbox_run") == []


@pytest.mark.stack
async def test_again_is_all_of_it_again_and_each_time_is_written_down_for_good(
    database: Database, database_url: str
) -> None:
    await tell(database, "one", "two")
    await sent(database)
    await at_minutes(database)
    kafka, stretch = Taking(), Stretch(NOON, NOON + 90 * MINUTE, TOPIC.name)
    for _ in range(2):
        assert await publish_again(database, database_url, stretch, kafka) == 2
    assert kafka.texts == ["one", "two"] * 2
    rows = await execute(database, "SELECT action, operator, topic, events FROM outbox_action ORDER BY action_id")
    begun, ended = ("REPUBLISH_BEGUN", "clerk wang", TOPIC.name, None), ("REPUBLISHED", "clerk wang", TOPIC.name, 2)
    assert [tuple(row) for row in rows] == [begun, ended] * 2
    with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
        await execute(database, "DELETE FROM outbox_action")


@pytest.mark.stack
async def test_of_one_topic_nothing_of_another_is_published_again(database: Database, database_url: str) -> None:
    other = SampleTopic()
    await tell(database, "ours")
    await tell(database, "theirs", topic=other)
    await sent(database)
    await at_minutes(database)
    kafka = Taking()
    await publish_again(database, database_url, Stretch(NOON, NOON + 9 * MINUTE, other.name), kafka)
    assert kafka.texts == ["theirs"]


@pytest.mark.stack
async def test_what_waits_to_be_sent_is_sent_once_and_before_what_came_later(
    database: Database, database_url: str
) -> None:
    await tell(database, *(f"sent {number}" for number in range(3)))
    await sent(database)
    await tell(database, *(f"unsent {number}" for number in range(3)))
    await at_minutes(database)
    kafka = Taking()
    assert await publish_again(database, database_url, Stretch(NOON, NOON + 5 * MINUTE), kafka) == 3
    assert kafka.texts == ["sent 0", "sent 1", "sent 2", "unsent 0", "unsent 1", "unsent 2"]


@pytest.mark.stack
async def test_more_than_a_batch_is_published_whole_with_no_more_than_a_batch_waiting(
    database: Database, database_url: str
) -> None:
    many = 2 * BATCH_EVENTS + 7
    texts = [f"{number:05}" for number in range(many)]
    await tell(database, *texts)
    await sent(database)
    await execute(database, "UPDATE outbox_event SET created_at = $1", NOON)
    kafka, told = Taking(), list[Progress]()
    assert await publish_again(database, database_url, Stretch(NOON, NOON + MINUTE), kafka, told) == many
    assert kafka.texts == texts
    assert [each.events for each in told] == [BATCH_EVENTS, 2 * BATCH_EVENTS, many]


@pytest.mark.stack
async def test_an_empty_outbox_or_one_that_has_nothing_from_then_on_has_nothing_to_publish(
    database: Database, database_url: str
) -> None:
    later = Stretch(NOON + 99 * MINUTE, NOON + 100 * MINUTE)
    assert await publish_again(database, database_url, later, Taking()) == 0
    await tell(database, "noon")
    await sent(database)
    await at_minutes(database)
    assert await publish_again(database, database_url, later, Taking()) == 0


@pytest.mark.stack
async def test_while_kafka_confirms_nothing_it_gives_up_and_what_waits_is_left_for_the_service(
    database: Database, database_url: str
) -> None:
    await tell(database, "one")
    await sent(database)
    await at_minutes(database)
    with pytest.raises(StalledError, match="1 events wait"):
        await publish_again(database, database_url, Stretch(NOON, NOON + MINUTE), Taking(deaf=True))
    assert len(await execute(database, "SELECT FROM outbox_run")) == 1
    assert [row[0] for row in await execute(database, "SELECT action FROM outbox_action")] == ["REPUBLISH_BEGUN"]


@pytest.mark.stack
@pytest.mark.parametrize("minute", [0, 1, 11, 30, 59, 70, 71, 500])
async def test_by_halves_nothing_that_was_written_from_then_on_is_passed_over(minute: int, database: Database) -> None:
    for number in range(60):
        await tell(database, f"{number}")
    await at_minutes(database)
    since = NOON + minute * MINUTE
    async with database.transaction() as transaction:
        first = await outbox_actions.first_id(transaction, since)
    early = await execute(
        database, "SELECT min(id) FROM outbox_event WHERE created_at >= $1", since - outbox_actions.SLACK
    )
    assert (await execute(database, "SELECT min(id) FROM outbox_event WHERE id >= $1", first))[0] == early[0]
