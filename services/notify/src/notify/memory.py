"""The repository in memory, for unit tests; the contract suite holds it to what PostgreSQL does."""

from collections.abc import Sequence
from uuid import UUID

from kit.inbox import MemoryInbox
from notify.repository import Cursor, NewMessage, StoredMessage


class MemoryRepository:
    """Messages in a list; takes part in the snapshots of `kit.testing.MemoryWork`."""

    def __init__(self) -> None:
        self.inbox = MemoryInbox()
        self.messages: list[StoredMessage] = []

    async def add(self, messages: Sequence[NewMessage]) -> set[UUID]:
        """See `Repository.add`."""
        kept = set()
        for message in messages:
            key = (message.event_id, message.notice.addressee)
            if key not in {(stored.message.event_id, stored.message.notice.addressee) for stored in self.messages}:
                self.messages.append(StoredMessage(message, len(self.messages) + 1))
                kept.add(message.message_id)
        return kept

    async def newest(self, psn_no: str, limit: int, before: Cursor | None = None) -> list[StoredMessage]:
        """See `Repository.newest`."""
        own = [stored for stored in self.messages if stored.message.notice.addressee == psn_no]
        own.sort(key=lambda stored: (stored.message.occurred_at, stored.position), reverse=True)
        if before is not None:
            place = (before.occurred_at, before.position)
            own = [stored for stored in own if (stored.message.occurred_at, stored.position) < place]
        return own[:limit]
