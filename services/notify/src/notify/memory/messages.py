"""Messages as a list."""

from collections.abc import Sequence
from uuid import UUID

from notify.repository.messages import Cursor, NewMessage, StoredMessage


class MemoryMessages:
    """See `notify.repository.messages`."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[StoredMessage] = []

    async def add_messages(self, messages: Sequence[NewMessage]) -> set[UUID]:
        """See the protocol."""
        kept = set()
        for message in messages:
            key = (message.event_id, message.notice.addressee)
            if key not in {(stored.message.event_id, stored.message.notice.addressee) for stored in self.messages}:
                self.messages.append(StoredMessage(message, len(self.messages) + 1))
                kept.add(message.message_id)
        return kept

    async def newest_messages(self, psn_no: str, limit: int, before: Cursor | None = None) -> list[StoredMessage]:
        """See the protocol."""
        own = [stored for stored in self.messages if stored.message.notice.addressee == psn_no]
        own.sort(key=lambda stored: (stored.message.occurred_at, stored.position), reverse=True)
        if before is not None:
            place = (before.occurred_at, before.position)
            own = [stored for stored in own if (stored.message.occurred_at, stored.position) < place]
        return own[:limit]
