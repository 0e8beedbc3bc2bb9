"""The inbox: each consumer has the effect of an event once, however often it is delivered."""

from collections.abc import Sequence
from typing import Protocol, cast
from uuid import UUID

from kit.db import Transaction

SCHEMA = """
-- Kept longer than any topic and DLQ keeps events: an event that comes back later than that would count twice.
CREATE TABLE inbox (
    consumer    text        NOT NULL,
    event_id    uuid        NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, event_id)
);
"""
"""For a service's first migration; frozen. A later change is a new constant and a new migration."""

# Sorted, so that two consumers with the same events wait for each other instead of locking each other out.
_FIRST_TIME = """
INSERT INTO inbox (consumer, event_id)
SELECT $1, e.event_id FROM (SELECT DISTINCT unnest($2::uuid[]) AS event_id) AS e ORDER BY e.event_id
ON CONFLICT DO NOTHING
RETURNING event_id
"""


class Inbox(Protocol):
    """What a consumer has already taken in."""

    async def first_time(self, consumer: str, event_ids: Sequence[UUID]) -> set[UUID]:
        """Take in these events in the transaction of their effect; those that this consumer had not yet are returned.

        If another transaction is taking in the same event, this waits for its outcome.
        """
        ...


class PostgresInbox:
    """The inbox of one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._raw = transaction.raw

    async def first_time(self, consumer: str, event_ids: Sequence[UUID]) -> set[UUID]:
        """See `Inbox.first_time`."""
        if not event_ids:
            return set()
        return {row["event_id"] for row in await self._raw.fetch(_FIRST_TIME, consumer, list(event_ids))}


class MemoryInbox:
    """An inbox for unit tests; takes part in the snapshots of `kit.testing.MemoryWork`."""

    def __init__(self) -> None:
        self.taken: set[tuple[str, UUID]] = set()

    async def first_time(self, consumer: str, event_ids: Sequence[UUID]) -> set[UUID]:
        """See `Inbox.first_time`."""
        new = {event_id for event_id in event_ids if (consumer, event_id) not in self.taken}
        self.taken |= {(consumer, event_id) for event_id in new}
        return new

    def snapshot(self) -> object:
        """What `restore` goes back to."""
        return set(self.taken)

    def restore(self, snapshot: object) -> None:
        """Forget what was taken in since."""
        self.taken.clear()
        self.taken |= cast("set[tuple[str, UUID]]", snapshot)
