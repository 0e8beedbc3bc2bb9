"""Puts records on the bus as another publisher would, and reads what is there."""

from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition  # type: ignore[import-untyped]
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]
from google.protobuf.message import Message

from kit.clock import SystemClock
from kit.events import StoredEvent, headers_of
from kit.ids import uuid7
from kit.topics import catalogue


def stored(message: Message, key: str, event_id: UUID | None = None) -> StoredEvent:
    """The event as an outbox would have it; a given id makes it a repeat of another."""
    full_name = message.DESCRIPTOR.full_name
    return StoredEvent(
        id=1,
        event_id=event_id or uuid7(),
        topic=catalogue().topic_of(full_name).name,
        key=key,
        type=full_name,
        source="/gongji/scenario",
        subject=key,
        payload=message.SerializeToString(),
        occurred_at=SystemClock().now(),
        sequence=None,
        traceparent=None,
        epoch=1,
    )


async def publish(bootstrap: str, *events: StoredEvent) -> None:
    """Publish events, in order."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        for event in events:
            await producer.send_and_wait(event.topic, event.payload, event.key.encode(), headers=headers_of(event))


async def from_the_beginning(bootstrap: str, group: str) -> None:
    """A consumer group, none of which runs, begins at offset zero again, as a new one would."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    consumer.assign(list(committed))
    async with consumer:
        await consumer.commit({TopicPartition(part.topic, part.partition): 0 for part in committed})


async def records(bootstrap: str, topic: str) -> list[Any]:
    """Everything on a topic now, oldest first within its partitions."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest")
    async with consumer:
        parts = list(consumer.assignment())
        ends = await consumer.end_offsets(parts)
        found: list[Any] = []
        for part in parts:
            await consumer.seek_to_beginning(part)
            while await consumer.position(part) < ends[part]:
                batches = await consumer.getmany(part, timeout_ms=500)
                found += [record for batch in batches.values() for record in batch]
        return found
