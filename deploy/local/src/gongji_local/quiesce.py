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
from kit.kafka_client import KafkaAddress, client_options

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

    async def committed(self, group: str) -> Ends:
        """The offset up to which a group has read each partition that it has begun to read."""


class Outboxes(Protocol):
    """The one question that is asked of the databases."""

    async def unsent(self) -> Sequence[str]:
        """What outboxes still hold, for a person; nothing of those that are empty."""


async def quiesce(
    database_urls: Mapping[str, str], kafka: KafkaAddress, readers: Sequence[Reader], timeout_seconds: float
) -> None:
    """Returns when nothing is under way; raises StackError with what is, after `timeout_seconds`."""
    elapsed = Elapsed()
    async with _KafkaBroker(kafka) as broker, _Databases(database_urls) as outboxes:
        while True:
            behind = await _under_way(outboxes, broker, readers)
            if not behind:
                return
            if elapsed.seconds > timeout_seconds:
                raise StackError(f"Not everything was delivered after {timeout_seconds:g} s: {behind}.", NEXT_STEP)
            await asyncio.sleep(POLL_SECONDS)


async def _under_way(outboxes: Outboxes, broker: Broker, readers: Sequence[Reader]) -> str:
    """What is still under way, for a person; empty when nothing is."""
    try:
        return await look(outboxes, broker, readers)
    except KafkaError as error:  # such as: the broker is being restarted, or has just had its first group
        return f"Kafka does not tell ({error})"


async def look(outboxes: Outboxes, broker: Broker, readers: Sequence[Reader]) -> str:
    """What is under way, for a person; empty when nothing is."""
    topics = sorted({reader.topic for reader in readers})
    ends = await broker.ends(topics)
    reached = {group: await broker.committed(group) for group in sorted({reader.group for reader in readers})}
    behind = [text for reader in readers if (text := _behind(reader, ends, reached[reader.group]))]
    unsent = await outboxes.unsent()
    if not behind and not unsent and await broker.ends(topics) != ends:
        return "events are still being published"
    return "; ".join([*unsent, *behind])


def _behind(reader: Reader, ends: Ends, reached: Ends) -> str:
    """How far a group is behind; empty when it is at the end."""
    own = [partition for partition in ends if partition.topic == reader.topic]
    lag = sum(ends[partition] - max(reached.get(partition, 0), 0) for partition in own)
    return f"{reader.group} is {lag} behind on {reader.topic}" if lag > 0 else ""


class _Databases:
    """The services' databases, each with one connection while it is asked again and again."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._connections: dict[str, asyncpg.Connection] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        for connection in self._connections.values():
            await connection.close()

    async def unsent(self) -> Sequence[str]:
        """What outboxes still hold, for a person; nothing of those that are empty."""
        return [text for service, url in self._urls.items() if (text := await self._unsent(service, url))]

    async def _unsent(self, service: str, url: str) -> str:
        if service not in self._connections:
            self._connections[service] = await asyncpg.connect(url, timeout=10)
        connection = self._connections[service]
        if await connection.fetchval("SELECT to_regclass('outbox_unsent')") is None:
            return ""
        count = await connection.fetchval("SELECT count(*) FROM outbox_unsent")
        return f"the outbox of {service} holds {count}" if count else ""


class _KafkaBroker:
    """A real broker."""

    def __init__(self, kafka: KafkaAddress) -> None:
        options = client_options(kafka, "quiesce")
        self._admin = AIOKafkaAdminClient(**options)
        self._consumer = AIOKafkaConsumer(**options, retry_backoff_ms=RETRY_MS)
        self._bootstrap = kafka.kafka_bootstrap

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

    async def committed(self, group: str) -> Ends:
        """The offset up to which a group has read each partition that it has begun to read."""
        found = await self._admin.list_consumer_group_offsets(group)
        return {partition: metadata.offset for partition, metadata in found.items()}
