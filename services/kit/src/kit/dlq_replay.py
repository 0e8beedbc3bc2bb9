"""Trying again what a consumer could not handle, once the fault is mended."""

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import Any

from aiokafka import TopicPartition  # type: ignore[import-untyped]

from kit.dead_letters import CONSUMER, KafkaDeadLetterQueue, Record, dlq_of, origin_of, split_headers
from kit.failures import OperatorError
from kit.handling import BatchProcessor, Handler, PostponedError, RetryPolicy
from kit.kafka_client import KafkaError, KafkaSettings, new_consumer, started
from kit.topics import Catalogue

POLL_TIMEOUT_MS = 1_000
MAX_RECORDS = 100
CLOSE_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of a replay."""

    replayed: int
    """Events that were handled now."""
    buried: int
    """Events that failed again; they are at the end of the DLQ."""
    others: int
    """Events of other consumers; left for their own replay."""


class ReplayStoppedError(OperatorError):
    """The replay could not go on (database or Kafka away); run it again, it continues where it stopped."""

    afterwards = "Then run it again: it goes on where it stopped."


class _Counting:
    """A dead-letter queue that counts."""

    def __init__(self, inner: KafkaDeadLetterQueue, dlq: str) -> None:
        self.inner = inner
        self.dlq = dlq
        self.buried = 0
        self.record: Record | None = None

    async def bury(self, record: Record, group: str, error: BaseException) -> None:
        # The buried record itself, not the origin that was handled: it knows how often it has been tried.
        await self.inner.bury(self.record or record, group, error)
        self.buried += 1

    async def close(self) -> None:
        await self.inner.close()


async def replay_dlq(
    settings: KafkaSettings,
    topic: str,
    group: str,
    handler: Handler,
    *,
    limit: int = 1000,
    topics: Catalogue | None = None,
) -> Replay:
    """Give the events of `topic`'s DLQ that belong to `group` to its handler again, oldest first.

    Only what is in the DLQ when it begins is looked at, `limit` events of this group at most. Progress is kept in the
    consumer group `<group>-dlq-replay`, so running it again goes on where it stopped. An event that fails again goes to
    the end of the DLQ. The handler has the effect once, by the inbox, whatever was handled before.

    Raises:
        ReplayStoppedError: the database or Kafka went away.
    """
    dead_letters = KafkaDeadLetterQueue(settings, client_id=f"{group}-dlq-replay")
    counting = _Counting(dead_letters, dlq_of(topic))
    processor = BatchProcessor(group, handler, counting, RetryPolicy(halt_after=limit + 1), topics)
    try:
        consumer = await started(lambda: new_consumer(settings, f"{group}-dlq-replay", group_id=f"{group}-dlq-replay"))
        try:
            return await _Run(consumer, processor, counting, group, limit).run(dlq_of(topic))
        finally:
            with contextlib.suppress(TimeoutError, KafkaError):
                await asyncio.wait_for(consumer.stop(), CLOSE_TIMEOUT_SECONDS)
    except (PostponedError, KafkaError, OSError) as error:
        raise ReplayStoppedError(
            f"The replay was stopped by {type(error).__name__}: {error}. {ReplayStoppedError.afterwards}"
        ) from error
    finally:
        await dead_letters.close()


class _Run:
    def __init__(self, consumer: Any, processor: BatchProcessor, counting: _Counting, group: str, limit: int) -> None:
        self._consumer = consumer
        self._processor = processor
        self._counting = counting
        self._group = group
        self._limit = limit
        self._result = Replay(0, 0, 0)

    async def run(self, dlq: str) -> Replay:
        places = [TopicPartition(dlq, number) for number in await self._counting.inner.partitions(dlq)]
        self._consumer.assign(places)
        for place, end in (await self._consumer.end_offsets(places)).items():
            await self._partition(place, end)
        return self._result

    async def _partition(self, place: Any, end: int) -> None:
        while not self._full() and await self._consumer.position(place) < end:
            batch = await self._consumer.getmany(place, timeout_ms=POLL_TIMEOUT_MS, max_records=MAX_RECORDS)
            for record in batch.get(place, ()):
                if record.offset >= end or self._full():
                    return
                await self._one(record)
                await self._consumer.commit({place: record.offset + 1})

    def _full(self) -> bool:
        return self._result.replayed + self._result.buried >= self._limit

    async def _one(self, record: Record) -> None:
        _, ours = split_headers(record.headers)
        if ours.get(CONSUMER) != self._group:
            self._result = replace(self._result, others=self._result.others + 1)
            return
        before = self._counting.buried
        self._counting.record = record
        await self._processor.process([origin_of(record)])
        if self._counting.buried > before:
            self._result = replace(self._result, buried=self._result.buried + 1)
        else:
            self._result = replace(self._result, replayed=self._result.replayed + 1)
