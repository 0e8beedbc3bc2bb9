"""The outbox: an event is a row of the transaction that made the fact, so neither is without the other.

Call `add` after the aggregate's row is locked: ids then ascend in the order in which the facts of one key came about.
The relay (`kit.relay`) publishes what is unsent.
"""

from collections.abc import Sequence
from typing import Protocol, cast

from kit import tracing
from kit.db import Transaction
from kit.events import Event, StoredEvent, payload_of, sequence_of
from kit.ids import uuid7
from kit.topics import Catalogue, catalogue, message_class

CHANNEL = "outbox"
"""The NOTIFY channel that wakes the relay."""

SCHEMA = """
CREATE SEQUENCE outbox_event_id;

-- Kept as the record of what was told; old partitions are detached by policy. Ranges of ids, so that the primary key
-- is the id alone; the default partition takes what is beyond the last range.
CREATE TABLE outbox_event (
    id          bigint      NOT NULL DEFAULT nextval('outbox_event_id') PRIMARY KEY,
    event_id    uuid        NOT NULL,
    topic       text        NOT NULL,
    key         text        NOT NULL,
    type        text        NOT NULL,
    source      text        NOT NULL,
    subject     text        NOT NULL,
    payload     bytea       NOT NULL CHECK (length(payload) <= 262144),
    occurred_at timestamptz NOT NULL,
    sequence    bigint,
    traceparent text,
    epoch       integer     NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
) PARTITION BY RANGE (id);
ALTER SEQUENCE outbox_event_id OWNED BY outbox_event.id;
CREATE TABLE outbox_event_1 PARTITION OF outbox_event FOR VALUES FROM (MINVALUE) TO (10000000);
CREATE TABLE outbox_event_rest PARTITION OF outbox_event DEFAULT;

-- Small and busy: rows come and go, so it is cleaned after a thousand of them, not after a share of its size.
CREATE TABLE outbox_unsent (
    id bigint PRIMARY KEY
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Who may publish, until when by the clock of this database.
CREATE TABLE outbox_lease (
    singleton  boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    holder     text        NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Raised after a restore from backup, so that consumers can tell the two histories apart.
CREATE TABLE outbox_epoch (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch     integer NOT NULL CHECK (epoch >= 1)
);
INSERT INTO outbox_epoch (epoch) VALUES (1);
"""
"""For a service's first migration; frozen. A later change is a new constant and a new migration."""

RUNS = """
-- What the version before is still writing is waited for, and then seen: without the lock it would be unsent for ever.
LOCK TABLE outbox_unsent IN ACCESS EXCLUSIVE MODE;

-- What is unsent, in runs of ids: all events that one call states have ids in a row, and one short row tells of them.
-- Small and busy: rows come and go, so it is cleaned after a thousand of them, not after a share of its size.
CREATE TABLE outbox_run (
    id     bigint  PRIMARY KEY,
    events integer NOT NULL CHECK (events BETWEEN 1 AND 1024)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON COLUMN outbox_run.id IS 'of the first event of the run';
INSERT INTO outbox_run (id, events) SELECT id, 1 FROM outbox_unsent;
DROP TABLE outbox_unsent;

-- The ids one by one; for people, audits and tests.
CREATE VIEW outbox_unsent AS
SELECT r.id + place AS id FROM outbox_run AS r CROSS JOIN LATERAL generate_series(0, r.events - 1) AS place;

-- Ids grow a thousand times faster from here on, so ranges are as much wider. A database whose ids are in the default
-- partition already goes on there.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM outbox_event_rest) THEN
        CREATE TABLE outbox_event_2 PARTITION OF outbox_event FOR VALUES FROM (10000000) TO (10240000000);
    END IF;
END $$;

-- Drawn once for a run, whose ids go on from there.
ALTER SEQUENCE outbox_event_id INCREMENT BY 1024;
"""
"""For a migration of a service after `SCHEMA`; frozen. No process of the version before may write while it runs."""
RUN_EVENTS = 1024

_ADD = """
WITH run AS (
    SELECT nextval('outbox_event_id') AS id, (SELECT epoch FROM outbox_epoch) AS epoch
), written AS (
    INSERT INTO outbox_event
        (id, event_id, topic, key, type, source, subject, payload, occurred_at, sequence, traceparent, epoch)
    SELECT run.id + e.place - 1, e.event_id, e.topic, e.key, e.type, $9, e.subject, e.payload, e.occurred_at,
           e.sequence, $10::text, run.epoch
    FROM run, unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::timestamptz[],
                     $8::bigint[])
              WITH ORDINALITY AS e (event_id, topic, key, type, subject, payload, occurred_at, sequence, place)
), unsent AS (
    INSERT INTO outbox_run (id, events) SELECT id, cardinality($1::uuid[]) FROM run
)
SELECT pg_notify('outbox', '')
"""

# The same for a batch whose events belong to several traces.
_ADD_TRACED = _ADD.replace("$10::text", "($10::text[])[e.place]")

# Many at once go by COPY, which costs the server half: the first id is drawn before.
COPY_FROM_EVENTS = 200
_DRAW = "SELECT nextval('outbox_event_id') AS id, (SELECT epoch FROM outbox_epoch) AS epoch"
_EVENT_COLUMNS = (
    *("id", "event_id", "topic", "key", "type", "source", "subject", "payload", "occurred_at", "sequence"),
    *("traceparent", "epoch"),
)
_UNSENT = """
WITH unsent AS (INSERT INTO outbox_run (id, events) VALUES ($1, $2))
SELECT pg_notify('outbox', '')
"""

_RAISE_EPOCH = "UPDATE outbox_epoch SET epoch = epoch + 1 RETURNING epoch"


class Outbox(Protocol):
    """Where a service states facts to be told."""

    async def add(self, events: Sequence[Event]) -> None:
        """State these facts, in this order, in the transaction under way.

        Raises:
            kit.topics.CatalogueError: no topic lists the message.
            kit.events.EventTooLargeError: an event is too large to be published.
        """
        ...


def source_of(service: str) -> str:
    """The `ce_source` of a service."""
    return f"/gongji/{service}"


class _Draft:
    """What both outboxes make of an event, so that the fake refuses what the real one refuses."""

    __slots__ = ("event", "event_id", "payload", "sequence", "topic", "type")

    def __init__(self, event: Event, topics: Catalogue) -> None:
        self.event = event
        self.event_id = uuid7()
        self.type = event.message.DESCRIPTOR.full_name
        self.topic = topics.topic_of(self.type).name
        self.payload = payload_of(event.message)
        self.sequence = sequence_of(event.message)
        if event.occurred_at.tzinfo is None:
            raise NaiveTimeError(f"{self.type} occurred at a time without a zone; use the injected clock")


class NaiveTimeError(Exception):
    """An event carries a time without a zone; a fault in the code."""


class PostgresOutbox:
    """The outbox of one transaction: all events of a call in one statement, with ids in a row."""

    def __init__(self, transaction: Transaction, service: str, topics: Catalogue | None = None) -> None:
        self._raw = transaction.raw
        self._source = source_of(service)
        self._topics = topics or catalogue()

    async def add(self, events: Sequence[Event]) -> None:
        """See `Outbox.add`."""
        drafts = [_Draft(event, self._topics) for event in events]
        for first in range(0, len(drafts), RUN_EVENTS):
            await self._add_run(drafts[first : first + RUN_EVENTS])

    async def _add_run(self, drafts: Sequence[_Draft]) -> None:
        if len(drafts) >= COPY_FROM_EVENTS:
            await self._copy(drafts)
        elif tracing.in_batch():
            await self._raw.execute(
                _ADD_TRACED, *_columns(drafts), self._source, [_trace_of(draft) for draft in drafts]
            )
        else:
            await self._raw.execute(_ADD, *_columns(drafts), self._source, tracing.current())

    async def _copy(self, drafts: Sequence[_Draft]) -> None:
        (run,) = await self._raw.fetch(_DRAW)
        rows = [
            (run["id"] + place, *self._stored_columns(draft), _trace_of(draft), run["epoch"])
            for place, draft in enumerate(drafts)
        ]
        await self._raw.copy_records_to_table("outbox_event", columns=_EVENT_COLUMNS, records=rows)
        await self._raw.execute(_UNSENT, run["id"], len(rows))

    def _stored_columns(self, draft: _Draft) -> tuple[object, ...]:
        event = draft.event
        return (
            *(draft.event_id, draft.topic, event.key, draft.type, self._source, event.subject),
            *(draft.payload, event.occurred_at, draft.sequence),
        )


def _trace_of(draft: _Draft) -> str | None:
    return tracing.of_cause(draft.event.cause or draft.event.key)


def _columns(drafts: Sequence[_Draft]) -> tuple[list[object], ...]:
    return (
        [draft.event_id for draft in drafts],
        [draft.topic for draft in drafts],
        [draft.event.key for draft in drafts],
        [draft.type for draft in drafts],
        [draft.event.subject for draft in drafts],
        [draft.payload for draft in drafts],
        [draft.event.occurred_at for draft in drafts],
        [draft.sequence for draft in drafts],
    )


class MemoryOutbox:
    """An outbox for unit tests; takes part in the snapshots of `kit.testing.MemoryWork`."""

    def __init__(self, service: str = "test", topics: Catalogue | None = None) -> None:
        self.rows: list[StoredEvent] = []
        self._source = source_of(service)
        self._topics = topics or catalogue()
        self._next_id = 1

    @property
    def messages(self) -> list[object]:
        """The messages that were added, in order."""
        return [message_class(row.type).FromString(row.payload) for row in self.rows]

    async def add(self, events: Sequence[Event]) -> None:
        """See `Outbox.add`."""
        drafts = [_Draft(event, self._topics) for event in events]
        self.rows.extend(self._stored(draft) for draft in drafts)

    def _stored(self, draft: _Draft) -> StoredEvent:
        row_id, self._next_id = self._next_id, self._next_id + 1
        return StoredEvent(
            id=row_id,
            event_id=draft.event_id,
            topic=draft.topic,
            key=draft.event.key,
            type=draft.type,
            source=self._source,
            subject=draft.event.subject,
            payload=draft.payload,
            occurred_at=draft.event.occurred_at,
            sequence=draft.sequence,
            traceparent=_trace_of(draft),
            epoch=1,
        )

    def snapshot(self) -> object:
        """What `restore` goes back to."""
        return list(self.rows)

    def restore(self, snapshot: object) -> None:
        """Forget what was added since; ids stay spent, as a sequence's do."""
        self.rows[:] = cast("list[StoredEvent]", snapshot)


async def raise_epoch(transaction: Transaction) -> int:
    """Begin a new epoch, after a restore from backup; the new number."""
    return cast("int", await transaction.raw.fetchval(_RAISE_EPOCH))
