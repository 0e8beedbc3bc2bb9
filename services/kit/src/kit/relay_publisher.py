"""One round of events to Kafka: one record batch per partition, confirmed whole or not at all."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.bus_metrics import PUBLISHED
from kit.events import StoredEvent, headers_of
from kit.kafka_client import KafkaSettings, drop, new_producer, started
from kit.partitions import partition_of

ROUND_TIMEOUT_SECONDS = 15.0

Place = tuple[str, int]
"""A topic and one of its partitions."""


class PublishError(Exception):
    """A round was not confirmed as a whole; `confirmed` holds the ids that were."""

    def __init__(self, message: str, confirmed: list[int]) -> None:
        super().__init__(message)
        self.confirmed = confirmed


@dataclass(slots=True)
class _Packed:
    """What goes to one partition in one piece."""

    builder: Any
    ids: list[int] = field(default_factory=list)
    full: bool = False

    def add(self, row: StoredEvent) -> None:
        # Once one did not fit, all later ones of the partition wait for the next round, or they would overtake it.
        self.full = self.full or self._appended(row) is None
        if not self.full:
            self.ids.append(row.id)

    def _appended(self, row: StoredEvent) -> object | None:
        appended: object | None = self.builder.append(
            timestamp=None, key=row.key.encode(), value=row.payload, headers=headers_of(row)
        )
        return appended


class Publisher:
    """Publishes rounds over one producer, which is made when needed and dropped after any failure."""

    def __init__(
        self, kafka: KafkaSettings, client_id: str, *, round_timeout_seconds: float = ROUND_TIMEOUT_SECONDS
    ) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._timeout_seconds = round_timeout_seconds
        self._producer: Any = None

    async def publish(self, rows: Sequence[StoredEvent]) -> list[int]:
        """Publish what fits into one round; the confirmed ids.

        Raises:
            PublishError: something was not confirmed; use no result of this producer any more and `close`.
        """
        packed: dict[Place, _Packed] = {}
        sent: dict[Place, asyncio.Future[Any]] = {}
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._pack(rows, packed)
                for place, batch in packed.items():
                    sent[place] = await self._producer.send_batch(batch.builder, place[0], partition=place[1])
                # All of them, also when one fails early: what is confirmed meanwhile need not be sent again.
                await asyncio.wait(sent.values())
                await asyncio.gather(*sent.values())
        except Exception as error:
            confirmed = _confirmed(packed, sent)
            raise PublishError(f"a round was not confirmed: {type(error).__name__}", confirmed) from error
        return _confirmed(packed, sent)

    async def close(self) -> None:
        """Drop the producer with everything that it still wants to send."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await drop(producer)

    async def _pack(self, rows: Sequence[StoredEvent], packed: dict[Place, _Packed]) -> None:
        if self._producer is None:
            self._producer = await started(lambda: new_producer(self._kafka, self._client_id))
        partitions = {topic: await self._partitions(topic) for topic in sorted({row.topic for row in rows})}
        for row in rows:
            place = (row.topic, partition_of(row.key.encode(), partitions[row.topic]))
            if place not in packed:
                packed[place] = _Packed(self._producer.create_batch())
            packed[place].add(row)

    async def _partitions(self, topic: str) -> list[int]:
        return sorted(await self._producer.partitions_for(topic))


def _confirmed(packed: Mapping[Place, _Packed], sent: Mapping[Place, "asyncio.Future[Any]"]) -> list[int]:
    confirmed = []
    for place, future in sent.items():
        if future.done() and not future.cancelled() and future.exception() is None:
            confirmed.extend(packed[place].ids)
            PUBLISHED.labels(place[0]).inc(len(packed[place].ids))
    return sorted(confirmed)
