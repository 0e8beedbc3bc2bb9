import asyncio
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import asyncpg
import pytest

from kit.bus_metrics import RELAY_FAILURES, UNSENT, UNSENT_AGE
from kit.db import Database
from kit.events import StoredEvent
from kit.failpoints import Boundary, Failpoints
from kit.kafka import KafkaAddress
from kit.kafka_client import new_consumer, started
from kit.outbox import PostgresOutbox
from kit.relay import Relay
from kit.relay_publisher import PublishError
from kit.testing import eventually
from kit.testing_events import SampleTopic, event

TOPIC = SampleTopic()


class Recorder:
    """A publisher that takes everything, unless it is told to be flaky."""

    def __init__(self, seed: int | None = None) -> None:
        self.kafka: list[StoredEvent] = []
        self.rounds = 0
        self.closed = 0
        self._random = random.Random(seed) if seed is not None else None  # noqa: S311 - a test's order, no secret

    async def publish(self, rows: Sequence[StoredEvent]) -> list[int]:
        self.rounds += 1
        if self._random is None:
            self.kafka += rows
            return [row.id for row in rows]
        return self._flaky(rows, self._random)

    def _flaky(self, rows: Sequence[StoredEvent], chance: random.Random) -> list[int]:
        """As Kafka may: each partition (here: key) takes its batch whole or not, and its answer may be lost."""
        confirmed = []
        for key in sorted({row.key for row in rows}, key=lambda _key: chance.random()):
            batch = [row for row in rows if row.key == key]
            fate = chance.choice(["confirmed", "confirmed", "unanswered", "failed"])
            if fate != "failed":
                self.kafka += batch
            if fate == "confirmed":
                confirmed += [row.id for row in batch]
        if len(confirmed) < len(rows):
            raise PublishError("on purpose", confirmed)
        return confirmed

    async def close(self) -> None:
        self.closed += 1

    def texts(self, key: str = "k") -> list[str]:
        return [row.payload.decode(errors="replace")[2:] for row in self.kafka if row.key == key]


async def tell(database: Database, *texts: str, key: str = "k", topic: SampleTopic = TOPIC) -> None:
    async with database.transaction() as transaction:
        await PostgresOutbox(transaction, "kit", topic.catalogue).add([event(key, text) for text in texts])


async def unsent(database: Database) -> int:
    async with database.transaction() as transaction:
        found: int = await transaction.raw.fetchval("SELECT count(*) FROM outbox_unsent")
        return found


async def unsent_ids(database: Database) -> list[int]:
    async with database.transaction() as transaction:
        return [row["id"] for row in await transaction.raw.fetch("SELECT id FROM outbox_unsent ORDER BY id")]


async def until_sent(database: Database) -> None:
    async def is_sent() -> bool:
        return not await unsent(database)

    await eventually(is_sent, what="everything is sent")


class Running:
    """A relay that runs while the block does; `kill` ends it without a farewell."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.relay.run())
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.relay.stop()
        await asyncio.wait_for(asyncio.gather(self.task, return_exceptions=True), 60)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def relay_of(database: Database, url: str, publisher: Recorder, holder: str = "one", **options: Any) -> Relay:
    return Relay(database, url, KafkaAddress("127.0.0.1:1"), holder, publisher=publisher, **options)


async def test_what_is_unsent_is_published_in_order_and_cleared(
    database: Database, database_url: str, recorder: Recorder
) -> None:
    await tell(database, *(f"{number:04}" for number in range(2500)))
    async with Running(relay_of(database, database_url, recorder)):
        await until_sent(database)
    assert recorder.texts() == [f"{number:04}" for number in range(2500)]
    assert recorder.rounds == 3
    async with database.transaction() as transaction:
        assert await transaction.raw.fetchval("SELECT count(*) FROM outbox_event") == 2500


class Standing(Failpoints):
    """Stands still once the round is published, for good."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[Boundary] = []

    async def reach(self, boundary: Boundary) -> None:
        self.at.append(boundary)
        await asyncio.Event().wait()


async def test_what_stands_still_between_publishing_and_clearing_is_published_again_by_the_next_and_cleared(
    database: Database, database_url: str, recorder: Recorder
) -> None:
    await tell(database, "first", "second")
    failpoints = Standing()
    standing = relay_of(database, database_url, recorder, failpoints=failpoints, lease_seconds=0.5)
    work = asyncio.create_task(standing.run())
    await eventually(lambda: bool(failpoints.at), what="it has come between")
    assert failpoints.at == [Boundary.AFTER_PUBLISH]
    assert recorder.texts() == ["first", "second"]
    assert await unsent(database) == 2
    async with Running(relay_of(database, database_url, recorder, "two", poll_seconds=0.1)):
        await until_sent(database)
    assert recorder.texts() == ["first", "second"] * 2
    work.cancel()
    await asyncio.wait([work])


async def test_events_that_are_unsent_and_gone_stop_it_instead_of_being_passed_over(
    database: Database, database_url: str, recorder: Recorder
) -> None:
    await tell(database, "first", "second")
    await tell(database, "third")
    async with database.transaction() as transaction:
        detached = await transaction.raw.fetch(
            "DELETE FROM outbox_event WHERE id = (SELECT min(id) FROM outbox_event) RETURNING *"
        )
        await transaction.raw.execute("UPDATE outbox_event SET created_at = created_at - interval '1 hour'")
    failed = RELAY_FAILURES.labels("MissingEventsError")._value
    before = failed.get()
    async with Running(relay_of(database, database_url, recorder)):
        await eventually(lambda: failed.get() > before)
        assert recorder.texts() == []
        assert (UNSENT._value.get(), UNSENT_AGE._value.get() >= 3600) == (3, True)
        async with database.transaction() as transaction:
            await transaction.raw.copy_records_to_table("outbox_event", records=[tuple(row) for row in detached])
        await until_sent(database)
    assert recorder.texts() == ["first", "second", "third"]


async def test_a_notification_wakes_it_long_before_the_poll(
    database: Database, database_url: str, recorder: Recorder
) -> None:
    async with Running(relay_of(database, database_url, recorder, poll_seconds=300.0)):
        await tell(database, "first")
        await eventually(lambda: recorder.texts() == ["first"])
        await tell(database, "second")
        await eventually(lambda: recorder.texts() == ["first", "second"])


async def test_without_notifications_the_poll_finds_the_event(
    database: Database, database_url: str, recorder: Recorder
) -> None:
    deaf = relay_of(
        database, database_url.replace("postgresql://", "postgresql://nobody."), recorder, poll_seconds=0.05
    )
    async with Running(deaf):
        await tell(database, "first")
        await eventually(lambda: recorder.texts() == ["first"])
        await tell(database, "second")
        await eventually(lambda: recorder.texts() == ["first", "second"])


async def test_an_id_that_commits_after_a_higher_one_is_not_passed_over(
    database: Database, database_url: str, recorder: Recorder
) -> None:
    async with Running(relay_of(database, database_url, recorder)):
        async with database.transaction() as transaction:
            await PostgresOutbox(transaction, "kit", TOPIC.catalogue).add([event("slow", "low id")])
            await tell(database, "high id", key="quick")
            await eventually(lambda: recorder.texts("quick") == ["high id"])
            assert recorder.texts("slow") == []
        await eventually(lambda: recorder.texts("slow") == ["low id"])


class Down(Recorder):
    """Kafka is away."""

    async def publish(self, _rows: Sequence[StoredEvent]) -> list[int]:
        self.rounds += 1
        raise PublishError("on purpose", [])


async def test_notifications_do_not_cut_the_pause_after_a_failure_short_and_stopping_does(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.relay.backoff_seconds", lambda _failures: 300.0)
    down = Down()
    relay = relay_of(database, database_url, down)
    async with Running(relay):
        await tell(database, "first")
        await eventually(lambda: down.closed == 1)
        for number in range(5):
            await tell(database, f"while it is away, {number}")
        await eventually(relay._wake.is_set)
        for _ in range(5):
            await database.ping()
        assert down.rounds == 1


def first_appearances(rows: Sequence[StoredEvent], key: str) -> list[int]:
    return list(dict.fromkeys(row.id for row in rows if row.key == key))


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_fails_nothing_is_lost_and_each_key_keeps_its_order(
    database: Database, database_url: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.relay.ROUND_EVENTS", 7)
    monkeypatch.setattr("kit.relay.backoff_seconds", lambda _failures: 0.0)
    flaky = Recorder(seed)
    for number in range(60):
        await tell(database, f"{number}", key=f"k{number % 4}")
    async with Running(relay_of(database, database_url, flaky)):
        await until_sent(database)
    for key in ("k0", "k1", "k2", "k3"):
        seen = first_appearances(flaky.kafka, key)
        assert seen == sorted(seen)
        assert len(seen) == 15
    ids = {row.id: row.event_id for row in flaky.kafka}
    assert all(ids[row.id] == row.event_id for row in flaky.kafka)
    assert flaky.closed > 1


async def test_of_events_told_together_only_the_unconfirmed_stay_unsent(database: Database, database_url: str) -> None:
    class Half(Recorder):
        async def publish(self, rows: Sequence[StoredEvent]) -> list[int]:
            self.kafka += rows
            raise PublishError("on purpose", [row.id for row in rows if row.key == "even"])

    half = Half()
    async with database.transaction() as transaction:
        events = [event("odd" if number % 2 else "even", f"{number}") for number in range(10)]
        await PostgresOutbox(transaction, "kit", TOPIC.catalogue).add(events)
    async with Running(relay_of(database, database_url, half)):
        await eventually(lambda: half.closed == 1)
    waiting = await unsent_ids(database)
    assert waiting == [row.id for row in half.kafka[:10] if row.key == "odd"]
    recorder = Recorder()
    async with Running(relay_of(database, database_url, recorder)):
        await until_sent(database)
    assert [row.id for row in recorder.kafka] == waiting


async def test_another_relay_that_was_faster_is_not_overruled(database: Database, database_url: str) -> None:
    await tell(database, "first", "second", "third")
    late = relay_of(database, database_url, Recorder())
    rows = await late._clear_and_take()
    assert rows is not None
    async with database.transaction() as transaction:
        await transaction.raw.execute("DELETE FROM outbox_run")
    late._confirmed = [rows[1].id]
    await late._leave()
    assert await unsent(database) == 0


async def test_while_facts_keep_coming_rounds_begin_at_intervals(
    database: Database, database_url: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.relay.ROUND_EVERY_SECONDS", 300.0)
    await tell(database, "first")
    async with Running(relay_of(database, database_url, recorder)) as running:
        await eventually(lambda: recorder.texts() == ["first"])
        await tell(database, "second")
        await eventually(running.relay._wake.is_set)
        assert recorder.rounds == 1
    assert recorder.texts() == ["first"]
    assert len(await unsent_ids(database)) == 1


async def test_only_one_of_two_relays_is_active(database: Database, database_url: str) -> None:
    one, other = Recorder(), Recorder()
    async with (
        Running(relay_of(database, database_url, one, "one", poll_seconds=0.02)),
        Running(relay_of(database, database_url, other, "other", poll_seconds=0.02)),
    ):
        for number in range(20):
            await tell(database, f"{number:02}")
            await until_sent(database)
    assert sorted([len(one.kafka), len(other.kafka)]) == [0, 20]


class Timed(Recorder):
    """Remembers when, by the database's clock, it was first asked to publish."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self.first_at: Any = None

    async def publish(self, rows: Sequence[StoredEvent]) -> list[int]:
        async with self._database.transaction() as transaction:
            self.first_at = self.first_at or await transaction.raw.fetchval("SELECT clock_timestamp()")
        return await super().publish(rows)


async def test_a_dead_relay_is_succeeded_when_its_lease_has_run_out_and_not_before(
    database: Database, database_url: str
) -> None:
    timed = Timed(database)
    await tell(database, "first")
    async with database.transaction() as transaction:
        expires_at = await transaction.raw.fetchval(
            "INSERT INTO outbox_lease VALUES (true, 'dead', clock_timestamp() + interval '1 s') RETURNING expires_at"
        )
    async with Running(relay_of(database, database_url, timed, poll_seconds=0.02)):
        await eventually(lambda: timed.texts() == ["first"])
    assert timed.first_at >= expires_at


async def test_a_relay_that_stops_hands_over_at_once(database: Database, database_url: str) -> None:
    one, other = Recorder(), Recorder()
    first = Running(relay_of(database, database_url, one, "one", lease_seconds=300.0))
    await first.__aenter__()
    await tell(database, "first")
    await eventually(lambda: one.texts() == ["first"])
    async with Running(relay_of(database, database_url, other, "other", poll_seconds=0.02)):
        await first.__aexit__()
        await tell(database, "second")
        await eventually(lambda: other.texts() == ["second"])


async def test_it_survives_the_loss_of_every_connection(
    database: Database, database_url: str, postgres_admin_url: str, recorder: Recorder
) -> None:
    async with Running(relay_of(database, database_url, recorder, poll_seconds=0.1)):
        await tell(database, "first")
        await eventually(lambda: recorder.texts() == ["first"])
        admin = await asyncpg.connect(postgres_admin_url)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database.engine.url.database
        )
        await admin.close()
        await tell(database, "second")
        await eventually(lambda: recorder.texts() == ["first", "second"])


async def test_a_busy_pool_delays_it_and_costs_neither_producer_nor_lease(
    database: Database, database_url: str, recorder: Recorder
) -> None:
    small = Database(database_url, pool_size=1, pool_timeout_seconds=0.3)
    await tell(database, "first")
    async with Running(relay_of(small, database_url, recorder)) as running:
        await eventually(lambda: recorder.texts() == ["first"])
        async with small.transaction():
            await tell(database, "second")
            await eventually(lambda: running.relay._failures >= 2)
        await eventually(lambda: recorder.texts() == ["first", "second"])
        assert recorder.closed == 0
    await small.close()


# On a real Kafka


async def read(kafka: KafkaAddress, topic: SampleTopic, count: int) -> list[Any]:
    consumer = await started(lambda: new_consumer(kafka, "test", topic.name))
    found: list[Any] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            found += [record for batch in (await consumer.getmany(timeout_ms=100)).values() for record in batch]
    await consumer.stop()
    return found


def texts(records: Sequence[Any], key: str) -> list[str]:
    return [record.value.decode()[2:] for record in records if record.key == key.encode()]


async def test_on_kafka_every_key_has_its_events_in_order(
    database: Database, database_url: str, kafka: KafkaAddress, topic: SampleTopic
) -> None:
    for number in range(10):
        for key in ("a", "b", "c"):
            await tell(database, *(f"{number}.{place:02}" for place in range(30)), key=key, topic=topic)
    async with Running(Relay(database, database_url, kafka, "one")):
        records = await read(kafka, topic, 900)
    wanted = [f"{number}.{place:02}" for number in range(10) for place in range(30)]
    assert [texts(records, key) for key in ("a", "b", "c")] == [wanted] * 3
    assert await unsent(database) == 0
    headers = dict(records[0].headers)
    assert {"ce_id", "ce_type", "ce_source", "ce_subject", "ce_time", "ce_sequence", "epoch"} <= headers.keys()


KILLED = """
import asyncio, os, signal, sys
from kit.db import Database
from kit.kafka_client import KafkaAddress
from kit.relay import Relay

class Killed(Relay):
    async def _clear_and_take(self):
        if self._confirmed:
            os.kill(os.getpid(), signal.SIGKILL)
        return await super()._clear_and_take()

url, bootstrap = sys.argv[1:]
asyncio.run(Killed(Database(url), url, KafkaAddress(bootstrap), "killed", lease_seconds=1.0).run())
"""


async def test_killed_after_publishing_and_before_clearing_it_publishes_again_under_the_same_id(
    database: Database, database_url: str, kafka: KafkaAddress, topic: SampleTopic, tmp_path: Path
) -> None:
    await tell(database, "a", "b", topic=topic)
    script = tmp_path / "killed.py"
    script.write_text(KILLED, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(sys.executable, str(script), database_url, kafka.kafka_bootstrap)
    assert await process.wait() == -signal.SIGKILL
    assert await unsent(database) == 2
    await tell(database, "c", topic=topic)
    async with Running(Relay(database, database_url, kafka, "next", poll_seconds=0.1)):
        records = await read(kafka, topic, 5)
    assert texts(records, "k") == ["a", "b", "a", "b", "c"]
    ids = [dict(record.headers)["ce_id"] for record in records]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 3


async def test_while_kafka_is_unreachable_events_wait_and_then_come_in_order(
    database: Database, database_url: str, kafka: KafkaAddress, topic: SampleTopic, unused_tcp_port: int
) -> None:
    failing = KafkaAddress(f"127.0.0.1:{unused_tcp_port}")
    async with Running(Relay(database, database_url, failing, "cut off")) as running:
        await tell(database, *(f"{number}" for number in range(5)), topic=topic)
        await eventually(lambda: running.relay._failures >= 2)
        await tell(database, *(f"{number}" for number in range(5, 9)), topic=topic)
        # Another replica reaches Kafka: the one that is cut off does not keep the lease from it.
        async with Running(Relay(database, database_url, kafka, "connected", lease_seconds=300.0, poll_seconds=0.05)):
            records = await read(kafka, topic, 9)
    assert texts(records, "k") == [f"{number}" for number in range(9)]
    assert await unsent(database) == 0
