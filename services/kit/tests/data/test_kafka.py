import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any
from uuid import uuid4

import pytest
from faststream import AckPolicy

from kit.bus_metrics import LAG
from kit.clock import Elapsed
from kit.events import Envelope, headers_of
from kit.health import Health
from kit.kafka import BUSY, PATIENT, Consumer, KafkaAddress, RetryPolicy, Tuning
from kit.kafka_client import drop, new_consumer, new_producer, started
from kit.outbox import MemoryOutbox
from kit.testing import eventually
from kit.testing_events import SampleTopic, event

QUICK = Tuning(batch_timeout_ms=20, sample_seconds=0.2, graceful_seconds=3.0)
IMPATIENT = RetryPolicy(attempts=2, first_pause_seconds=0.0, most_pause_seconds=0.0, halt_after=3)


class BrokenOnPurposeError(Exception):
    pass


def text_of(envelope: Envelope) -> str:
    return str(getattr(envelope.message, "text"))  # noqa: B009 - a dynamic message


class Script:
    """A handler that remembers, and fails as it is told."""

    def __init__(self) -> None:
        self.effects: list[str] = []
        self.calls = 0
        self.fail: Callable[[str], Exception | None] = lambda _text: None

    async def handle(self, envelopes: Sequence[Envelope]) -> None:
        self.calls += 1
        for envelope in envelopes:
            if error := self.fail(text_of(envelope)):
                raise error
        self.effects += [text_of(envelope) for envelope in envelopes]


async def publish(kafka: KafkaAddress, topic: SampleTopic, *texts: str) -> None:
    outbox = MemoryOutbox("kit", topic.catalogue)
    await outbox.add([event("k", text) for text in texts])
    await send(kafka, topic.name, [(row.payload, headers_of(row)) for row in outbox.rows])


async def send(kafka: KafkaAddress, topic: str, records: Sequence[tuple[bytes | None, Any]]) -> None:
    producer = await started(lambda: new_producer(kafka, "test"))
    for value, headers in records:
        await producer.send_and_wait(topic, value=value, key=b"k", headers=headers)
    await drop(producer)


async def records_of(kafka: KafkaAddress, topic: str, count: int) -> list[Any]:
    consumer = await started(lambda: new_consumer(kafka, "test", topic))
    found: list[Any] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            found += [record for batch in (await consumer.getmany(timeout_ms=200)).values() for record in batch]
    await consumer.stop()
    return found


Start = Callable[..., Awaitable[Consumer]]


class Bench:
    """One group on one topic; everything that was started is stopped."""

    def __init__(self, kafka: KafkaAddress, topic: SampleTopic) -> None:
        self.kafka = kafka
        self.topic = topic
        self.group = f"group-{uuid4().hex[:8]}"
        self.health = Health()
        self.script = Script()
        self.consumers: list[Consumer] = []

    def consumer(self, kafka: KafkaAddress | None = None) -> Consumer:
        consumer = Consumer(
            kafka or self.kafka,
            [self.topic.name],
            self.group,
            self.script.handle,
            health=self.health,
            policy=IMPATIENT,
            tuning=QUICK,
            catalogue=self.topic.catalogue,
        )
        self.consumers.append(consumer)
        return consumer

    async def start(self) -> Consumer:
        consumer = self.consumer()
        await consumer.start()
        return consumer

    def state(self) -> tuple[bool, str]:
        check = self.health.checks()[f"consumer {self.group}"]
        return check.ok, check.why

    async def publish(self, *texts: str) -> None:
        await publish(self.kafka, self.topic, *texts)

    async def handled(self, *texts: str) -> None:
        await eventually(lambda: len(self.script.effects) >= len(texts), what=f"{texts}, got {self.script.effects}")
        assert self.script.effects == list(texts)


@pytest.fixture
async def bench(kafka: KafkaAddress, topic: SampleTopic) -> AsyncIterator[Bench]:
    bench = Bench(kafka, topic)
    yield bench
    for consumer in bench.consumers:
        await consumer.stop()


def test_every_subscriber_states_its_policy_itself() -> None:
    consumer = Bench(KafkaAddress("127.0.0.1:1"), SampleTopic()).consumer()
    assert len(consumer.broker.subscribers) == 1
    for subscriber in consumer.broker.subscribers:
        assert subscriber.ack_policy is AckPolicy.NACK_ON_ERROR
        assert getattr(subscriber, "group_id", None) == consumer._group
        assert getattr(subscriber, "max_records", None) == QUICK.max_records
        options = getattr(subscriber, "_connection_args", {})
        assert options["auto_offset_reset"] == "earliest"
        assert options["enable_auto_commit"] is False
        assert options["session_timeout_ms"] == QUICK.session_timeout_ms
        assert options["fetch_min_bytes"] == QUICK.fetch_min_bytes
        assert options["fetch_max_wait_ms"] == QUICK.fetch_max_wait_ms


@pytest.mark.parametrize("tuning", [BUSY, PATIENT])
def test_the_fetch_of_a_consumer_that_gathers_waits_less_than_its_poll(tuning: Tuning) -> None:
    assert 0 < tuning.fetch_max_wait_ms < tuning.batch_timeout_ms  # or every second poll would bring nothing


def test_a_patient_consumer_polls_seldom_and_is_not_late_by_more_than_two_seconds() -> None:
    assert PATIENT.fetch_max_wait_ms >= 4 * BUSY.fetch_max_wait_ms
    # A fetch under way that brings nothing, and an empty poll, after which FastStream sleeps for as long again.
    assert PATIENT.fetch_max_wait_ms + 2 * PATIENT.batch_timeout_ms <= 2_000


async def test_the_backlog_of_a_new_group_is_read_in_order(bench: Bench) -> None:
    await bench.publish("a", "b", "c")
    await bench.start()
    await bench.handled("a", "b", "c")
    assert bench.state() == (True, "")


async def test_what_was_handled_is_not_delivered_again_after_a_restart(bench: Bench) -> None:
    await bench.publish("a")
    consumer = await bench.start()
    await bench.handled("a")
    await consumer.stop()
    assert bench.state() == (False, "stopped")
    await bench.publish("b")
    await bench.start()
    await bench.handled("a", "b")


async def test_an_outage_of_the_database_delays_events_and_loses_none(bench: Bench) -> None:
    bench.script.fail = lambda _text: ConnectionRefusedError()
    await bench.publish("a", "b")
    await bench.start()
    await eventually(lambda: bench.script.calls >= 4)
    assert bench.state()[0] is False
    assert bench.script.calls < 100  # a pause is made between deliveries
    bench.script.fail = lambda _text: None
    await bench.handled("a", "b")
    await eventually(lambda: bench.state() == (True, ""))


async def test_a_poisoned_event_goes_to_the_dlq_and_its_mates_are_handled(bench: Bench) -> None:
    bench.script.fail = lambda text: BrokenOnPurposeError() if text == "bad" else None
    await bench.publish("a", "bad", "c")
    await bench.start()
    await bench.handled("a", "c")
    buried = (await records_of(bench.kafka, bench.topic.dlq, 1))[0]
    told = dict(buried.headers)
    assert told["x-dlq-consumer"] == bench.group.encode()
    assert told["x-dlq-error"] == b"BrokenOnPurposeError"
    assert told["x-dlq-topic"] == bench.topic.name.encode()
    assert told["ce_type"] == b"kit.testing.v1.Happened"
    assert buried.key == b"k"


async def test_headers_that_are_no_text_do_not_block_the_partition(bench: Bench) -> None:
    await send(bench.kafka, bench.topic.name, [(b"\xff", [("ce_id", b"\xff\xfe")]), (None, [("x", b"\xff")])])
    await bench.publish("a")
    await bench.start()
    await bench.handled("a")
    told = dict((await records_of(bench.kafka, bench.topic.dlq, 1))[0].headers)
    assert (told["x-dlq-error"], told["ce_id"]) == (b"UnreadableEventError", b"\xff\xfe")


async def test_too_many_failures_stop_consuming_and_the_rest_stays_on_the_topic(bench: Bench) -> None:
    bench.script.fail = lambda _text: BrokenOnPurposeError()
    await bench.publish(*(f"event {number}" for number in range(8)))
    consumer = await bench.start()
    await eventually(lambda: "stopped" in bench.state()[1])
    await eventually(lambda: not consumer._subscriber.running)
    assert len(await records_of(bench.kafka, bench.topic.dlq, 3)) == 3
    await consumer.stop()
    bench.script.fail = lambda _text: None
    await bench.start()
    await eventually(lambda: "event 7" in bench.script.effects)
    # The batch was not acknowledged, so those that are in the DLQ come again as well: the inbox is there for that.
    assert bench.script.effects == [f"event {number}" for number in range(8)]


async def test_the_next_replica_takes_over_what_a_stopped_one_had(bench: Bench) -> None:
    first = await bench.start()
    await bench.publish("a")
    await bench.handled("a")
    await bench.start()
    await first.stop()
    await bench.publish("b")
    await bench.handled("a", "b")


async def test_stopping_waits_for_the_batch_under_way(bench: Bench) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(envelopes: Sequence[Envelope]) -> None:
        entered.set()
        await leave.wait()
        bench.script.effects += [text_of(envelope) for envelope in envelopes]

    bench.script.handle = slow  # type: ignore[method-assign]
    await bench.publish("a")
    consumer = await bench.start()
    await entered.wait()
    stopping = asyncio.create_task(consumer.stop())
    await asyncio.sleep(0)
    leave.set()
    await stopping
    assert bench.script.effects == ["a"]
    await bench.start()
    await bench.publish("b")
    await eventually(lambda: len(bench.script.effects) == 2)
    assert bench.script.effects == ["a", "b"]


async def forward(port: int, target: str) -> asyncio.Server:
    """What makes Kafka appear at an address where nothing was."""
    host, _, target_port = target.rpartition(":")

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(host, int(target_port))
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer), return_exceptions=True)

    return await asyncio.start_server(connected, "127.0.0.1", port)


async def test_without_kafka_a_service_starts_says_why_it_is_not_ready_and_begins_later(
    bench: Bench, unused_tcp_port: int
) -> None:
    consumer = bench.consumer(KafkaAddress(f"127.0.0.1:{unused_tcp_port}"))
    await consumer.start()
    assert bench.state() == (False, "connecting to Kafka")
    await eventually(lambda: bench.state() == (False, "Kafka does not answer: KafkaConnectionError"))
    await bench.publish("a")
    server = await forward(unused_tcp_port, bench.kafka.kafka_bootstrap)
    await bench.handled("a")
    assert bench.state() == (True, "")
    await consumer.stop()
    server.close()


async def test_stopping_does_not_wait_for_a_kafka_that_never_was(unused_tcp_port: int) -> None:
    bench = Bench(KafkaAddress(f"127.0.0.1:{unused_tcp_port}"), SampleTopic())
    consumer = await bench.start()
    await eventually(lambda: "does not answer" in bench.state()[1])
    elapsed = Elapsed()
    await consumer.stop()
    assert elapsed.seconds < QUICK.graceful_seconds + 2  # and what a machine under load adds
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_a_fault_in_the_consumer_itself_asks_for_a_restart(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> None:
        raise BrokenOnPurposeError

    consumer = bench.consumer()
    monkeypatch.setattr(consumer, "_connect", broken)
    await consumer.start()
    await eventually(lambda: not bench.health.live())
    assert bench.state() == (False, "ended by BrokenOnPurposeError")


async def test_a_consuming_loop_that_ended_is_started_again(bench: Bench) -> None:
    consumer = await bench.start()
    await bench.publish("a")
    await bench.handled("a")
    await consumer._subscriber.stop()  # as if it had ended by itself
    await bench.publish("b")
    await bench.handled("a", "b")


def lag_of(group: str) -> float:
    samples = [sample for metric in LAG.collect() for sample in metric.samples]
    return sum(sample.value for sample in samples if sample.labels["group"] == group)


async def test_lag_is_what_is_not_committed_also_while_a_batch_is_stuck(bench: Bench) -> None:
    bench.script.fail = lambda _text: ConnectionRefusedError()
    await bench.publish("a", "b", "c")
    await bench.start()
    await eventually(lambda: lag_of(bench.group) == 3)
    bench.script.fail = lambda _text: None
    await bench.handled("a", "b", "c")
    await eventually(lambda: lag_of(bench.group) == 0)
