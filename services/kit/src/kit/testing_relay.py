"""A publisher that takes events instead of Kafka, and a relay around it, for tests of what publishes them."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Self

from kit.db import Database
from kit.events import StoredEvent
from kit.kafka import KafkaAddress
from kit.outbox import PostgresOutbox
from kit.relay import Relay
from kit.relay_publisher import PublishError
from kit.testing import eventually
from kit.testing_events import SampleTopic, event

TOPIC = SampleTopic()


class Recorder:
    """A publisher that takes everything, unless it is told to be flaky."""

    def __init__(self, seed: int | None = None) -> None:
        self.kafka: list[StoredEvent] = []
        self.rounds = 0
        self.closed = 0
        self._random = random.Random(seed) if seed is not None else None  # noqa: S311 - a test's order, no secret

    async def publish(self, rows: Sequence[StoredEvent]) -> list[int]:
        """Take them, or some of them."""
        self.rounds += 1
        if self._random is None:
            self.kafka += rows
            return [row.id for row in rows]
        return self._flaky(rows, self._random)

    def _flaky(self, rows: Sequence[StoredEvent], chance: random.Random) -> list[int]:
        """As Kafka may: each partition (here: key) takes its batch whole or not, and its answer may be lost."""
        confirmed = []
        for key in sorted({row.key for row in rows}, key=lambda _key: chance.random()):
            batch = [row for row in rows if row.key == key]
            fate = chance.choice(["confirmed", "confirmed", "unanswered", "failed"])
            if fate != "failed":
                self.kafka += batch
            if fate == "confirmed":
                confirmed += [row.id for row in batch]
        if len(confirmed) < len(rows):
            raise PublishError("on purpose", confirmed)
        return confirmed

    async def close(self) -> None:
        """Count that it was closed."""
        self.closed += 1

    def texts(self, key: str = "k") -> list[str]:
        """What came of a key, in its order, each as often as it came."""
        return [row.payload.decode(errors="replace")[2:] for row in self.kafka if row.key == key]


async def tell(database: Database, *texts: str, key: str = "k", topic: SampleTopic = TOPIC) -> None:
    """Write events of a key in one transaction."""
    async with database.transaction() as transaction:
        await PostgresOutbox(transaction, "kit", topic.catalogue).add([event(key, text) for text in texts])


async def unsent(database: Database) -> int:
    """How many wait."""
    async with database.transaction() as transaction:
        found: int = await transaction.raw.fetchval("SELECT count(*) FROM outbox_unsent")
        return found


async def unsent_ids(database: Database) -> list[int]:
    """Which wait."""
    async with database.transaction() as transaction:
        return [row["id"] for row in await transaction.raw.fetch("SELECT id FROM outbox_unsent ORDER BY id")]


async def until_sent(database: Database) -> None:
    """Until none waits."""

    async def is_sent() -> bool:
        return not await unsent(database)

    await eventually(is_sent, what="everything is sent")


class Running:
    """A relay that runs while the block does."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.relay.run())
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.relay.stop()
        await asyncio.wait_for(asyncio.gather(self.task, return_exceptions=True), 60)


def relay_of(database: Database, url: str, publisher: Recorder, holder: str = "one", **options: Any) -> Relay:
    """A relay that publishes to this publisher; no Kafka is asked."""
    return Relay(database, url, KafkaAddress("127.0.0.1:1"), holder, publisher=publisher, **options)
