"""Webhooks in PostgreSQL; addresses, secrets and bodies are encrypted."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from asyncpg import Record

from kit.crypto import CryptoError, KeyRing
from kit.db import Database, Transaction
from kit.inbox import Inbox, PostgresInbox
from kit.observability import get_logger
from kit.outbox import Outbox, PostgresOutbox
from notify.domain.webhooks import (
    RESTS_AFTER,
    DeliveryState,
    Health,
    Listening,
    OffReason,
    Outcome,
    Result,
    Secrets,
    Standing,
    State,
    Webhook,
)
from notify.webhooks import statements as sql
from notify.webhooks.repository import Attempt, Bounds, Claimed, ListedAttempt, NewDelivery, Requeued

SERVICE = "notify"
UNREADABLE_RESTS: Final = timedelta(minutes=10)
"""After which what could not be decrypted is looked at again: a key that is missing may be there then."""

T = TypeVar("T")
_log = get_logger()


class PostgresWebhooks:
    """The repository of one transaction."""

    def __init__(self, transaction: Transaction, keyring: KeyRing) -> None:
        self._raw = transaction.raw
        self._keyring = keyring
        self.outbox: Outbox = PostgresOutbox(transaction, SERVICE)
        self.inbox: Inbox = PostgresInbox(transaction)

    async def add(self, webhook: Webhook) -> None:
        """See `WebhookRepository.add`."""
        await self._raw.execute(sql.ADD, *self._row(webhook), webhook.created_at)

    async def count_of(self, owner: str) -> int:
        """See `WebhookRepository.count_of`."""
        await self._raw.execute(sql.LOCK_OWNER, owner)
        return int(await self._raw.fetchval(sql.COUNT, owner))

    async def get(self, webhook_id: UUID, *, lock: bool = False) -> Webhook | None:
        """See `WebhookRepository.get`."""
        row = await self._raw.fetchrow(sql.GET_LOCKED if lock else sql.GET, webhook_id)
        return self._webhook(row) if row else None

    async def page(self, owner: str | None, limit: int, after: UUID | None = None) -> list[Webhook]:
        """See `WebhookRepository.page`."""
        rows = await self._raw.fetch(sql.PAGE, owner, after, limit)
        return [self._readable("webhook_id", row, self._webhook) or self._shell(row) for row in rows]

    async def listening(self) -> list[Listening]:
        """See `WebhookRepository.listening`."""
        return [
            Listening(row["webhook_id"], row["owner"], frozenset(row["event_types"]), row["created_at"])
            for row in await self._raw.fetch(sql.LISTENING)
        ]

    async def learn(self, standings: Sequence[Standing]) -> None:
        """See `WebhookRepository.learn`."""
        rows = [(one.fixmedins_code, one.suspended, one.epoch, one.sequence) for one in standings]
        if rows:
            await self._raw.executemany(sql.LEARN, sorted(rows))

    async def save(self, webhook: Webhook) -> None:
        """See `WebhookRepository.save`."""
        await self._raw.execute(sql.SAVE, *self._row(webhook))

    async def queue(self, deliveries: Sequence[NewDelivery], now: datetime) -> int:
        """See `WebhookRepository.queue`."""
        if not deliveries:
            return 0
        # In one order everywhere, so that two who queue the same wait for each other and do not lock each other out.
        events = sorted({one.event.event_id: one.event for one in deliveries}.items())
        bodies = [self._keyring.encrypt(event.body, body_context(event_id)) for event_id, event in events]
        times = [event.occurred_at for _, event in events]
        await self._raw.execute(sql.KEEP_EVENTS, [event_id for event_id, _ in events], bodies, times)
        rows = sorted(
            (one.webhook_id, one.event.event_id, one.event.event_type, one.is_test, one.event.occurred_at)
            for one in deliveries
        )
        return len(await self._raw.fetch(sql.QUEUE, *map(list, zip(*rows, strict=True)), now))

    async def hasten(self, webhook_id: UUID, now: datetime) -> None:
        """See `WebhookRepository.hasten`."""
        await self._raw.execute(sql.HASTEN, webhook_id, now)

    async def claim(self, now: datetime, bounds: Bounds, lease: timedelta) -> list[Claimed]:
        """See `WebhookRepository.claim`."""
        rows = await self._raw.fetch(sql.CLAIM, now, bounds.limit, bounds.each, lease, RESTS_AFTER, bounds.of_owner)
        if not rows:
            return []
        found = await self._raw.fetch(sql.WEBHOOKS, list({row["webhook_id"] for row in rows}))
        webhooks = {row["webhook_id"]: self._readable("webhook_id", row, self._webhook) for row in found}
        kept = await self._raw.fetch(sql.BODIES, list({row["event_id"] for row in rows}))
        bodies = {row["event_id"]: self._readable("event_id", row, self._body) for row in kept}
        claimed, unreadable = [], []
        for row in rows:
            webhook, body = webhooks[row["webhook_id"]], bodies[row["event_id"]]
            if webhook is None or body is None:
                unreadable.append(row)
            else:
                counted = (row["is_test"], row["attempts"], row["tries"], row["queued_at"])
                claimed.append(Claimed(webhook, row["event_id"], *counted, body))
        await self._postpone(unreadable, now + UNREADABLE_RESTS)
        return claimed

    async def _postpone(self, rows: Sequence[Record], until: datetime) -> None:
        if rows:
            ids = ([row["webhook_id"] for row in rows], [row["event_id"] for row in rows])
            await self._raw.execute(sql.POSTPONE, *ids, until)

    async def finish(self, attempt: Attempt, attempts: int, state: DeliveryState, next_at: datetime | None) -> bool:
        """See `WebhookRepository.finish`."""
        outcome = attempt.outcome
        finished = await self._raw.fetchval(
            sql.FINISH,
            *(attempt.webhook_id, attempt.event_id, attempts, state.value, next_at),
            *(attempt.attempt_id, attempt.attempted_at, outcome.result.value, outcome.status, attempt.duration_ms),
        )
        return bool(finished)

    async def requeue(
        self, webhook_id: UUID, since: datetime, before: datetime, now: datetime, *, with_delivered: bool, limit: int
    ) -> Requeued:
        """See `WebhookRepository.requeue`."""
        states = [DeliveryState.GIVEN_UP.value, *([DeliveryState.DELIVERED.value] if with_delivered else [])]
        found = await self._raw.fetch(sql.REPLAYED, webhook_id, since, before, states, limit + 1)
        ids = [row["event_id"] for row in found[:limit]]
        if ids:
            await self._raw.execute(sql.REQUEUE, webhook_id, ids, now)
        return Requeued(len(ids), found[limit]["occurred_at"] if len(found) > limit else None)

    async def attempts(
        self,
        webhook_id: UUID,
        limit: int,
        *,
        event_id: UUID | None = None,
        failed_only: bool = False,
        before: UUID | None = None,
    ) -> list[ListedAttempt]:
        """See `WebhookRepository.attempts`."""
        rows = await self._raw.fetch(sql.ATTEMPTS, webhook_id, event_id, failed_only, before, limit)
        return [_listed(row) for row in rows]

    async def give_up(self, queued_before: datetime, limit: int) -> int:
        """See `WebhookRepository.give_up`."""
        return _count(await self._raw.execute(sql.GIVE_UP, queued_before, limit))

    async def forget(self, occurred_before: datetime, limit: int) -> int:
        """See `WebhookRepository.forget`."""
        return _count(await self._raw.execute(sql.FORGET, occurred_before, limit))

    async def clear(self, limit: int) -> int:
        """See `WebhookRepository.clear`."""
        cleared = _count(await self._raw.execute(sql.CLEAR_DELIVERIES, limit))
        return cleared or _count(await self._raw.execute(sql.CLEAR_WEBHOOKS, limit))

    def _row(self, webhook: Webhook) -> tuple[object, ...]:
        secrets, health = webhook.secrets, webhook.health
        return (
            *(webhook.webhook_id, webhook.owner, self._sealed("url", webhook, webhook.url)),
            *(sorted(webhook.event_types), webhook.description, self._sealed("secret", webhook, secrets.current)),
            self._sealed("previous_secret", webhook, secrets.previous) if secrets.previous is not None else None,
            *(secrets.previous_until, webhook.state.value, webhook.off_reason.value if webhook.off_reason else None),
            *(health.failing_since, health.failures_in_row, health.rests_until),
            *(webhook.last_delivered_at, webhook.events_told),
        )

    def _sealed(self, column: str, webhook: Webhook, text: str) -> bytes:
        return self._keyring.encrypt(text.encode(), webhook_context(column, webhook.webhook_id, webhook.owner))

    def _opened(self, column: str, row: Record) -> str:
        context = webhook_context(column, row["webhook_id"], row["owner"])
        return self._keyring.decrypt(row[f"{column}_ct"], context).decode()

    def _body(self, row: Record) -> bytes:
        return self._keyring.decrypt(row["body_ct"], body_context(row["event_id"]))

    def _readable(self, key: str, row: Record, read: Callable[[Record], T]) -> T | None:
        """What a row says; None, and an error in the log, if it cannot be decrypted: the others go on all the same."""
        try:
            return read(row)
        except CryptoError as error:
            _log.error("a row of webhooks cannot be decrypted", error=type(error).__name__, **{key: str(row[key])})
            return None

    def _webhook(self, row: Record) -> Webhook:
        previous = self._opened("previous_secret", row) if row["previous_secret_ct"] is not None else None
        secrets = Secrets(self._opened("secret", row), previous, row["previous_secret_until"])
        return replace(self._shell(row), url=self._opened("url", row), secrets=secrets)

    def _shell(self, row: Record) -> Webhook:
        """A webhook without what is encrypted."""
        return Webhook(
            webhook_id=row["webhook_id"],
            owner=row["owner"],
            url="",
            event_types=frozenset(row["event_types"]),
            description=row["description"],
            secrets=Secrets(""),
            created_at=row["created_at"],
            state=State(row["state"]),
            off_reason=OffReason(row["off_reason"]) if row["off_reason"] else None,
            health=Health(row["failing_since"], row["failures_in_row"], row["rests_until"]),
            last_delivered_at=row["last_delivered_at"],
            events_told=row["events_told"],
        )


class StoredSuspensions:
    """Who is suspended by what was learned. A `kit.suspended.SuspendedReader`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self) -> Collection[str]:
        """Their fixmedins_codes."""
        async with self._database.transaction() as transaction:
            return [row["fixmedins_code"] for row in await transaction.raw.fetch(sql.SUSPENDED)]


def _listed(row: Record) -> ListedAttempt:
    outcome = Outcome(Result(row["outcome"]), row["status"])
    made = (row["attempt_id"], row["webhook_id"], row["event_id"], row["attempted_at"], outcome, row["duration_ms"])
    return ListedAttempt(Attempt(*made), row["event_type"], DeliveryState(row["state"]), row["next_attempt_at"])


def webhook_context(column: str, webhook_id: UUID, owner: str) -> bytes:
    """What a sealed column of a webhook is bound to."""
    # A ciphertext that is copied to another row, column or owner does not open there.
    return f"webhook.{column} {webhook_id} {owner}".encode()


def body_context(event_id: UUID) -> bytes:
    """What an event's sealed body is bound to."""
    return f"webhook_event.body {event_id}".encode()


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
