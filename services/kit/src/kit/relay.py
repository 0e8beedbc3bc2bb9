"""The relay: publishes what the outbox holds, in order, one relay at a time.

A round takes the lowest unsent ids, packs them into one record batch per partition, sends all batches at once and waits
for all of them. Kafka takes a record batch whole or not at all, so within a key no event can be confirmed while an
earlier one of the same round failed; and no round begins before the one before is confirmed and cleared. After any
failure the producer is dropped and the next round begins again at the lowest unsent id: an event may be published twice
(with the same `ce_id`), never lost, never ahead of its predecessor.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

import asyncpg

from kit import tracing_bus
from kit.backoff import backoff_seconds
from kit.bus_metrics import DELAY, RELAY_ACTIVE, RELAY_FAILURES, UNSENT, UNSENT_AGE
from kit.clock import Elapsed
from kit.db import Database, Transaction
from kit.db_login import connect
from kit.events import StoredEvent
from kit.failpoints import Boundary, Failpoints
from kit.ids import age_seconds
from kit.kafka_client import KafkaSettings
from kit.kafka_refusals import refusal
from kit.kafka_rights import Operation
from kit.metrics import error_name
from kit.observability import get_logger
from kit.outbox import CHANNEL
from kit.relay_publisher import Publisher, PublishError

ROUND_EVENTS = 1000
ROUND_EVERY_SECONDS = 0.05
"""Rounds begin no more often while each takes all there is: a round costs a transaction here, a request to Kafka and a
transaction at each consumer, however few its events are. One that comes after a pause goes out at once."""
LEASE_SECONDS = 10.0
POLL_SECONDS = 1.0
SAMPLE_SECONDS = 5.0
LISTEN_TIMEOUT_SECONDS = 5.0

_CLEAR = "DELETE FROM outbox_run WHERE id = ANY($1::bigint[]) RETURNING id"
# Another relay may have come to the same meanwhile.
_LEAVE_UNSENT = (
    "INSERT INTO outbox_run (id, events) SELECT id, 1 FROM unnest($1::bigint[]) AS id ON CONFLICT DO NOTHING"
)
# Ages by the database's clock: it is the one clock that all relays share.
_LEASE = """
INSERT INTO outbox_lease AS lease (holder, expires_at)
VALUES ($1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (singleton) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
WHERE lease.holder = excluded.holder OR lease.expires_at < clock_timestamp()
RETURNING true
"""
_RELEASE = "DELETE FROM outbox_lease WHERE holder = $1"
# The lowest runs, as many as hold so many events; one at least, whole. Also what is published again has the epoch in
# which it came about: a consumer that goes by epoch and sequence must not take it for newer than what followed it.
_TAKE = """
SELECT r.id AS run, r.events, e.id, e.event_id, e.topic, e.key, e.type, e.source, e.subject, e.payload, e.occurred_at,
       e.sequence, e.traceparent, e.epoch
FROM (SELECT id, events, sum(events) OVER (ORDER BY id) - events AS before
      FROM (SELECT id, events FROM outbox_run ORDER BY id LIMIT $1) AS lowest) AS r
LEFT JOIN LATERAL (SELECT * FROM outbox_event AS e WHERE e.id >= r.id AND e.id < r.id + r.events) AS e ON true
WHERE r.before < $1
ORDER BY r.id, e.id
"""
# The age of the oldest that is there: where the partition of older ones was detached, it still grows. Run by run, each
# by the key, so that what was sent is never read.
_SAMPLE = """
SELECT (SELECT coalesce(sum(events), 0) FROM outbox_run) AS unsent,
       coalesce(extract(epoch FROM clock_timestamp() - (
           SELECT e.created_at
           FROM (SELECT id, events FROM outbox_run ORDER BY id) AS r
           CROSS JOIN LATERAL (SELECT created_at FROM outbox_event AS e WHERE e.id >= r.id AND e.id < r.id + r.events
                               ORDER BY e.id LIMIT 1) AS e
           LIMIT 1)), 0)::float8 AS age_seconds
"""


class MissingEventsError(Exception):
    """What is unsent is not there, as after its partition was detached: passing over it would lose it."""


class Publishing(Protocol):
    """What the relay needs of a publisher."""

    async def publish(self, rows: Sequence[StoredEvent]) -> list[int]:
        """Publish one round; the ids that Kafka confirmed. Raises PublishError with those that it did."""
        ...

    async def close(self) -> None:
        """Give up the connection; the next round makes a new one."""
        ...


class Relay:
    """Publishes one service's outbox. Every replica runs one; the holder of the lease works, the others stand by.

    Args:
        database: the service's database.
        dsn: the same, for the connection that listens for NOTIFY.
        kafka: where to publish.
        holder: who this is, unique among the replicas.
        publisher: replaces the one that speaks to Kafka; for tests.
        failpoints: where tests let this process die.
    """

    def __init__(
        self,
        database: Database,
        dsn: str,
        kafka: KafkaSettings,
        holder: str,
        *,
        publisher: Publishing | None = None,
        failpoints: Failpoints | None = None,
        lease_seconds: float = LEASE_SECONDS,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._database = database
        self._dsn = dsn
        self._holder = holder
        self._kafka = kafka
        self._publisher = publisher or Publisher(kafka, client_id=f"relay-{holder}")
        self._failpoints = failpoints or Failpoints()
        self._lease_seconds = lease_seconds
        self._poll_seconds = poll_seconds
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._runs: dict[int, list[int]] = {}
        self._confirmed: list[int] = []
        self._began: Elapsed | None = None
        self._behind = False
        self._failures = 0
        self._sampled: Elapsed | None = None
        self._log = get_logger().bind(relay=holder)

    async def run(self) -> None:
        """Publish until `stop` or cancellation; no failure of database or Kafka ends it."""
        listener = asyncio.create_task(self._listen())
        try:
            while await self._may_begin():
                await self._guarded_round()
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
            await self._leave()

    async def stop(self) -> None:
        """Let `run` end after the round under way."""
        self._stopping.set()
        self._wake.set()

    async def _may_begin(self) -> bool:
        """Wait until the next round may begin; False if it was told to stop."""
        if self._began is not None and not self._behind:
            await _wait(self._stopping, ROUND_EVERY_SECONDS - self._began.seconds)
        self._began = Elapsed()
        return not self._stopping.is_set()

    async def _guarded_round(self) -> None:
        try:
            await self._round()
        except Exception as error:  # noqa: BLE001 - whatever it is, what is unsent stays unsent and is tried again
            await self._recover(error)
        else:
            self._failures = 0

    async def _round(self) -> None:
        self._wake.clear()  # before looking, so that a NOTIFY from now on is not missed
        rows = await self._clear_and_take()
        RELAY_ACTIVE.set(rows is not None)
        if rows:
            await self._publish(rows)
        else:
            await _wait(self._wake, self._poll_seconds)

    async def _publish(self, rows: Sequence[StoredEvent]) -> None:
        began_ns = tracing_bus.now_ns()
        try:
            self._confirmed = await self._publisher.publish(rows)
        except PublishError as error:
            self._confirmed = error.confirmed
            raise
        finally:
            tracing_bus.published(rows, self._confirmed, began_ns)
        DELAY.observe(age_seconds(rows[0].event_id))
        await self._failpoints.reach(Boundary.AFTER_PUBLISH)

    async def _clear_and_take(self) -> list[StoredEvent] | None:
        """Clear what is confirmed, and take the next round; None if another relay is active."""
        async with self._database.transaction() as transaction:
            await self._clear(transaction)
            held = await transaction.raw.fetchval(_LEASE, self._holder, self._lease_seconds)
            await self._sample(transaction)
            rows = await transaction.raw.fetch(_TAKE, ROUND_EVENTS) if held else []
        self._confirmed, self._runs = [], {}
        self._behind = len(rows) >= ROUND_EVENTS
        return self._taken(rows) if held else None

    def _taken(self, rows: Sequence[asyncpg.Record]) -> list[StoredEvent]:
        events = {row["run"]: row["events"] for row in rows}
        for row in rows:
            self._runs.setdefault(row["run"], []).append(row["id"])
        for run, ids in self._runs.items():
            if len(ids) < events[run] or ids == [None]:
                self._log.error("unsent events are missing: attach the partition that holds them", first_id=run)
                raise MissingEventsError(f"events from id {run} on are unsent and not there")
        return [StoredEvent(*columns) for _run, _events, *columns in (row.values() for row in rows)]

    async def _clear(self, transaction: Transaction) -> None:
        """Take what is confirmed out of what is unsent; of a run confirmed in part the rest stays, one by one."""
        if not self._confirmed:
            return
        confirmed = set(self._confirmed)
        begun = [first for first, ids in self._runs.items() if not confirmed.isdisjoint(ids)]
        cleared = await transaction.raw.fetch(_CLEAR, begun)
        left = [each for row in cleared for each in self._runs[row["id"]] if each not in confirmed]
        if left:
            await transaction.raw.execute(_LEAVE_UNSENT, left)

    async def _sample(self, transaction: Transaction) -> None:
        if self._sampled is None or self._sampled.seconds >= SAMPLE_SECONDS:
            sample = await transaction.raw.fetchrow(_SAMPLE)
            UNSENT.set(sample["unsent"] if sample else 0)
            UNSENT_AGE.set(sample["age_seconds"] if sample else 0)
            self._sampled = Elapsed()

    async def _recover(self, error: Exception) -> None:
        self._failures += 1
        name = type(error.__cause__ or error).__name__  # not that publishing failed, but at what
        RELAY_FAILURES.labels(error_name(name)).inc()
        why = {"why": refused} if (refused := refusal(error, self._kafka, Operation.WRITE)) else {}
        self._log.warning("outbox relay stopped and begins again", error=name, failures=self._failures, **why)
        if isinstance(error, PublishError):
            # Another replica may reach Kafka where this one does not; it need not wait for the lease to run out.
            await self._leave()
        # A NOTIFY does not cut it short: they keep coming while Kafka is away, one for every fact that is written.
        await _wait(self._stopping, backoff_seconds(self._failures))

    async def _leave(self) -> None:
        RELAY_ACTIVE.set(0)
        await self._publisher.close()
        with contextlib.suppress(Exception):  # the lease runs out by itself, and confirmed rows are only sent again
            async with asyncio.timeout(LISTEN_TIMEOUT_SECONDS), self._database.transaction() as transaction:
                await self._clear(transaction)
                await transaction.raw.execute(_RELEASE, self._holder)
            self._confirmed = []

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                await self._listen_until_closed()
                failures = 0
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                failures += 1
                self._log.info("not listening for NOTIFY, polling goes on", error=type(error).__name__)
            await asyncio.sleep(backoff_seconds(failures + 1))

    async def _listen_until_closed(self) -> None:
        connection = await connect(self._dsn, timeout=LISTEN_TIMEOUT_SECONDS)
        closed = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _connection: closed.set())
            await connection.add_listener(CHANNEL, self._notified)
            self._wake.set()  # what was written before listening began
            await closed.wait()
        finally:
            connection.terminate()

    def _notified(self, *_notification: Any) -> None:
        self._wake.set()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Until it happens, `seconds` at most; at once if there are none."""
    if seconds <= 0:
        return
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
