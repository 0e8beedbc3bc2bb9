"""What notify keeps: the protocol of the repository, as services and tests know it; a file for each noun."""

from typing import Protocol

from kit.inbox import Inbox
from kit.outbox import Outbox
from notify.repository.contacts import ContactRows
from notify.repository.deliveries import DeliveryRows
from notify.repository.messages import Cursor, MessageRows, NewMessage, StoredMessage
from notify.repository.preferences import PreferenceRows

__all__ = ["Cursor", "NewMessage", "Repository", "StoredMessage"]


class Repository(MessageRows, DeliveryRows, ContactRows, PreferenceRows, Protocol):
    """What one unit of work can do."""

    @property
    def inbox(self) -> Inbox:
        """The events that were taken in."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Facts to be told, in the same transaction."""
        ...
