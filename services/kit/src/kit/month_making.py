"""Months are made ahead by the services themselves, and told on `/metrics`: how many are, and what found no month.

A row finds a place in any case. One that has no month goes into the rest, and moves into its month once that is made.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from kit.clock import Clock
from kit.db import Database, Transaction
from kit.kept import Kept
from kit.metrics import EVERY, Label
from kit.month_sql import MONTHS_AHEAD, PATIENCE, make_sql, partitions_of
from kit.months import Month, month_of
from kit.scheduler import Job

EVERY_SECONDS: Final = 3600.0

_TABLE: Final = Label("table", "a table that is cut into months", most=16)
AHEAD: Final = EVERY.gauge(
    "gongji_months_ahead",
    "Months that a table is ready for, one after the other, after the one under way.",
    unit="months",
    labels=(_TABLE,),
)
REST: Final = EVERY.gauge(
    "gongji_months_rest",
    "1 if rows are where those go that have no month of their own; 0 if none are.",
    unit="",
    labels=(_TABLE,),
)

_NOW: Final = "SELECT clock_timestamp()"
_LOCK: Final = "LOCK TABLE ONLY {table} IN SHARE UPDATE EXCLUSIVE MODE"
_IN_REST: Final = "SELECT EXISTS (SELECT FROM {rest})"


class MonthMaking:
    """Makes the months that are to come, of all tables of a service.

    What is cut by the database's clock, or by ids that processes make, follows real time; what is cut by business times
    follows the injected clock. So months are made for what both of them say.
    """

    def __init__(self, database: Database, clock: Clock, kept: Sequence[Kept]) -> None:
        self._database = database
        self._clock = clock
        self._kept = tuple(kept)

    def job(self) -> Job:
        """The job of the scheduler."""
        return Job("make-months", EVERY_SECONDS, self.batch)

    async def batch(self) -> int:
        """Make one month that is missing; how many were made."""
        async with self._database.transaction() as transaction:
            for kept in self._kept:
                missing = await self._missing(transaction, kept)
                if missing:
                    await make(transaction, kept, missing[0])
                    return 1
        return 0

    async def __call__(self) -> None:
        """Tell how many there are; a probe of `kit.sampling`."""
        async with self._database.transaction() as transaction:
            moments = await self._moments(transaction)
            for kept in self._kept:
                there = await partitions_of(transaction, kept)
                AHEAD.labels(kept.table).set(min(there.ahead(at) for at in moments))
                in_rest = await transaction.raw.fetchval(_IN_REST.format(rest=kept.rest))
                REST.labels(kept.table).set(in_rest)

    async def _missing(self, transaction: Transaction, kept: Kept) -> list[Month]:
        there = await partitions_of(transaction, kept)
        first = {month_of(at) for at in await self._moments(transaction)}
        due = {month.later(ahead) for month in first for ahead in range(MONTHS_AHEAD + 1)}
        return sorted(month for month in due if not there.hold(month))

    async def _moments(self, transaction: Transaction) -> tuple[datetime, datetime]:
        return await transaction.raw.fetchval(_NOW), self._clock.now()


async def make(transaction: Transaction, kept: Kept, month: Month) -> None:
    """Make a month, with what had to go into the rest meanwhile."""
    await transaction.raw.execute(PATIENCE)
    # The table before its partitions, as everybody else: or making and purging would wait for each other.
    await transaction.raw.execute(_LOCK.format(table=kept.table))
    await transaction.raw.execute(make_sql(kept, month, move=True))
