"""Quiet means: outboxes empty, and every group has read to the end."""

from collections.abc import Sequence
from functools import partial

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition  # type: ignore[import-untyped]
from aiokafka.structs import OffsetAndMetadata  # type: ignore[import-untyped]

from gongji_local.blocking import run_blocking
from gongji_local.errors import StackError
from gongji_local.quiesce import Ends, Reader, look
from gongji_local.stack import Stack
from kit.topics import catalogue

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]  # a broker starts slowly on a busy machine

TOPIC = "binding-events-v1"


def at_database(stack: Stack, statement: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(stack.info.database_url("binding"))
        await connection.execute(statement)
        await connection.close()

    run_blocking(execute)


def publish(stack: Stack, key: bytes) -> TopicPartition:
    async def send() -> TopicPartition:
        async with AIOKafkaProducer(bootstrap_servers=stack.info.kafka_bootstrap, acks="all") as producer:
            sent = await producer.send_and_wait(TOPIC, b"event", key=key)
            return TopicPartition(sent.topic, sent.partition)

    return run_blocking(send)


def read_to_the_end(stack: Stack) -> None:
    """Let every group that reads the topic have read all of it."""
    partitions = [TopicPartition(TOPIC, number) for number in range(catalogue().topic(TOPIC).partitions)]

    async def commit(group: str) -> None:
        # Without auto-commit, which would put back the place where it began when it stops.
        async with AIOKafkaConsumer(
            bootstrap_servers=stack.info.kafka_bootstrap, group_id=group, enable_auto_commit=False
        ) as consumer:
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            await consumer.commit({partition: OffsetAndMetadata(end, "") for partition, end in ends.items()})

    for group in catalogue().topic(TOPIC).consumers:
        run_blocking(partial(commit, group))


def under_way(stack: Stack, timeout_seconds: float = 60) -> str:
    """What is told to be under way still; nothing when the stack is quiet."""
    try:
        stack.quiesce(timeout_seconds)
    except StackError as error:
        return error.problem
    return ""


class BusyBroker:
    """A broker on which something is published between two looks."""

    def __init__(self) -> None:
        self.end = 0

    async def ends(self, _topics: Sequence[str]) -> dict[TopicPartition, int]:
        self.end += 1
        return {TopicPartition(TOPIC, 0): self.end}

    async def committed(self, _group: str) -> Ends:
        return {TopicPartition(TOPIC, 0): self.end}


class NoOutboxes:
    """Databases in which nothing waits."""

    async def unsent(self) -> Sequence[str]:
        return ()


async def test_an_event_published_while_looking_is_not_quiet() -> None:
    assert await look(NoOutboxes(), BusyBroker(), [Reader(TOPIC, "notify")]) == "events are still being published"


def test_a_stack_on_which_nothing_happened_is_quiet(own_stack: Stack) -> None:
    read_to_the_end(own_stack)
    assert under_way(own_stack) == ""


def test_an_event_that_nobody_has_read_is_not_quiet(own_stack: Stack) -> None:
    read_to_the_end(own_stack)
    publish(own_stack, b"a")
    publish(own_stack, b"b")
    assert f"notify is 2 behind on {TOPIC}" in under_way(own_stack, 0.3)
    read_to_the_end(own_stack)
    assert under_way(own_stack) == ""


def test_an_event_that_is_still_in_an_outbox_is_not_quiet(own_stack: Stack) -> None:
    read_to_the_end(own_stack)
    at_database(own_stack, "CREATE TABLE IF NOT EXISTS outbox_unsent (id bigint PRIMARY KEY)")
    at_database(own_stack, "INSERT INTO outbox_unsent VALUES (1), (2), (3)")
    assert "the outbox of binding holds 3" in under_way(own_stack, 0.3)
    at_database(own_stack, "DELETE FROM outbox_unsent")
    assert under_way(own_stack) == ""
    at_database(own_stack, "DROP TABLE outbox_unsent")
