"""Messages as the inbox keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from notify.domain.notices import Worded


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be kept."""

    message_id: UUID
    event_id: UUID
    """ce_id of the event that it tells of."""
    occurred_at: datetime
    notice: Worded


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

    @property
    def cursor(self) -> Cursor:
        """Its place."""
        return Cursor(self.message.occurred_at, self.position)


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
