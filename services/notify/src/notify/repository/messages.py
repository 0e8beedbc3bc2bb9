"""Messages as the inbox keeps them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from notify.domain.kinds import Kind
from notify.domain.notices import Worded
from notify.domain.planning import DEFAULT_LANGUAGE


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be kept."""

    message_id: UUID
    event_id: UUID
    """ce_id of the event that it tells of."""
    occurred_at: datetime
    notice: Worded
    kind: Kind | None = None
    """None for those of before kinds were kept."""
    language: str = DEFAULT_LANGUAGE
    """Of its words."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a person's messages."""

    occurred_at: datetime
    position: int


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as it was kept."""

    message: NewMessage
    position: int
    """Rises with arrival."""
    read_at: datetime | None = None

    @property
    def cursor(self) -> Cursor:
        """Its place."""
        return Cursor(self.message.occurred_at, self.position)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message, and when it arrived by the database's time."""

    stored: StoredMessage
    arrived_at: datetime


class MessageRows(Protocol):
    """The messages of the inbox."""

    async def add_messages(self, messages: Sequence[NewMessage]) -> set[UUID]:
        """Keep messages in this order; one of an event and addressee that is there already is left as it is.

        Returns the message_ids that were kept.
        """
        ...

    async def newest_messages(self, psn_no: str, limit: int, before: Cursor | None = None) -> list[StoredMessage]:
        """A person's messages from the newest on, or from the one after `before`; at most `limit`."""
        ...

    async def mark_read(self, psn_no: str, message_ids: Collection[UUID], now: datetime) -> None:
        """Note that the person read these of theirs; what was read before keeps its time."""
        ...

    async def count_unread(self, psn_no: str, most: int) -> int:
        """How many the person has not read; counting stops at `most`."""
        ...

    async def arrived(self, psn_no: str, since: datetime, but_not: Collection[UUID], limit: int) -> list[Arrival]:
        """A person's messages but these that arrived at `since` or after it (database's time), in order of arrival."""
        ...

    async def database_time(self) -> datetime:
        """The time that arrivals are told by."""
        ...
