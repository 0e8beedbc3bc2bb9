"""Counted attempts are dropped when they have long ceased to count; the access log keeps who tried."""

from datetime import timedelta
from typing import Final

from kit.db import Database

KEEP: Final = timedelta(days=1)
"""Far longer than the hour in which an attempt counts; the table refuses to drop a younger one."""

# By the database's time, as all ages: a clock that was moved drops nothing that will count again.
_FORGET: Final = """
DELETE FROM attempt WHERE id = ANY (ARRAY(
    SELECT id FROM attempt WHERE created_at < clock_timestamp() - $1::interval
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
))
"""


class CountedAttempts:
    """The table of attempts, for the scheduler."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def forget(self, limit: int, keep: timedelta = KEEP) -> int:
        """Remove at most `limit` that were counted longer ago than `keep`; how many there were."""
        async with self._database.transaction() as transaction:
            status: str = await transaction.raw.execute(_FORGET, keep, limit)
        return int(status.removeprefix("DELETE "))
