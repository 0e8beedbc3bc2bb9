"""The repository on PostgreSQL: its parts share one transaction."""

from binding.repository.applications import RelationRows
from binding.repository.counters import GuardBroken
from binding.repository.due import DueRows
from binding.repository.ends import EndingRows
from binding.repository.history import HistoryRows
from binding.repository.persons import PersonRows
from binding.repository.reviews import ReviewRows
from kit.db import Transaction
from kit.inbox import PostgresInbox
from kit.outbox import PostgresOutbox

__all__ = ["GuardBroken", "PostgresRepository"]

SERVICE = "binding"


class PostgresRepository(ReviewRows, RelationRows, PersonRows, EndingRows, HistoryRows, DueRows):
    """See `binding.repository.Repository`."""

    def __init__(self, transaction: Transaction) -> None:
        ReviewRows.__init__(self, transaction)
        RelationRows.__init__(self, transaction)
        PersonRows.__init__(self, transaction)
        EndingRows.__init__(self, transaction)
        HistoryRows.__init__(self, transaction)
        DueRows.__init__(self, transaction)
        self.outbox = PostgresOutbox(transaction, SERVICE)
        self.inbox = PostgresInbox(transaction)
