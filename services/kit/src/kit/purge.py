"""Dropping whole months whose time is over, by policy: beside running services, and never what is still wanted."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kit.backoff import backoff_seconds
from kit.clock import Clock, Elapsed
from kit.db import Database, Transaction
from kit.db_errors import is_contention
from kit.failures import OperatorError
from kit.kept import Kept
from kit.month_sql import PATIENCE, Partition, partitions_of

STATEMENT_TIMEOUT_SECONDS: Final = 600.0
RETRY_SECONDS: Final = 120.0
"""How long a partition is tried again that somebody works on."""

_NOW: Final = "SELECT clock_timestamp()"
# All that is below a partition too: the one before the first month may be cut otherwise. What was never analyzed has no
# estimate, and is counted.
_SIZE: Final = """
SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint AS bytes,
       coalesce(sum(greatest(reltuples, 0)) FILTER (WHERE isleaf), 0)::bigint AS about,
       coalesce(bool_or(reltuples < 0) FILTER (WHERE isleaf), false) AS is_unknown
FROM pg_partition_tree($1::regclass) JOIN pg_class ON oid = relid
"""
_COUNT: Final = "SELECT count(*) FROM {partition}"
_LOCK: Final = "LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE"
_NOTE: Final = """
INSERT INTO purged_month (table_name, partition_name, until, kept_days, about_rows, bytes)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_DROP: Final = "DROP TABLE {partition}"


class InTheWayError(OperatorError):
    """Somebody works on a partition for so long that it cannot be dropped."""


@dataclass(frozen=True, slots=True)
class Old:
    """A partition whose time is over."""

    partition: Partition
    about_rows: int
    bytes: int
    wanted: Sequence[str]
    """What is in it that must not go, such as `3 events that are unsent`; empty if nothing is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of one table."""

    kept: Kept
    days: int | None
    """None: nothing of it is ever dropped."""
    old: Sequence[Old]
    stays: Sequence[Partition]

    @property
    def refused(self) -> Sequence[Old]:
        """What is old and has to stay."""
        return [each for each in self.old if each.wanted]


class Purging:
    """Drops what is older than a service's policy says.

    What is cut by the database's clock grows old in real time, what is cut by business times by the injected clock; a
    clock that tests moved must not make anything older than it is. So a month goes once it is old by both.

    Args:
        database: the service's own, as the role that owns the tables.
        clock: the injected one.
        days: for how many days each table is kept, by its name; one that is not named is never purged.
        retry_seconds: how long somebody may be in the way.
    """

    def __init__(
        self, database: Database, clock: Clock, days: Mapping[str, int], *, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        self._database = database
        self._clock = clock
        self._days = days
        self._retry_seconds = retry_seconds

    async def plan(self, kept: Kept) -> Plan:
        """What would become of a table; changes nothing."""
        days = self._days.get(kept.table)
        async with self._database.transaction(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as transaction:
            there = (await partitions_of(transaction, kept)).all
            if days is None:
                return Plan(kept, None, (), there)
            cut = await self._now(transaction) - timedelta(days=days)
            old = [await _old(transaction, kept, each) for each in there if each.until <= cut]
        return Plan(kept, days, old, [each for each in there if each.until > cut])

    async def drop(self, plan: Plan, old: Old) -> Sequence[str]:
        """Drop a partition of a plan; what is in it now that must not go, in which case nothing is done.

        Raises:
            InTheWayError: its lock could not be had.
        """
        elapsed, failures = Elapsed(), 0
        while True:
            try:
                return await self._drop(plan, old)
            except Exception as error:
                if not is_contention(error):
                    raise
                if elapsed.seconds > self._retry_seconds:
                    raise InTheWayError(
                        f"{old.partition.name} is worked on for longer than {self._retry_seconds:.0f} s: "
                        "see who it is (pg_stat_activity), then purge again."
                    ) from error
            failures += 1
            await asyncio.sleep(backoff_seconds(failures))

    async def _drop(self, plan: Plan, old: Old) -> Sequence[str]:
        name = old.partition.name
        async with self._database.transaction(statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS) as transaction:
            await transaction.raw.execute(PATIENCE)
            # The table first, as whoever reads or writes it does. From here on nobody wants more of what is in it.
            await transaction.raw.execute(_LOCK.format(table=plan.kept.table))
            wanted = await _wanted(transaction, plan.kept, name)
            if not wanted:
                about = (old.partition.until, plan.days, old.about_rows, old.bytes)
                await transaction.raw.execute(_NOTE, plan.kept.table, name, *about)
                await transaction.raw.execute(_DROP.format(partition=name))
        return wanted

    async def _now(self, transaction: Transaction) -> datetime:
        by_database: datetime = await transaction.raw.fetchval(_NOW)
        return min(by_database, self._clock.now())


async def _old(transaction: Transaction, kept: Kept, partition: Partition) -> Old:
    size = await transaction.raw.fetchrow(_SIZE, partition.name)
    rows, size_bytes = (size["about"], size["bytes"]) if size else (0, 0)
    if size and size["is_unknown"]:
        rows = await transaction.raw.fetchval(_COUNT.format(partition=partition.name))
    return Old(partition, rows, size_bytes, await _wanted(transaction, kept, partition.name))


async def _wanted(transaction: Transaction, kept: Kept, partition: str) -> Sequence[str]:
    counts = [
        (await transaction.raw.fetchval(hindrance.sql.format(partition=partition)), hindrance.what)
        for hindrance in kept.hindrances
    ]
    return [f"{rows} {what}" for rows, what in counts if rows]
