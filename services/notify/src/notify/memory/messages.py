"""Messages as a list."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from notify.repository.messages import Arrival, Cursor, NewMessage, StoredMessage


class MemoryMessages:
    """See `notify.repository.messages`."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[StoredMessage] = []
        self.arrivals: dict[UUID, datetime] = {}
        self.now = datetime(2025, 6, 10, tzinfo=UTC)
        """The database's time, which a test may move."""

    async def add_messages(self, messages: Sequence[NewMessage]) -> set[UUID]:
        """See the protocol."""
        kept = set()
        for message in messages:
            key = (message.event_id, message.notice.addressee)
            if key not in {(stored.message.event_id, stored.message.notice.addressee) for stored in self.messages}:
                self.messages.append(StoredMessage(message, len(self.messages) + 1))
                self.arrivals[message.message_id] = self.now
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

    async def mark_read(self, psn_no: str, message_ids: Collection[UUID], now: datetime) -> None:
        """See the protocol."""
        for place, stored in enumerate(self.messages):
            message = stored.message
            if message.notice.addressee == psn_no and message.message_id in message_ids and stored.read_at is None:
                self.messages[place] = replace(stored, read_at=now)

    async def count_unread(self, psn_no: str, most: int) -> int:
        """See the protocol."""
        unread = [one for one in self.messages if one.message.notice.addressee == psn_no and one.read_at is None]
        return min(len(unread), most)

    async def arrived(self, psn_no: str, since: datetime, but_not: Collection[UUID], limit: int) -> list[Arrival]:
        """See the protocol."""
        found = [
            Arrival(stored, self.arrivals[stored.message.message_id])
            for stored in self.messages
            if stored.message.notice.addressee == psn_no and stored.message.message_id not in but_not
        ]
        return [one for one in found if one.arrived_at >= since][:limit]

    async def database_time(self) -> datetime:
        """See the protocol."""
        return self.now
