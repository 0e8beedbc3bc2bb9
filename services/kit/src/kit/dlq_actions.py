"""What operators did with dead letters: who, when, what, why. Rows are added, never changed.

A letter has ended once it was replayed, failed again (then it lies anew at the DLQ's end) or was dropped. Whoever drops
a letter drops its event for that consumer: the inbox takes it in without an effect, so that neither another letter of
the same event nor a topic that is read again brings it back.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol, cast

from kit.clock import SystemClock
from kit.db import Database, Transaction
from kit.dlq_letters import Letter
from kit.inbox import Inbox, PostgresInbox

SCHEMA: Final = """
-- What operators did with dead letters; rows are only added. A letter is known by its place in the DLQ and by when it
-- was written there, because a DLQ that was made anew begins at offset zero again.
CREATE TABLE dead_letter_action (
    action_id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dlq           text        NOT NULL,
    partition     integer     NOT NULL,
    letter_offset bigint      NOT NULL,
    written_at    timestamptz NOT NULL,
    consumer      text        NOT NULL,
    event_id      uuid,
    event_type    text        NOT NULL,
    action        text        NOT NULL CHECK (action IN ('REPLAY_BEGUN', 'REPLAYED', 'FAILED_AGAIN', 'DROPPED')),
    operator      text        NOT NULL CHECK (operator <> ''),
    reason        text        NOT NULL CHECK (action <> 'DROPPED' OR reason <> ''),
    acted_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN dead_letter_action.event_id IS 'null where the event has none that could be read';
-- A letter ends once.
CREATE UNIQUE INDEX dead_letter_end ON dead_letter_action (dlq, partition, letter_offset, written_at)
    WHERE action <> 'REPLAY_BEGUN';
CREATE INDEX dead_letter_dropped ON dead_letter_action (consumer, event_id) WHERE action = 'DROPPED';
CREATE FUNCTION keep_dead_letter_action() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'dead_letter_action is append-only' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER dead_letter_action_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON dead_letter_action
    FOR EACH STATEMENT EXECUTE FUNCTION keep_dead_letter_action();
"""
"""For a migration of a service that consumes; frozen. A later change is a new constant and a new migration."""

_ADD = """
INSERT INTO dead_letter_action
    (dlq, partition, letter_offset, written_at, consumer, event_id, event_type, action, operator, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT DO NOTHING
RETURNING true
"""
# Of a letter that ended itself and one whose event was dropped with another letter, the former says more.
_ENDS = """
SELECT l.place, a.action, a.operator, a.reason, a.acted_at
FROM unnest($1::text[], $2::int[], $3::bigint[], $4::timestamptz[], $5::text[], $6::uuid[]) WITH ORDINALITY
     AS l (dlq, partition, letter_offset, written_at, consumer, event_id, place)
CROSS JOIN LATERAL (
    SELECT 1 AS rank, a.* FROM dead_letter_action AS a
    WHERE (a.dlq, a.partition, a.letter_offset, a.written_at) = (l.dlq, l.partition, l.letter_offset, l.written_at)
      AND a.action <> 'REPLAY_BEGUN'
    UNION ALL
    SELECT 2, a.* FROM dead_letter_action AS a
    WHERE (a.consumer, a.event_id) = (l.consumer, l.event_id) AND a.action = 'DROPPED'
    ORDER BY rank, action_id LIMIT 1
) AS a
"""


class Action(StrEnum):
    """What was done with a letter."""

    REPLAY_BEGUN = "REPLAY_BEGUN"
    """Written before the event is handled, so that who did it is known even if the command dies."""
    REPLAYED = "REPLAYED"
    FAILED_AGAIN = "FAILED_AGAIN"
    DROPPED = "DROPPED"


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that somebody did with a letter."""

    action: Action
    operator: str
    reason: str = ""
    """Why; of what was dropped."""


@dataclass(frozen=True, slots=True)
class End:
    """How a letter ended."""

    deed: Deed
    at: datetime


class Actions(Protocol):
    """What was done, in one transaction."""

    @property
    def inbox(self) -> Inbox:
        """What the consumers have taken in."""
        ...

    async def ends(self, letters: Sequence[Letter]) -> list[End | None]:
        """How each of these letters ended; None for those that are open."""
        ...

    async def add(self, letter: Letter, deed: Deed) -> bool:
        """Write it down; False, and nothing is written, if it would end a letter that has ended already."""
        ...


class ActionsWork(Protocol):
    """Units of work: leaving without an exception commits."""

    def __call__(self) -> Any:
        """An asynchronous context manager that gives `Actions`."""
        ...


class PostgresActions:
    """The table `dead_letter_action` of one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._raw = transaction.raw
        self.inbox: Inbox = PostgresInbox(transaction)

    async def ends(self, letters: Sequence[Letter]) -> list[End | None]:
        """See `Actions.ends`."""
        columns = list(zip(*map(_identity, letters), strict=True)) or [()] * 6
        rows = await self._raw.fetch(_ENDS, *columns)
        found = {
            row["place"]: End(Deed(Action(row["action"]), row["operator"], row["reason"]), row["acted_at"])
            for row in rows
        }
        return [found.get(place) for place in range(1, len(letters) + 1)]

    async def add(self, letter: Letter, deed: Deed) -> bool:
        """See `Actions.add`."""
        told = (letter.event_type, str(deed.action), deed.operator, deed.reason)
        return bool(await self._raw.fetchval(_ADD, *_identity(letter), *told))


def _identity(letter: Letter) -> tuple[Any, ...]:
    place = letter.place
    return letter.dlq, place.partition, place.offset, letter.written_at, letter.consumer, letter.event_id


def actions_of(database: Database) -> ActionsWork:
    """Units of work on a service's database."""

    @asynccontextmanager
    async def work() -> AsyncIterator[Actions]:
        async with database.transaction() as transaction:
            yield PostgresActions(transaction)

    return work


class MemoryActions:
    """Actions in a list; for unit tests, takes part in the snapshots of `kit.testing.MemoryWork`."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.rows: list[tuple[Letter, Deed, datetime]] = []

    async def ends(self, letters: Sequence[Letter]) -> list[End | None]:
        """See `Actions.ends`."""
        return [self._end(letter) for letter in letters]

    def _end(self, letter: Letter) -> End | None:
        ended = [row for row in self.rows if row[1].action is not Action.REPLAY_BEGUN]
        itself = [row for row in ended if _identity(row[0]) == _identity(letter)]
        event = (letter.consumer, letter.event_id)
        dropped = [
            row
            for row in ended
            if row[1].action is Action.DROPPED
            and letter.event_id is not None
            and (row[0].consumer, row[0].event_id) == event
        ]
        return next((End(deed, at) for _, deed, at in itself + dropped), None)

    async def add(self, letter: Letter, deed: Deed) -> bool:
        """See `Actions.add`."""
        ended = {_identity(other) for other, done, _ in self.rows if done.action is not Action.REPLAY_BEGUN}
        if deed.action is not Action.REPLAY_BEGUN and _identity(letter) in ended:
            return False
        self.rows.append((letter, deed, SystemClock().now()))
        return True

    def snapshot(self) -> object:
        """What `restore` goes back to."""
        return list(self.rows)

    def restore(self, snapshot: object) -> None:
        """Forget what was done since."""
        self.rows[:] = cast("list[tuple[Letter, Deed, datetime]]", snapshot)
