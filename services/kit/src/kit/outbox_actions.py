"""What operators do with an outbox after a restore from backup: begin an epoch, publish a stretch of time again.

Each is written down before it begins, with who did it and why.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from kit.db import Transaction
from kit.failures import OperatorError
from kit.outbox import RUN_EVENTS, raise_epoch

SCHEMA = """
-- What operators did after a restore from backup.
CREATE TABLE outbox_action (
    action_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    action    text        NOT NULL CHECK (action IN ('EPOCH_RAISED', 'REPUBLISH_BEGUN', 'REPUBLISHED')),
    operator  text        NOT NULL CHECK (operator <> ''),
    reason    text        NOT NULL CHECK (action <> 'EPOCH_RAISED' OR reason <> ''),
    epoch     integer     NOT NULL,
    since     timestamptz CHECK ((since IS NULL) = (action = 'EPOCH_RAISED')),
    until     timestamptz CHECK (until > since),
    topic     text,
    events    bigint      CHECK ((events IS NULL) = (action <> 'REPUBLISHED')),
    acted_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN outbox_action.topic IS 'null: all topics';
CREATE FUNCTION keep_outbox_action() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'outbox_action is append-only' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER outbox_action_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON outbox_action
    FOR EACH STATEMENT EXECUTE FUNCTION keep_outbox_action();
"""
"""For a migration of a service that publishes; frozen. A later change is a new constant and a new migration."""

BATCH_EVENTS: Final = 5_000
SLACK: Final = timedelta(minutes=10)
"""Ids ascend with the time at which they were written, but for what transactions side by side took: none is as long."""

_ADD = """
INSERT INTO outbox_action (action, operator, reason, epoch, since, until, topic, events)
VALUES ($1, $2, $3, (SELECT epoch FROM outbox_epoch), $4, $5, $6, $7)
"""
_NOW = "SELECT clock_timestamp()"
_EXTENT = "SELECT min(id) AS lowest, max(id) AS highest FROM outbox_event"
_NEXT = "SELECT id, created_at FROM outbox_event WHERE id >= $1 ORDER BY id LIMIT 1"
# What waits to be sent anyway is left alone: a second run over it would send it twice.
_BATCH = """
SELECT e.id, e.created_at,
       e.created_at >= $2 AND e.created_at < $3 AND ($4::text IS NULL OR e.topic = $4) AND NOT coalesce(
           (SELECT e.id < r.id + r.events FROM outbox_run AS r WHERE r.id <= e.id ORDER BY r.id DESC LIMIT 1), false)
       AS wanted
FROM outbox_event AS e WHERE e.id >= $1 ORDER BY e.id LIMIT $5
"""
_MARK = """
WITH unsent AS (
    INSERT INTO outbox_run (id, events) SELECT * FROM unnest($1::bigint[], $2::int[]) ON CONFLICT DO NOTHING
)
SELECT pg_notify('outbox', '')
"""
_PURGED_UNTIL = "SELECT max(until) FROM purged_month WHERE table_name = 'outbox_event'"
_WAITING = "SELECT coalesce(sum(events), 0)::bigint FROM outbox_run WHERE id <= $1"


class Run(NamedTuple):
    """Events whose ids are in a row."""

    id: int
    events: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is to be published again."""

    since: datetime
    until: datetime
    """By the clock of the service's database, when the events were written."""
    topic: str | None = None
    """None: all."""

    def __post_init__(self) -> None:
        if self.until <= self.since:
            raise EmptyStretchError(f"--until {self.until.isoformat()} is not after --since {self.since.isoformat()}")


class EmptyStretchError(OperatorError):
    """There is no time between the beginning and the end."""


class Marked(NamedTuple):
    """What came of one batch."""

    events: int
    """That are to be sent again."""
    last_id: int
    reached: datetime
    """When the last event that was looked at was written."""
    next_id: int | None
    """Where the next batch begins; None when there is none."""


def runs_of(ids: Sequence[int]) -> Iterator[Run]:
    """The ids, ascending, as runs; none longer than the relay knows."""
    first = events = 0
    for each in ids:
        if events and each == first + events and events < RUN_EVENTS:
            events += 1
            continue
        if events:
            yield Run(first, events)
        first, events = each, 1
    if events:
        yield Run(first, events)


async def begin_epoch(transaction: Transaction, operator: str, reason: str) -> int:
    """Raise the epoch and write down who did and why; the new one."""
    epoch = await raise_epoch(transaction)
    await transaction.raw.execute(_ADD, "EPOCH_RAISED", operator, reason, None, None, None, None)
    return epoch


async def note(transaction: Transaction, stretch: Stretch, operator: str, events: int | None) -> None:
    """Write down that a stretch is published again, or, with a number of events, that it was."""
    action = "REPUBLISH_BEGUN" if events is None else "REPUBLISHED"
    of = (stretch.since, stretch.until, stretch.topic)
    await transaction.raw.execute(_ADD, action, operator, "", *of, events)


async def now(transaction: Transaction) -> datetime:
    """The time by the database's clock, which is the one that events are written by."""
    found: datetime = await transaction.raw.fetchval(_NOW)
    return found


async def first_id(transaction: Transaction, since: datetime) -> int | None:
    """An id before which everything was written earlier; None if there is nothing from then on.

    By halves over the ids, because there is no index by time: each look is one row by the key.
    """
    extent = await transaction.raw.fetchrow(_EXTENT)
    if extent is None or extent["lowest"] is None:
        return None
    early, highest = since - SLACK, int(extent["highest"])
    low, high = int(extent["lowest"]), highest + 1
    while low < high:
        middle = (low + high) // 2
        row = await transaction.raw.fetchrow(_NEXT, middle)
        if row is None or row["created_at"] >= early:
            high = middle
        else:
            low = int(row["id"]) + 1
    return low if low <= highest else None


async def purged_until(transaction: Transaction) -> datetime | None:
    """Before which time events were purged; None if none ever were."""
    found: datetime | None = await transaction.raw.fetchval(_PURGED_UNTIL)
    return found


async def mark(transaction: Transaction, stretch: Stretch, from_id: int) -> Marked | None:
    """Let the relay send the next batch again; None if there are no more events at all."""
    of = (stretch.since, stretch.until, stretch.topic)
    rows = await transaction.raw.fetch(_BATCH, from_id, *of, BATCH_EVENTS)
    if not rows:
        return None
    ids = [row["id"] for row in rows if row["wanted"]]
    runs = list(runs_of(ids))
    await transaction.raw.execute(_MARK, [run.id for run in runs], [run.events for run in runs])
    last_id, reached = rows[-1]["id"], rows[-1]["created_at"]
    over = len(rows) < BATCH_EVENTS or min(row["created_at"] for row in rows) >= stretch.until + SLACK
    return Marked(len(ids), last_id, reached, None if over else last_id + 1)


async def waiting(transaction: Transaction, last_id: int) -> int:
    """How many events up to this id are still to be sent."""
    found: int = await transaction.raw.fetchval(_WAITING, last_id)
    return found
