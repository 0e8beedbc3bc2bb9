import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from kit.events import StoredEvent
from kit.kafka import KafkaAddress
from kit.kafka_client import new_consumer, started
from kit.partitions import partition_of
from kit.relay_publisher import Publisher, PublishError
from kit.testing_events import AT, HAPPENED, SampleTopic

TOPIC = SampleTopic()
NOWHERE = KafkaAddress("127.0.0.1:1")


def row(number: int, key: str, topic: str = TOPIC.name, size: int = 1) -> StoredEvent:
    return StoredEvent(
        number, UUID(int=number), topic, key, HAPPENED, "/gongji/kit", key, b"x" * size, AT, None, None, 1
    )


@dataclass
class FakeBatch:
    room: int
    values: list[bytes] = field(default_factory=list)

    def append(self, *, timestamp: None, key: bytes, value: bytes, headers: object) -> object | None:
        del timestamp, headers
        if self.values and len(value) > self.room:
            return None
        self.room -= len(value)
        self.values.append(key)
        return object()


@dataclass
class FakeProducer:
    """Three partitions, some of which fail or never answer."""

    failing: frozenset[int] = frozenset()
    silent: frozenset[int] = frozenset()
    late: frozenset[int] = frozenset()
    sent: list[tuple[int, list[bytes]]] = field(default_factory=list)

    def create_batch(self) -> FakeBatch:
        return FakeBatch(room=100)

    async def partitions_for(self, _topic: str) -> set[int]:
        return {0, 1, 2}

    async def send_batch(self, batch: FakeBatch, _topic: str, *, partition: int) -> "asyncio.Future[None]":
        self.sent.append((partition, batch.values))
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if partition in self.failing:
            future.set_exception(ConnectionResetError())
        elif partition in self.late:
            asyncio.get_running_loop().call_later(0.02, future.set_result, None)
        elif partition not in self.silent:
            future.set_result(None)
        return future


def publisher_on(producer: FakeProducer, timeout_seconds: float = 5.0) -> Publisher:
    publisher = Publisher(NOWHERE, "test", round_timeout_seconds=timeout_seconds)
    publisher._producer = producer
    return publisher


def place_of(key: str) -> int:
    return partition_of(key.encode(), [0, 1, 2])


def keys() -> list[str]:
    """One key for each partition, in the partitions' order."""
    return [next(f"k{n}" for n in range(100) if place_of(f"k{n}") == partition) for partition in range(3)]


async def test_each_partition_gets_its_rows_in_one_piece_and_in_order() -> None:
    producer = FakeProducer()
    first, second, third = keys()
    rows = [row(1, first), row(2, second), row(3, first), row(4, third), row(5, second)]
    assert await publisher_on(producer).publish(rows) == [1, 2, 3, 4, 5]
    assert sorted(producer.sent) == [(0, [first.encode()] * 2), (1, [second.encode()] * 2), (2, [third.encode()])]


async def test_what_does_not_fit_holds_back_everything_after_it_in_its_partition_only() -> None:
    first, second, _ = keys()
    rows = [row(1, first, size=60), row(2, first, size=60), row(3, first, size=1), row(4, second)]
    assert await publisher_on(FakeProducer()).publish(rows) == [1, 4]


async def test_a_partition_that_fails_is_not_confirmed_and_the_others_are() -> None:
    first, second, third = keys()
    rows = [row(1, first), row(2, second), row(3, third), row(4, second)]
    with pytest.raises(PublishError, match="ConnectionResetError") as caught:
        await publisher_on(FakeProducer(failing=frozenset({1}))).publish(rows)
    assert caught.value.confirmed == [1, 3]


async def test_what_is_confirmed_after_another_partition_failed_need_not_be_sent_again() -> None:
    first, second, _ = keys()
    producer = FakeProducer(failing=frozenset({0}), late=frozenset({1}))
    with pytest.raises(PublishError) as caught:
        await publisher_on(producer).publish([row(1, first), row(2, second)])
    assert caught.value.confirmed == [2]


async def test_a_partition_that_does_not_answer_is_given_up_after_the_time_out() -> None:
    first, second, _ = keys()
    with pytest.raises(PublishError, match="TimeoutError") as caught:
        await publisher_on(FakeProducer(silent=frozenset({0})), 0.05).publish([row(1, first), row(2, second)])
    assert caught.value.confirmed == [2]


async def test_without_kafka_nothing_is_confirmed(unused_tcp_port: int) -> None:
    publisher = Publisher(KafkaAddress(f"127.0.0.1:{unused_tcp_port}"), "test")
    with pytest.raises(PublishError, match="KafkaConnectionError") as caught:
        await publisher.publish([row(1, "k")])
    assert caught.value.confirmed == []
    await publisher.close()


async def values(kafka: KafkaAddress, topic: SampleTopic, count: int) -> list[int]:
    consumer = await started(lambda: new_consumer(kafka, "test", topic.name))
    found: list[Any] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            found += [record for batch in (await consumer.getmany(timeout_ms=100)).values() for record in batch]
    await consumer.stop()
    return [len(record.value) for record in found]


async def test_the_largest_events_go_through_in_several_rounds(kafka: KafkaAddress, topic: SampleTopic) -> None:
    publisher = Publisher(kafka, "test")
    waiting = [row(number, "k", topic.name, 262_144 - number) for number in range(1, 6)]
    rounds = 0
    while waiting:
        confirmed = await publisher.publish(waiting)
        assert confirmed == [each.id for each in waiting[: len(confirmed)]]
        waiting = waiting[len(confirmed) :]
        rounds += 1
    await publisher.close()
    assert rounds > 1
    assert await values(kafka, topic, 5) == [262_144 - number for number in range(1, 6)]


async def test_a_dropped_producer_leaves_nothing_running(kafka: KafkaAddress, topic: SampleTopic) -> None:
    before = asyncio.all_tasks()
    publisher = Publisher(kafka, "test")
    await publisher.publish([row(1, "k", topic.name)])
    await publisher.close()
    await publisher.publish([row(2, "k", topic.name)])  # a new one is made when needed
    await publisher.close()
    assert asyncio.all_tasks() == before
