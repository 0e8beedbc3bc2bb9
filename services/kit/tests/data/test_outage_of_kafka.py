"""A broker of its own, which goes away and comes back."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from gongji_local.stack import Stack
from kit.bus_metrics import CONNECTED, HEARD_AT, LAG
from kit.clock import Elapsed
from kit.db import Database
from kit.events import Envelope
from kit.health import Health
from kit.inbox import PostgresInbox
from kit.kafka import Consumer, KafkaAddress, Tuning
from kit.outbox import PostgresOutbox
from kit.relay import Relay
from kit.relay_publisher import Publisher
from kit.testing import eventually
from kit.testing_events import SampleTopic, event
from kit.topic_admin import ensure_topics

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]  # a broker starts slowly on a busy machine
GRACE_SECONDS = 2.0
SAMPLE_SECONDS = 0.2
ANSWER_SECONDS = 2.0
BUSY_SECONDS = 8.0
"""What a machine under load may add."""
TUNING = Tuning(graceful_seconds=GRACE_SECONDS, sample_seconds=SAMPLE_SECONDS, answer_seconds=ANSWER_SECONDS)


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    named = {"DATABASE_URL", "KAFKA_BOOTSTRAP"}
    environ = {name: value for name, value in os.environ.items() if name not in named}
    stack = Stack(Path(tmp_path_factory.mktemp("kafka")), environ={**environ, "GONGJI_STACK": "embedded"})
    stack.start_kafka()
    yield stack
    stack.wipe()


class Bench:
    """A relay and a consumer of one topic on that broker."""

    def __init__(self, stack: Stack, database: Database, url: str, kafka: KafkaAddress, topic: SampleTopic) -> None:
        self.stack = stack
        self.database = database
        self.topic = topic
        self.seen: list[str] = []
        self.told = 0
        publisher = Publisher(kafka, "one", round_timeout_seconds=3.0)
        self.relay = Relay(database, url, kafka, "one", publisher=publisher, poll_seconds=0.1)
        self.group = f"group-{uuid4().hex[:8]}"
        self.health = Health()
        self.consumer = Consumer(
            kafka,
            [topic.name],
            self.group,
            self.handle,
            health=self.health,
            catalogue=topic.catalogue,
            tuning=TUNING,
        )

    async def handle(self, envelopes: Sequence[Envelope]) -> None:
        async with self.database.transaction() as transaction:
            new = await PostgresInbox(transaction).first_time("group", [envelope.id for envelope in envelopes])
        self.seen += [str(envelope.sequence) for envelope in envelopes if envelope.id in new]

    async def tell(self, count: int) -> None:
        events = [event("k", "x", self.told + place) for place in range(count)]
        self.told += count
        async with self.database.transaction() as transaction:
            await PostgresOutbox(transaction, "kit", self.topic.catalogue).add(events)

    def state(self) -> tuple[bool, str]:
        check = self.health.checks()[f"consumer {self.group}"]
        return check.ok, check.why

    def lags(self) -> list[float]:
        samples = [sample for metric in LAG.collect() for sample in metric.samples]
        return [sample.value for sample in samples if sample.labels["group"] == self.group]

    async def all_seen(self) -> None:
        await eventually(lambda: len(self.seen) >= self.told, timeout_seconds=120)
        assert self.seen == [str(number) for number in range(self.told)]


@pytest.fixture
async def bench(own_stack: Stack, database: Database, database_url: str) -> AsyncIterator[Bench]:
    kafka = KafkaAddress(await asyncio.to_thread(own_stack.start_kafka))
    topic = SampleTopic()
    await ensure_topics(kafka, 1, topic.catalogue)
    bench = Bench(own_stack, database, database_url, kafka, topic)
    relay = asyncio.create_task(bench.relay.run())
    await bench.consumer.start()
    yield bench
    await bench.consumer.stop()
    await bench.relay.stop()
    await relay


async def test_after_an_outage_nothing_is_lost_or_out_of_order(bench: Bench) -> None:
    await bench.tell(50)
    await bench.all_seen()
    await asyncio.to_thread(bench.stack.stop_kafka)
    await bench.tell(50)
    await eventually(lambda: bench.relay._failures > 0, timeout_seconds=120)
    await bench.tell(50)
    await asyncio.to_thread(bench.stack.start_kafka)
    await bench.tell(50)
    await bench.all_seen()


async def test_stopping_keeps_to_its_grace_period_when_kafka_is_gone(bench: Bench) -> None:
    await bench.tell(5)
    await bench.all_seen()
    await asyncio.to_thread(bench.stack.stop_kafka)
    elapsed = Elapsed()
    await bench.consumer.stop()
    await bench.relay.stop()
    assert elapsed.seconds < 2 * GRACE_SECONDS + BUSY_SECONDS


async def test_a_kafka_that_was_killed_is_told_takes_nobody_out_of_service_and_is_found_again(bench: Bench) -> None:
    bench.health.set("database", True)
    await bench.tell(5)
    await bench.all_seen()
    await eventually(lambda: set(bench.lags()) == {0.0})
    assert (bench.health.degraded(), CONNECTED.labels(bench.group)._value.get()) == ([], 1)

    await asyncio.to_thread(bench.stack.kill_service, "kafka")
    elapsed = Elapsed()
    await eventually(lambda: not bench.state()[0], timeout_seconds=60)
    assert elapsed.seconds < 2 * (SAMPLE_SECONDS + ANSWER_SECONDS) + BUSY_SECONDS
    assert bench.state()[1].startswith("Kafka does not answer: ")
    assert (bench.lags(), CONNECTED.labels(bench.group)._value.get()) == ([], 0)
    assert (bench.health.ready(), bench.health.live()) == (True, True)
    assert bench.health.degraded() == [f"consumer {bench.group}"]
    heard = HEARD_AT.labels(bench.group)._value.get()

    await asyncio.to_thread(bench.stack.start_kafka)
    await eventually(lambda: bench.state() == (True, ""), timeout_seconds=120)
    await bench.tell(5)
    await bench.all_seen()
    await eventually(lambda: set(bench.lags()) == {0.0})
    assert CONNECTED.labels(bench.group)._value.get() == 1
    assert HEARD_AT.labels(bench.group)._value.get() > heard
