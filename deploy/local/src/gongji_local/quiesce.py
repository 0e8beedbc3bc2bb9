"""Whether everything that was said has also been heard: outboxes empty, every consumer group at the end.

Asked in this order: the groups are at the topics' ends; then no outbox holds anything; then the ends have not moved.
An event is taken out of an outbox only after it moved an end, and a group commits only after its effect (with the
events that follow from it) is in a database. So if all three hold, nothing is under way.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]

from gongji_local.errors import StackError
from kit.clock import Elapsed

POLL_SECONDS: Final = 0.05
RETRY_MS: Final = 5
"""Before Kafka is asked again; the client learns of one topic after the other, each by a question in vain."""
NEXT_STEP: Final = "Look at `gongji-local status` and at the log of the service that is behind."


@dataclass(frozen=True, slots=True)
class Reader:
    """A consumer group of one topic."""

    topic: str
    group: str


Ends = Mapping[TopicPartition, int]


class Broker(Protocol):
    """The few questions that are asked of Kafka."""

    async def ends(self, topics: Sequence[str]) -> Ends:
        """The offset after the last event of every partition of the topics that exist."""

    async def behind(self, reader: Reader, ends: Ends) -> str:
        """How far a group is behind; empty when it is at the end."""


async def quiesce(
    database_urls: Mapping[str, str], bootstrap: str, readers: Sequence[Reader], timeout_seconds: float
) -> None:
    """Returns when nothing is under way; raises StackError with what is, after `timeout_seconds`."""
    elapsed = Elapsed()
    async with _KafkaBroker(bootstrap) as broker:
        while True:
            behind = await _under_way(database_urls, broker, readers)
            if not behind:
                return
            if elapsed.seconds > timeout_seconds:
                raise StackError(f"Not everything was delivered after {timeout_seconds:g} s: {behind}.", NEXT_STEP)
            await asyncio.sleep(POLL_SECONDS)


async def _under_way(database_urls: Mapping[str, str], broker: Broker, readers: Sequence[Reader]) -> str:
    """What is still under way, for a person; empty when nothing is."""
    try:
        return await look(database_urls, broker, readers)
    except KafkaError as error:  # such as: the broker is being restarted, or has just had its first group
        return f"Kafka does not tell ({error})"


async def look(database_urls: Mapping[str, str], broker: Broker, readers: Sequence[Reader]) -> str:
    """What is under way, for a person; empty when nothing is."""
    ends = await broker.ends(sorted({reader.topic for reader in readers}))
    behind = [text for reader in readers if (text := await broker.behind(reader, ends))]
    unsent = [text for service, url in database_urls.items() if (text := await _unsent(service, url))]
    if not behind and not unsent and await broker.ends(sorted({reader.topic for reader in readers})) != ends:
        return "events are still being published"
    return "; ".join([*unsent, *behind])


async def _unsent(service: str, url: str) -> str:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        if await connection.fetchval("SELECT to_regclass('outbox_unsent')") is None:
            return ""
        count = await connection.fetchval("SELECT count(*) FROM outbox_unsent")
        return f"the outbox of {service} holds {count}" if count else ""
    finally:
        await connection.close()


class _KafkaBroker:
    """A real broker."""

    def __init__(self, bootstrap: str) -> None:
        self._admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        self._consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, retry_backoff_ms=RETRY_MS)
        self._bootstrap = bootstrap

    async def __aenter__(self) -> Self:
        try:
            await self._admin.start()
            await self._consumer.start()
        except KafkaError as error:
            await self._close()
            raise StackError(f"The Kafka at {self._bootstrap} does not answer ({error}).", NEXT_STEP) from error
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._close()

    async def _close(self) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def ends(self, topics: Sequence[str]) -> Ends:
        """The offset after the last event of every partition of the topics that exist."""
        partitions = [
            TopicPartition(description["topic"], partition["partition"])
            for description in await self._admin.describe_topics(list(topics))
            for partition in description["partitions"]
        ]
        ends: Ends = await self._consumer.end_offsets(partitions) if partitions else {}
        return ends

    async def behind(self, reader: Reader, ends: Ends) -> str:
        """How far a group is behind; empty when it is at the end."""
        committed = await self._admin.list_consumer_group_offsets(reader.group)
        lag = 0
        for partition, end in ends.items():
            if partition.topic == reader.topic:
                reached = committed.get(partition)
                lag += end - max(reached.offset if reached else 0, 0)
        return f"{reader.group} is {lag} behind on {reader.topic}" if lag > 0 else ""
