"""The repository on PostgreSQL: rows to domain and back; a file for each noun."""

from kit.crypto import KeyRing
from kit.db import Transaction
from kit.inbox import Inbox, PostgresInbox
from kit.outbox import Outbox, PostgresOutbox
from notify.postgres.contacts import PostgresContacts
from notify.postgres.deliveries import PostgresDeliveries
from notify.postgres.messages import PostgresMessages
from notify.postgres.preferences import PostgresPreferences

__all__ = ["PostgresRepository"]


class PostgresRepository(PostgresMessages, PostgresDeliveries, PostgresContacts, PostgresPreferences):
    """See `notify.repository.Repository`; lives as long as its transaction."""

    def __init__(self, transaction: Transaction, keyring: KeyRing) -> None:
        super().__init__(transaction, keyring)
        self.inbox: Inbox = PostgresInbox(transaction)
        self.outbox: Outbox = PostgresOutbox(transaction, "notify")
