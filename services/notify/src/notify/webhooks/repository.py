"""Webhooks and what is sent to them: what one unit of work can do."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from kit.inbox import Inbox
from kit.outbox import Outbox
from notify.domain.webhooks import DeliveryState, Listening, Outcome, Standing, Webhook


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that a webhook wants."""

    event_id: UUID
    event_type: str
    occurred_at: datetime
    body: bytes = field(repr=False)
    """The request's."""


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """An event on its way to a webhook."""

    webhook_id: UUID
    event: NewEvent
    is_test: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be claimed. What is under way at any replica counts against `each` and `of_owner`."""

    limit: int
    each: int
    """Of one webhook; of one that keeps failing it is one."""
    of_owner: int
    """Of all webhooks of one owner."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours to attempt, until its lease runs out."""

    webhook: Webhook
    event_id: UUID
    is_test: bool
    attempts: int
    """With the one that is to be made; tells a later claim of the same from this one."""
    tries: int
    """The same since it was queued, which a replay does again."""
    queued_at: datetime
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that was made."""

    attempt_id: UUID
    """Rises with time."""
    webhook_id: UUID
    event_id: UUID
    attempted_at: datetime
    outcome: Outcome
    duration_ms: int


@dataclass(frozen=True, slots=True)
class ListedAttempt:
    """The same as it is listed, with what has become of the event since."""

    attempt: Attempt
    event_type: str
    state: DeliveryState
    next_attempt_at: datetime | None


@dataclass(frozen=True, slots=True)
class Requeued:
    """What a replay queued."""

    events: int
    rest_from: datetime | None
    """When the first event occurred that was left for the next time; None if none was."""


class WebhookRepository(Protocol):
    """What one unit of work can do."""

    @property
    def outbox(self) -> Outbox:
        """Where events are stated."""
        ...

    @property
    def inbox(self) -> Inbox:
        """What was taken in."""
        ...

    async def add(self, webhook: Webhook) -> None:
        """Keep a new webhook."""
        ...

    async def count_of(self, owner: str) -> int:
        """How many webhooks the owner has; others who ask for the same owner wait until this unit of work ends."""
        ...

    async def get(self, webhook_id: UUID, *, lock: bool = False) -> Webhook | None:
        """One that is not removed; with `lock` nobody else changes it until this unit of work ends."""
        ...

    async def page(self, owner: str | None, limit: int, after: UUID | None = None) -> list[Webhook]:
        """Webhooks of an owner or of all, in the order in which they were made."""
        ...

    async def listening(self) -> list[Listening]:
        """What every webhook wants that is not removed."""
        ...

    async def learn(self, standings: Sequence[Standing]) -> None:
        """Keep who is suspended; what is not newer than what is known is passed over."""
        ...

    async def save(self, webhook: Webhook) -> None:
        """Keep a webhook as it is now."""
        ...

    async def queue(self, deliveries: Sequence[NewDelivery], now: datetime) -> int:
        """Queue events, each once for each webhook however often it comes; how many were new."""
        ...

    async def hasten(self, webhook_id: UUID, now: datetime) -> None:
        """Make due what waits for its next attempt; `queued_at` stays, so it is given up no later."""
        ...

    async def claim(self, now: datetime, bounds: Bounds, lease: timedelta) -> list[Claimed]:
        """Take what is due, as much as `bounds` let, first of the owners who have the least under way.

        A webhook that rests or is not active gets tests only; none gets events of types that it no longer wants. What
        is taken is nobody else's until the lease runs out, by the database's time.
        """
        ...

    async def finish(self, attempt: Attempt, attempts: int, state: DeliveryState, next_at: datetime | None) -> bool:
        """Record an attempt and what becomes of the delivery; False, and nothing done, if it was claimed again since.

        `attempts` is the number that the claim had.
        """
        ...

    async def requeue(
        self, webhook_id: UUID, since: datetime, before: datetime, now: datetime, *, with_delivered: bool, limit: int
    ) -> Requeued:
        """Queue what was given up, or also what was delivered, of the events that occurred in a range of time.

        Only of the types that the webhook wants now.
        """
        ...

    async def attempts(
        self,
        webhook_id: UUID,
        limit: int,
        *,
        event_id: UUID | None = None,
        failed_only: bool = False,
        before: UUID | None = None,
    ) -> list[ListedAttempt]:
        """What was tried, newest first, from the one before `before` on."""
        ...

    async def give_up(self, queued_before: datetime, limit: int) -> int:
        """Give up what waits too long for webhooks that are paused or off, and what is of types no longer wanted.

        At most `limit`; how many there were.
        """
        ...

    async def forget(self, occurred_before: datetime, limit: int) -> int:
        """Remove events that occurred before then, with their deliveries and attempts; at most `limit` events."""
        ...

    async def clear(self, limit: int) -> int:
        """Remove deliveries of removed webhooks, then those webhooks themselves; how many rows, at most `limit`."""
        ...
