"""One dead letter: where it lies, who failed on which event, and the event itself as it was."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import UUID

from aiokafka import TopicPartition  # type: ignore[import-untyped]

from kit.clock import SystemClock
from kit.dead_letters import (
    CONSUMER,
    ERROR,
    MESSAGE,
    REPLAYS,
    KafkaDeadLetterQueue,
    Record,
    StoredRecord,
    burial_headers,
    dlq_of,
    origin_of,
    split_headers,
)
from kit.ids import uuid_of
from kit.kafka_client import DROP_TIMEOUT_SECONDS, KafkaError, KafkaSettings, new_consumer, started

POLL_TIMEOUT_MS: Final = 1_000
MAX_RECORDS: Final = 100
_TYPE: Final = re.compile(r"[A-Za-z][\w.]{0,199}", re.ASCII)
_PLACE: Final = re.compile(r"(?:(\d{1,5}):)?(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in a DLQ a letter lies. A DLQ has one partition, so its offset says it all, unless somebody made more."""

    partition: int
    offset: int

    def __str__(self) -> str:
        """As the commands print it and take it: `17`, or `2:17` in another partition than the first."""
        return f"{self.partition}:{self.offset}" if self.partition else str(self.offset)

    @classmethod
    def of(cls, text: str) -> "Place":
        """The place that a text spells.

        Raises:
            ValueError: it spells none.
        """
        found = _PLACE.fullmatch(text)
        if found is None:
            raise ValueError("is no place: give the OFFSET, or PARTITION:OFFSET, as `dlq list` prints it")
        return cls(int(found[1] or 0), int(found[2]))


@dataclass(frozen=True, slots=True)
class Letter:
    """A record of a DLQ."""

    dlq: str
    place: Place
    written_at: datetime
    """When it was buried, by Kafka. Of a DLQ that was made anew it tells a letter from the one before at its place."""
    consumer: str
    """The group that could not handle it; empty if nobody says."""
    error: str
    """The kind of error."""
    why: str
    """What is known of it; no personal data (`dead_letters.describe`)."""
    replays: int
    """How often it has been replayed before."""
    event_id: UUID | None
    """None where the event has none that could be read."""
    event_type: str
    """Full name of the message; empty where it has none that could be read."""
    record: StoredRecord
    """As it lies in the DLQ."""

    @property
    def origin(self) -> StoredRecord:
        """The event's record as it was on its topic."""
        return origin_of(self.record)


def letter_of(record: Record, written_at: datetime) -> Letter:
    """The letter in a record of a DLQ."""
    own, ours = split_headers(record.headers)
    stated = dict(own)
    return Letter(
        dlq=record.topic,
        place=Place(record.partition, record.offset),
        written_at=written_at,
        consumer=ours.get(CONSUMER, ""),
        error=ours.get(ERROR, ""),
        why=ours.get(MESSAGE, ""),
        replays=_number(ours.get(REPLAYS, "")),
        event_id=_event_id(stated.get("ce_id", b"")),
        event_type=_event_type(stated.get("ce_type", b"")),
        record=StoredRecord(
            record.topic, record.partition, record.offset, record.key, record.value, list(record.headers)
        ),
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _event_id(header: bytes) -> UUID | None:
    try:
        return uuid_of(header.decode())
    except ValueError:  # also of bytes that are no UTF-8
        return None


def _event_type(header: bytes) -> str:
    text = header.decode(errors="replace")
    return text if _TYPE.fullmatch(text) else ""


class DeadLetters(Protocol):
    """A DLQ to read from, and to put back into what failed again."""

    def all(self, dlq: str) -> AsyncIterator[Letter]:
        """Every letter that lies there when it begins, oldest first within its partition."""
        ...

    async def at(self, dlq: str, place: Place) -> Letter | None:
        """The letter at a place; None if there is none, such as one older than Kafka keeps."""
        ...


class KafkaDeadLetters:
    """Reads DLQs without a consumer group: looking at a letter never moves anybody's position."""

    def __init__(self, kafka: KafkaSettings, queue: KafkaDeadLetterQueue, client_id: str) -> None:
        self._kafka = kafka
        self._queue = queue
        self._client_id = client_id

    async def all(self, dlq: str) -> AsyncIterator[Letter]:
        """See `DeadLetters.all`."""
        places = [TopicPartition(dlq, number) for number in await self._queue.partitions(dlq)]
        async with self._consumer(places) as consumer:
            for place, end in (await consumer.end_offsets(places)).items():
                consumer.assign([place])  # alone, or the others would fill what is fetched ahead
                await consumer.seek_to_beginning(place)
                async for letter in _until(consumer, place, end):
                    yield letter

    async def at(self, dlq: str, place: Place) -> Letter | None:
        """See `DeadLetters.at`."""
        if place.partition not in await self._queue.partitions(dlq):
            return None
        there = TopicPartition(dlq, place.partition)
        async with self._consumer([there]) as consumer:
            first = (await consumer.beginning_offsets([there]))[there]
            end = (await consumer.end_offsets([there]))[there]
            if not first <= place.offset < end:
                return None
            consumer.seek(there, place.offset)
            async for letter in _until(consumer, there, end):
                return letter if letter.place == place else None
        return None

    @asynccontextmanager
    async def _consumer(self, places: list[Any]) -> AsyncIterator[Any]:
        consumer = await started(lambda: new_consumer(self._kafka, self._client_id, group_id=None))
        try:
            consumer.assign(places)
            yield consumer
        finally:
            with suppress(TimeoutError, KafkaError):
                await asyncio.wait_for(consumer.stop(), DROP_TIMEOUT_SECONDS)


async def _until(consumer: Any, place: Any, end: int) -> AsyncIterator[Letter]:
    while await consumer.position(place) < end:
        batch = await consumer.getmany(place, timeout_ms=POLL_TIMEOUT_MS, max_records=MAX_RECORDS)
        for record in batch.get(place, ()):
            if record.offset >= end:
                return
            yield letter_of(record, datetime.fromtimestamp(record.timestamp / 1000, UTC))


class MemoryDeadLetters:
    """A DLQ in a list, to bury in and to read; for unit tests."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []

    async def bury(self, record: Record, group: str, error: BaseException) -> None:
        """See `DeadLetterQueue.bury`."""
        headers = burial_headers(record, group, error)
        placed = StoredRecord(dlq_of(record.topic), 0, len(self.letters), record.key, record.value, headers)
        self.letters.append(letter_of(placed, SystemClock().now()))

    async def close(self) -> None:
        """See `DeadLetterQueue.close`."""

    async def all(self, dlq: str) -> AsyncIterator[Letter]:
        """See `DeadLetters.all`."""
        for letter in [letter for letter in self.letters if letter.dlq == dlq]:
            yield letter

    async def at(self, dlq: str, place: Place) -> Letter | None:
        """See `DeadLetters.at`."""
        return next((letter for letter in self.letters if (letter.dlq, letter.place) == (dlq, place)), None)
