"""Publishing a stretch of the outbox again, after a restore: under the events' own ids and epochs, in order.

What is to be sent again is put back among what is unsent, and the relay sends it: the one here, or the service's own
where that runs. So there is one order and one way to Kafka, and what was not yet confirmed when this ended
is still sent by the service. Batches follow one another as they are sent, so little is ever waiting.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from kit import outbox_actions as actions
from kit.clock import Elapsed
from kit.db import Database, Transaction
from kit.failures import OperatorError
from kit.kafka_client import KafkaSettings
from kit.outbox_actions import Stretch
from kit.relay import Publishing, Relay

R = TypeVar("R")

POLL_SECONDS: Final = 0.05
STALLED_SECONDS: Final = 60.0


class StalledError(OperatorError):
    """Nothing was confirmed for a while."""

    afterwards = (
        "The service's own relay sends what waits; then run the same again: what comes twice is known by its id."
    )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    events: int
    """Confirmed by Kafka."""
    reached: datetime
    """Up to when, by the time at which they were written."""
    seconds: float


Watch = Callable[[Progress], None]


class Republishing:
    """Publishes a stretch of one service's outbox again.

    Args:
        database: the service's own.
        dsn: the same, for the connection that listens.
        kafka: where to publish.
        publisher: instead of the one to Kafka.
        stalled_seconds: after so long without a confirmation it gives up.
    """

    def __init__(
        self,
        database: Database,
        dsn: str,
        kafka: KafkaSettings,
        *,
        publisher: Publishing | None = None,
        stalled_seconds: float = STALLED_SECONDS,
    ) -> None:
        self._database = database
        holder = f"republish-{socket.gethostname()}-{os.getpid()}"
        self._relay = Relay(database, dsn, kafka, holder, publisher=publisher)
        self._relaying: asyncio.Task[None] | None = None
        self._stalled_seconds = stalled_seconds

    async def run(self, stretch: Stretch, operator: str, watch: Watch) -> int:
        """Publish it; how many events.

        Raises:
            StalledError: Kafka confirmed nothing for too long.
        """
        await self._in_transaction(lambda transaction: actions.note(transaction, stretch, operator, None))
        try:
            events = await self._batches(stretch, watch)
        finally:
            await self._end_relay()
        await self._in_transaction(lambda transaction: actions.note(transaction, stretch, operator, events))
        return events

    async def now(self) -> datetime:
        """The time by the database's clock."""
        return await self._in_transaction(actions.now)

    async def purged_until(self) -> datetime | None:
        """Before which time there is nothing left to publish again; None if nothing was purged."""
        return await self._in_transaction(actions.purged_until)

    async def _batches(self, stretch: Stretch, watch: Watch) -> int:
        events, elapsed = 0, Elapsed()
        next_id = await self._in_transaction(lambda transaction: actions.first_id(transaction, stretch.since))
        while next_id is not None:
            marked = await self._mark(stretch, next_id)
            if marked is None:
                break
            # Only now: what waits already is younger than what was marked.
            self._relaying = self._relaying or asyncio.create_task(self._relay.run())
            await self._until_sent(marked.last_id)
            events += marked.events
            watch(Progress(events, min(marked.reached, stretch.until), elapsed.seconds))
            next_id = marked.next_id
        return events

    async def _end_relay(self) -> None:
        await self._relay.stop()
        if self._relaying is not None:
            await asyncio.gather(self._relaying, return_exceptions=True)

    async def _mark(self, stretch: Stretch, next_id: int) -> actions.Marked | None:
        return await self._in_transaction(lambda transaction: actions.mark(transaction, stretch, next_id))

    async def _until_sent(self, last_id: int) -> None:
        before, since = None, Elapsed()
        while left := await self._in_transaction(lambda transaction: actions.waiting(transaction, last_id)):
            if left != before:
                before, since = left, Elapsed()
            elif since.seconds > self._stalled_seconds:
                raise StalledError(f"Kafka confirmed nothing for {self._stalled_seconds:.0f} s; {left} events wait.")
            await asyncio.sleep(POLL_SECONDS)

    async def _in_transaction(self, work: Callable[[Transaction], Coroutine[Any, Any, R]]) -> R:
        async with self._database.transaction() as transaction:
            return await work(transaction)
