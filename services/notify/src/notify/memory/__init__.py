"""The repository in memory, for unit tests; the contract suite holds it to what PostgreSQL does."""

from kit.inbox import MemoryInbox
from kit.outbox import MemoryOutbox
from notify.memory.contacts import MemoryContacts
from notify.memory.deliveries import MemoryDeliveries
from notify.memory.messages import MemoryMessages

__all__ = ["MemoryRepository"]


class MemoryRepository(MemoryMessages, MemoryDeliveries, MemoryContacts):
    """See `notify.repository.Repository`; takes part in the snapshots of `kit.testing.MemoryWork`."""

    def __init__(self) -> None:
        super().__init__()
        self.inbox = MemoryInbox()
        self.outbox = MemoryOutbox("notify")
