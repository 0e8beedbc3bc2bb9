"""Deliveries on PostgreSQL, with what they say encrypted."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from asyncpg import Record

from kit.clock import Clock
from kit.db import Database
from notify.domain.channels import Channel
from notify.domain.deliveries import Delivery, Payload, State, day_of
from notify.domain.kinds import Kind
from notify.postgres.rows import Rows
from notify.repository.deliveries import Claimed, DeliveryFilter, DeliveryPlace, NewDelivery
from notify.repository.opening import Unopened

_SHOWN: Final = (
    "delivery_id, event_id, psn_no, channel, contact_id, message_id, kind, state, attempts, next_attempt_at, "
    "created_at, provider_id, last_error, sent_at, ended_at"
)
_QUEUE = """
INSERT INTO delivery (delivery_id, event_id, psn_no, channel, contact_id, message_id, kind, payload_ct, next_attempt_at,
                      created_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::text[], $8::bytea[],
                     $9::timestamptz[], $10::timestamptz[])
ON CONFLICT (event_id, psn_no, channel) DO NOTHING
"""
# Leases run by this database's time: a clock that tests move must not end them, and replicas share no other.
_CLAIM = f"""
WITH due AS (
    SELECT delivery_id, NOT is_counted AS is_first FROM delivery
    WHERE channel = $1 AND state = 'QUEUED' AND next_attempt_at <= $2
      AND (leased_until IS NULL OR leased_until < clock_timestamp())
    ORDER BY next_attempt_at, delivery_id
    LIMIT $3
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE delivery AS d
    SET attempts = attempts + 1, is_counted = true, leased_until = clock_timestamp() + make_interval(secs => $4)
    FROM due WHERE d.delivery_id = due.delivery_id
    RETURNING d.*, due.is_first
)
SELECT {_SHOWN}, payload_ct, is_first FROM claimed ORDER BY next_attempt_at, delivery_id
"""  # noqa: S608 - the names of columns
# In sorted order everywhere: two processes that count the same people wait for each other, and neither for ever.
_COUNT = """
INSERT INTO daily_count (psn_no, channel, day, sent)
SELECT psn_no, $1, $2, number FROM unnest($3::text[], $4::integer[]) AS w (psn_no, number) ORDER BY psn_no
ON CONFLICT (psn_no, channel, day) DO UPDATE SET sent = daily_count.sent + excluded.sent
RETURNING psn_no, sent
"""
_UNCOUNT = "UPDATE delivery SET is_counted = false WHERE delivery_id = ANY($1::uuid[])"
_LOCK = f"SELECT {_SHOWN} FROM delivery WHERE delivery_id = ANY($1) ORDER BY delivery_id FOR UPDATE"  # noqa: S608 - columns
_LOCK_UNHEARD = f"""
SELECT {_SHOWN} FROM delivery WHERE state = 'SENT' AND ended_at IS NULL AND sent_at < $1
ORDER BY sent_at LIMIT $2 FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - the names of columns
_UPDATE = """
UPDATE delivery AS d
SET state = n.state, attempts = n.attempts, next_attempt_at = n.next_attempt_at,
    provider_id = n.provider_id, last_error = n.last_error, sent_at = n.sent_at, ended_at = n.ended_at,
    leased_until = NULL, payload_ct = CASE WHEN n.state = 'QUEUED' THEN d.payload_ct END
FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::timestamptz[], $5::text[], $6::text[], $7::timestamptz[],
            $8::timestamptz[])
     AS n (delivery_id, state, attempts, next_attempt_at, provider_id, last_error, sent_at, ended_at)
WHERE d.delivery_id = n.delivery_id
"""
LIST = f"""
SELECT {_SHOWN} FROM delivery
WHERE ($1::text IS NULL OR psn_no = $1) AND ($2::text IS NULL OR channel = $2) AND ($3::text IS NULL OR state = $3)
  AND ($4::uuid IS NULL OR event_id = $4)
  AND ($5::timestamptz IS NULL OR (created_at, delivery_id) < ($5::timestamptz, $6::uuid))
ORDER BY created_at DESC, delivery_id DESC
LIMIT $7
"""  # noqa: S608 - the names of columns
_WAITING = "SELECT channel, count(*) AS waiting FROM delivery WHERE state = 'QUEUED' GROUP BY channel"

KEPT_DAYS: Final = timedelta(days=7)
"""How long the counts of a day are kept; its bound is over with the day."""
_FORGET_ENDED = """
DELETE FROM delivery WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM delivery WHERE ended_at < $1 ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED
))
"""
_FORGET = """
DELETE FROM daily_count WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM daily_count WHERE day < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
))
"""


class PostgresDeliveries(Rows):
    """See `notify.repository.deliveries`."""

    async def queue_deliveries(self, deliveries: Sequence[NewDelivery]) -> int:
        """See the protocol."""
        if not deliveries:
            return 0
        rows = [self._queued(new) for new in deliveries]
        status: str = await self._raw.execute(_QUEUE, *map(list, zip(*rows, strict=True)))
        return int(status.rsplit(" ", 1)[-1])

    async def claim_deliveries(
        self, channel: Channel, now: datetime, limit: int, lease_seconds: float
    ) -> list[Claimed]:
        """See the protocol."""
        rows = await self._raw.fetch(_CLAIM, channel.value, now, limit, lease_seconds)
        return [Claimed(_delivery(row), self._payload(row), row["is_first"]) for row in rows]

    async def count_deliveries(self, channel: Channel, day: date, wanted: Mapping[str, int]) -> dict[str, int]:
        """See the protocol."""
        if not wanted:
            return {}
        rows = await self._raw.fetch(_COUNT, channel.value, day, list(wanted), list(wanted.values()))
        return {row["psn_no"]: row["sent"] for row in rows}

    async def uncount_deliveries(self, delivery_ids: Collection[UUID]) -> None:
        """See the protocol."""
        if delivery_ids:
            await self._raw.execute(_UNCOUNT, list(delivery_ids))

    async def lock_deliveries(self, delivery_ids: Collection[UUID]) -> dict[UUID, Delivery]:
        """See the protocol."""
        rows = await self._raw.fetch(_LOCK, list(delivery_ids))
        return {row["delivery_id"]: _delivery(row) for row in rows}

    async def lock_unheard(self, before: datetime, limit: int) -> list[Delivery]:
        """See the protocol."""
        return [_delivery(row) for row in await self._raw.fetch(_LOCK_UNHEARD, before, limit)]

    async def update_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """See the protocol."""
        if not deliveries:
            return
        rows = [
            (
                *(one.delivery_id, one.state.value, one.attempts, one.next_attempt_at),
                *(one.provider_id, one.last_error, one.sent_at, one.ended_at),
            )
            for one in deliveries
        ]
        await self._raw.execute(_UPDATE, *map(list, zip(*rows, strict=True)))

    async def list_deliveries(
        self, wanted: DeliveryFilter, limit: int, before: DeliveryPlace | None = None
    ) -> list[Delivery]:
        """See the protocol."""
        channel, state = (one.value if one else None for one in (wanted.channel, wanted.state))
        place = (before.created_at, before.delivery_id) if before else (None, None)
        rows = await self._raw.fetch(LIST, wanted.psn_no, channel, state, wanted.event_id, *place, limit)
        return [_delivery(row) for row in rows]

    async def count_waiting(self) -> dict[Channel, int]:
        """See the protocol."""
        return {Channel(row["channel"]): row["waiting"] for row in await self._raw.fetch(_WAITING)}

    def _queued(self, new: NewDelivery) -> tuple[object, ...]:
        one = new.delivery
        payload = self._keyring.encrypt(_bytes(new.payload), payload_context(one.delivery_id, one.psn_no))
        return (
            *(one.delivery_id, one.event_id, one.psn_no, one.channel.value, one.contact_id, one.message_id),
            *(one.kind.value, payload, one.next_attempt_at, one.created_at),
        )

    def _payload(self, row: Record) -> Payload | Unopened:
        opened = self._open(row["payload_ct"], payload_context(row["delivery_id"], row["psn_no"]))
        return opened if isinstance(opened, Unopened) else Payload(**json.loads(opened))


class DeliveriesKept:
    """What is kept of deliveries; goes when nobody would ask for it any more.

    Args:
        database: where they are.
        clock: by which they ended.
        keep: how long those that have ended are kept.
    """

    def __init__(self, database: Database, clock: Clock, keep: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._keep = keep

    async def forget_counts(self, limit: int) -> int:
        """Remove at most `limit` counts of days long over; how many there were."""
        return await self._delete(_FORGET, day_of(self._clock.now()) - KEPT_DAYS, limit)

    async def forget_ended(self, limit: int) -> int:
        """Remove at most `limit` deliveries that ended long ago; how many there were."""
        return await self._delete(_FORGET_ENDED, self._clock.now() - self._keep, limit)

    async def _delete(self, statement: str, before: date, limit: int) -> int:
        async with self._database.transaction() as transaction:
            status: str = await transaction.raw.execute(statement, before, limit)
        return int(status.removeprefix("DELETE "))


def _bytes(payload: Payload) -> bytes:
    content = {
        "template": payload.template,
        "language": payload.language,
        "title": payload.title,
        "body": payload.body,
        "params": dict(payload.params),
    }
    return json.dumps(content, ensure_ascii=False).encode()


def payload_context(delivery_id: UUID, psn_no: str) -> bytes:
    """What a sealed payload is bound to."""
    # A ciphertext that is copied to another row or person does not open there.
    return f"delivery.payload {delivery_id} {psn_no}".encode()


def _delivery(row: Record) -> Delivery:
    fields = {name: value for name, value in row.items() if name not in {"payload_ct", "is_first"}}
    return Delivery(
        **fields | {"channel": Channel(row["channel"]), "kind": Kind(row["kind"]), "state": State(row["state"])}
    )
