"""Webhooks in memory, for unit tests; the contract suite holds them to what PostgreSQL does."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from kit.clock import SystemClock
from kit.inbox import Inbox, MemoryInbox
from kit.outbox import MemoryOutbox, Outbox
from notify.domain.webhooks import RESTS_AFTER, DeliveryState, Listening, Standing, State, Webhook
from notify.webhooks.repository import Attempt, Bounds, Claimed, ListedAttempt, NewDelivery, NewEvent, Requeued

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class _Delivery:
    webhook_id: UUID
    event: NewEvent
    is_test: bool
    queued_at: datetime
    next_at: datetime | None
    state: DeliveryState = DeliveryState.QUEUED
    attempts: int = 0
    attempts_before: int = 0
    leased_until: datetime = _NEVER

    @property
    def key(self) -> tuple[UUID, UUID]:
        return self.webhook_id, self.event.event_id

    def is_wanted_by(self, webhook: Webhook) -> bool:
        return self.is_test or self.event.event_type in webhook.event_types

    def is_due(self, now: datetime) -> bool:
        return self.state is DeliveryState.QUEUED and self.next_at is not None and self.next_at <= now


class MemoryWebhooks:
    """Webhooks in dictionaries; takes part in the snapshots of `kit.testing.MemoryWork`."""

    def __init__(self) -> None:
        self._memory_outbox = MemoryOutbox("notify")
        self._inbox = MemoryInbox()
        self.webhooks: dict[UUID, Webhook] = {}
        self.deliveries: dict[tuple[UUID, UUID], _Delivery] = {}
        self.made: list[Attempt] = []
        self.standings: dict[str, Standing] = {}
        self._real = SystemClock()

    @property
    def outbox(self) -> Outbox:
        """See `WebhookRepository.outbox`."""
        return self._memory_outbox

    @property
    def inbox(self) -> Inbox:
        """See `WebhookRepository.inbox`."""
        return self._inbox

    @property
    def told(self) -> MemoryOutbox:
        """What was stated, for tests."""
        return self._memory_outbox

    async def add(self, webhook: Webhook) -> None:
        """See `WebhookRepository.add`."""
        self.webhooks[webhook.webhook_id] = webhook

    async def count_of(self, owner: str) -> int:
        """See `WebhookRepository.count_of`."""
        return sum(webhook.owner == owner for webhook in self._seen())

    async def get(self, webhook_id: UUID, *, lock: bool = False) -> Webhook | None:
        """See `WebhookRepository.get`."""
        del lock
        return next((webhook for webhook in self._seen() if webhook.webhook_id == webhook_id), None)

    async def page(self, owner: str | None, limit: int, after: UUID | None = None) -> list[Webhook]:
        """See `WebhookRepository.page`."""
        found = [webhook for webhook in self._seen() if owner in (None, webhook.owner)]
        found.sort(key=lambda webhook: webhook.webhook_id)
        return [webhook for webhook in found if after is None or webhook.webhook_id > after][:limit]

    async def listening(self) -> list[Listening]:
        """See `WebhookRepository.listening`."""
        return [Listening(one.webhook_id, one.owner, one.event_types, one.created_at) for one in self._seen()]

    async def learn(self, standings: Sequence[Standing]) -> None:
        """See `WebhookRepository.learn`."""
        for one in standings:
            known = self.standings.get(one.fixmedins_code)
            if known is None or (one.epoch, one.sequence) > (known.epoch, known.sequence):
                self.standings[one.fixmedins_code] = one

    async def save(self, webhook: Webhook) -> None:
        """See `WebhookRepository.save`."""
        self.webhooks[webhook.webhook_id] = webhook

    async def queue(self, deliveries: Sequence[NewDelivery], now: datetime) -> int:
        """See `WebhookRepository.queue`."""
        before = len(self.deliveries)
        for one in deliveries:
            new = _Delivery(one.webhook_id, one.event, one.is_test, now, now)
            self.deliveries.setdefault(new.key, new)
        return len(self.deliveries) - before

    async def hasten(self, webhook_id: UUID, now: datetime) -> None:
        """See `WebhookRepository.hasten`."""
        for key, one in self.deliveries.items():
            if one.webhook_id == webhook_id and one.next_at is not None and one.next_at > now:
                self.deliveries[key] = replace(one, next_at=now)

    async def claim(self, now: datetime, bounds: Bounds, lease: timedelta) -> list[Claimed]:
        """See `WebhookRepository.claim`."""
        real = self._real.now()
        due = self._turns(now, bounds, real)[: bounds.limit]
        taken = [replace(one, attempts=one.attempts + 1, leased_until=real + lease) for one in due]
        self.deliveries.update({one.key: one for one in taken})
        return [
            Claimed(
                self.webhooks[one.webhook_id],
                one.event.event_id,
                one.is_test,
                one.attempts,
                one.attempts - one.attempts_before,
                one.queued_at,
                one.event.body,
            )
            for one in taken
        ]

    def _turns(self, now: datetime, bounds: Bounds, real: datetime) -> list[_Delivery]:
        waiting: dict[str, list[tuple[int, datetime, UUID, _Delivery]]] = {}
        for webhook in self._seen():
            for turn, one in enumerate(self._due(webhook, now, bounds.each, real)):
                waiting.setdefault(webhook.owner, []).append((turn, one.next_at or now, webhook.webhook_id, one))
        turns: list[tuple[int, _Delivery]] = []
        for owner, own in waiting.items():
            under_way = sum(
                one.leased_until >= real and self.webhooks[one.webhook_id].owner == owner
                for one in self.deliveries.values()
            )
            in_order = [entry[3] for entry in sorted(own, key=lambda entry: entry[:3])]
            turns += enumerate(in_order[: max(bounds.of_owner - under_way, 0)], under_way)
        return [one for _, one in sorted(turns, key=lambda turn: turn[0])]

    def _due(self, webhook: Webhook, now: datetime, each: int, real: datetime) -> list[_Delivery]:
        own = [one for one in self.deliveries.values() if one.webhook_id == webhook.webhook_id and one.is_due(now)]
        room = (1 if webhook.health.failures_in_row >= RESTS_AFTER else each) - sum(
            one.leased_until >= real for one in own
        )
        tests_only = webhook.state is not State.ACTIVE or (webhook.health.rests_until or now) > now
        free = [one for one in own if one.leased_until < real and (one.is_test or not tests_only)]
        free = [one for one in free if one.is_wanted_by(webhook)]
        free.sort(key=lambda one: (one.next_at or now, one.event.event_id))
        return free[: max(room, 0)]

    async def finish(self, attempt: Attempt, attempts: int, state: DeliveryState, next_at: datetime | None) -> bool:
        """See `WebhookRepository.finish`."""
        found = self.deliveries.get((attempt.webhook_id, attempt.event_id))
        if found is None or found.attempts != attempts or found.state is not DeliveryState.QUEUED:
            return False
        self.deliveries[found.key] = replace(found, state=state, next_at=next_at, leased_until=_NEVER)
        self.made.append(attempt)
        return True

    async def requeue(
        self, webhook_id: UUID, since: datetime, before: datetime, now: datetime, *, with_delivered: bool, limit: int
    ) -> Requeued:
        """See `WebhookRepository.requeue`."""
        states = {DeliveryState.GIVEN_UP, *({DeliveryState.DELIVERED} if with_delivered else ())}
        found = [
            one
            for one in self.deliveries.values()
            if one.webhook_id == webhook_id and since <= one.event.occurred_at < before
            if one.state in states and not one.is_test and one.is_wanted_by(self.webhooks[webhook_id])
        ]
        found.sort(key=lambda one: (one.event.occurred_at, one.event.event_id))
        for one in found[:limit]:
            self.deliveries[one.key] = replace(
                one,
                state=DeliveryState.QUEUED,
                queued_at=now,
                next_at=now,
                leased_until=_NEVER,
                attempts_before=one.attempts,
            )
        return Requeued(len(found[:limit]), found[limit].event.occurred_at if len(found) > limit else None)

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
        found = [
            one
            for one in self.made
            if one.webhook_id == webhook_id and event_id in (None, one.event_id)
            if not (failed_only and one.outcome.is_delivered) and (before is None or one.attempt_id < before)
        ]
        found.sort(key=lambda one: one.attempt_id, reverse=True)
        return [self._listed(one) for one in found[:limit]]

    def _listed(self, made: Attempt) -> ListedAttempt:
        of = self.deliveries[made.webhook_id, made.event_id]
        shown = replace(made, outcome=replace(made.outcome, retry_after=None))
        return ListedAttempt(shown, of.event.event_type, of.state, of.next_at)

    async def give_up(self, queued_before: datetime, limit: int) -> int:
        """See `WebhookRepository.give_up`."""
        waiting = [
            one
            for one in self.deliveries.values()
            if one.state is DeliveryState.QUEUED
            if (one.queued_at <= queued_before and self.webhooks[one.webhook_id].state is not State.ACTIVE)
            or not one.is_wanted_by(self.webhooks[one.webhook_id])
        ][:limit]
        for one in waiting:
            self.deliveries[one.key] = replace(one, state=DeliveryState.GIVEN_UP, next_at=None, leased_until=_NEVER)
        return len(waiting)

    async def forget(self, occurred_before: datetime, limit: int) -> int:
        """See `WebhookRepository.forget`."""
        events = {one.event.event_id for one in self.deliveries.values() if one.event.occurred_at < occurred_before}
        gone = set(sorted(events)[:limit])
        self._remove([one for one in self.deliveries.values() if one.event.event_id in gone])
        return len(gone)

    async def clear(self, limit: int) -> int:
        """See `WebhookRepository.clear`."""
        removed = [one for one in self.webhooks.values() if one.state is State.REMOVED]
        ids = {webhook.webhook_id for webhook in removed}
        deliveries = [one for one in self.deliveries.values() if one.webhook_id in ids][:limit]
        self._remove(deliveries)
        if deliveries:
            return len(deliveries)
        for webhook in removed[:limit]:
            del self.webhooks[webhook.webhook_id]
        return len(removed[:limit])

    def _remove(self, deliveries: Sequence[_Delivery]) -> None:
        keys = {one.key for one in deliveries}
        for key in keys:
            del self.deliveries[key]
        self.made[:] = [one for one in self.made if (one.webhook_id, one.event_id) not in keys]

    def _seen(self) -> Iterator[Webhook]:
        return (webhook for webhook in self.webhooks.values() if webhook.state is not State.REMOVED)
