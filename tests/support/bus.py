"""Puts records on the bus as another publisher would, and reads what is there."""

from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer  # type: ignore[import-untyped]
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
