"""What a month's partition is in SQL: its bounds, how it is made, which ones there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from kit.db import Transaction
from kit.kept import Cut, Kept
from kit.months import Month, month_of, month_of_id

MONTHS_AHEAD: Final = 3

_CREATE: Final = "CREATE TABLE {partition} (LIKE {rest} INCLUDING ALL EXCLUDING IDENTITY);"
_ATTACH: Final = "ALTER TABLE {table} ATTACH PARTITION {partition} FOR VALUES FROM ('{begin}') TO ('{end}');"
# Triggers of statements are each partition's own: those of rows come from the table by themselves.
_GUARD: Final = """
DO $$ DECLARE made text; BEGIN
    FOR made IN SELECT pg_get_triggerdef(oid, true) FROM pg_trigger
                WHERE tgrelid = '{rest}'::regclass AND NOT tgisinternal AND tgparentid = 0 LOOP
        EXECUTE replace(made, ' ON {rest} ', ' ON {partition} ');
    END LOOP;
END $$;
"""
# By the owner of the months, within one transaction: rows of a table that allows no change move to their month, too.
_MOVE: Final = """
LOCK TABLE {rest} IN ACCESS EXCLUSIVE MODE;
ALTER TABLE {rest} DISABLE TRIGGER USER;
INSERT INTO {partition} SELECT * FROM {rest} WHERE {column} >= '{begin}' AND {column} < '{end}';
DELETE FROM {rest} WHERE {column} >= '{begin}' AND {column} < '{end}';
ALTER TABLE {rest} ENABLE TRIGGER USER;
"""
_PARTITIONS: Final = """
SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = $1::regclass AND NOT i.inhdetachpending
ORDER BY c.relname
"""
PATIENCE: Final = "SET LOCAL lock_timeout = '1s'"
"""Who waits for a lock keeps all waiting who come after, and they wait 3 s."""
_UTC: Final = "SET LOCAL TimeZone = 'UTC'"


@dataclass(frozen=True, slots=True)
class Partition:
    """What holds a month, or all that is older than the first."""

    name: str
    until: datetime
    """Everything in it is older."""


@dataclass(frozen=True, slots=True)
class Partitions:
    """Those of one table, without the rest."""

    all: Sequence[Partition]
    """In the order of their times."""

    def hold(self, month: Month) -> bool:
        """Whether what comes about in a month has a place of its own."""
        return any(
            each.until == month.next.begins_at or (_is_before(each) and each.until > month.begins_at)
            for each in self.all
        )

    def ahead(self, at: datetime) -> int:
        """How many months after that of an instant follow each other without a gap."""
        month, months = month_of(at), 0
        while self.hold(month.later(months + 1)):
            months += 1
        return months if self.hold(month) else 0


def _is_before(partition: Partition) -> bool:
    return partition.name.endswith("_before")


def bound_of(month: Month, cut: Cut) -> str:
    """Where a month begins, as it is written in SQL."""
    return month.begins_at.isoformat() if cut is Cut.TIME else str(month.first_id)


def make_sql(kept: Kept, month: Month, *, move: bool = False) -> str:
    """Statements that make a month, with what was put into the rest meanwhile if there may be something."""
    steps = (_CREATE, _GUARD, *((_MOVE,) if move else ()), _ATTACH)
    return "\n".join(steps).format(
        table=kept.table,
        rest=kept.rest,
        column=kept.column,
        partition=month.partition_of(kept.table),
        begin=bound_of(month, kept.cut),
        end=bound_of(month.next, kept.cut),
    )


async def partitions_of(transaction: Transaction, kept: Kept) -> Partitions:
    """What a table has, as the database says it."""
    await transaction.raw.execute(_UTC)
    rows = await transaction.raw.fetch(_PARTITIONS, kept.table)
    bounds = {row["name"]: row["bounds"] for row in rows if row["bounds"] is not None}  # none: dropped meanwhile
    found = [Partition(name, _until(each, kept.cut)) for name, each in bounds.items() if each != "DEFAULT"]
    return Partitions(sorted(found, key=lambda each: each.until))


def _until(bounds: str, cut: Cut) -> datetime:
    """Of `FOR VALUES FROM (…) TO ('…')`."""
    written = bounds.rpartition(" TO ('")[2].removesuffix("')")
    return datetime.fromisoformat(written) if cut is Cut.TIME else month_of_id(UUID(written)).begins_at
