"""What owners do with their webhooks; one transaction each."""

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from kit.clock import Clock
from kit.db import Work
from kit.errors import FieldViolation, InvalidFields, Refusal
from kit.ids import uuid7
from notify.domain.webhook_address import Reach, check_address
from notify.domain.webhooks import (
    RETRIED_FOR,
    TEST,
    Secrets,
    State,
    Webhook,
    is_institution,
    refused_types,
)
from notify.webhooks.bodies import trial_body
from notify.webhooks.repository import ListedAttempt, NewDelivery, NewEvent, Requeued, WebhookRepository
from notify.webhooks.signing import new_secret

REPLAYED_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls."""

    institution: str | None
    """As an owner, such as institution/H65270100001; None for the others."""
    oversees: bool = False
    """Sees everybody's webhooks, keeps those of systems, and may remove any."""
    reads_only: bool = False
    """An auditor."""

    def sees(self, owner: str) -> bool:
        """Whether somebody's webhooks are shown to them."""
        return self.oversees or self.reads_only or owner == self.institution

    def keeps(self, owner: str) -> bool:
        """Whether they may change somebody's webhooks. Nobody but the institution itself says where its events go."""
        return owner == self.institution or (self.oversees and not is_institution(owner))


@dataclass(frozen=True, slots=True)
class Wishes:
    """What an owner states of a webhook."""

    url: str
    event_types: frozenset[str]
    description: str


@dataclass(frozen=True, slots=True)
class Rules:
    """What the region allows."""

    reach: Reach
    of_owner_max: int
    secret_overlap: timedelta
    keep: timedelta
    known_types: AbstractSet[str]
    """All events of the catalogue's topics."""


class Webhooks:
    """The use cases."""

    def __init__(self, work: Work[WebhookRepository], clock: Clock, rules: Rules, queued: asyncio.Event) -> None:
        self._work = work
        self._clock = clock
        self._rules = rules
        self._queued = queued

    async def create(self, owner: str, wishes: Wishes) -> Webhook:
        """A new webhook of `owner`, with its secret.

        Raises:
            AddressRefused: webhooks may not lead there.
            InvalidFields: an event type is not one that the owner can have.
            Refusal: `TOO_MANY_WEBHOOKS`.
        """
        self._check(owner, wishes)
        secrets, now = Secrets(new_secret()), self._clock.now()
        webhook = Webhook(uuid7(), owner, wishes.url, wishes.event_types, wishes.description, secrets, now)
        async with self._work() as repository:
            if await repository.count_of(owner) >= self._rules.of_owner_max:
                raise Refusal("TOO_MANY_WEBHOOKS", metadata={"most": str(self._rules.of_owner_max)})
            await repository.add(webhook)
        return webhook

    async def page(self, caller: Caller, owner: str | None, limit: int, after: UUID | None) -> list[Webhook]:
        """Webhooks of `owner`, or all that the caller may see; at most `limit`."""
        shown = owner or caller.institution
        if shown is not None and not caller.sees(shown):
            return []
        async with self._work() as repository:
            return await repository.page(shown, limit, after)

    async def update(self, caller: Caller, webhook_id: UUID, wishes: Wishes, state: State) -> Webhook:
        """The webhook as it shall be, its failures forgotten; with ACTIVE what waits is due. Raises as `create`."""
        async with self._work() as repository:
            webhook = await self._kept(repository, caller, webhook_id)
            self._check(webhook.owner, wishes)
            changed = replace(
                webhook, url=wishes.url, event_types=wishes.event_types, description=wishes.description
            ).turned(state)
            await repository.save(changed)
            if changed.is_sending:
                await repository.hasten(webhook_id, self._clock.now())
        self._queued.set()
        return changed

    async def delete(self, caller: Caller, webhook_id: UUID) -> None:
        """Remove a webhook; what waits for it is not sent."""
        async with self._work() as repository:
            webhook = await _seen(repository, caller, webhook_id, lock=True)
            if not (caller.oversees or caller.keeps(webhook.owner)):
                raise _forbidden()
            await repository.save(webhook.removed())

    async def rotate(self, caller: Caller, webhook_id: UUID) -> Secrets:
        """A new secret; the one before is valid for a while."""
        async with self._work() as repository:
            webhook = await self._kept(repository, caller, webhook_id)
            secrets = webhook.secrets.rotated(new_secret(), self._clock.now(), self._rules.secret_overlap)
            await repository.save(replace(webhook, secrets=secrets))
        return secrets

    async def test(self, caller: Caller, webhook_id: UUID) -> UUID:
        """Queue a test; the id of its event."""
        now, event_id = self._clock.now(), uuid7()
        event = NewEvent(event_id, TEST, now, trial_body(event_id, webhook_id, now))
        async with self._work() as repository:
            await self._kept(repository, caller, webhook_id)
            await repository.queue([NewDelivery(webhook_id, event, is_test=True)], now)
        self._queued.set()
        return event_id

    async def replay(
        self, caller: Caller, webhook_id: UUID, since: datetime, before: datetime, *, with_delivered: bool
    ) -> Requeued:
        """Queue events of a range of time again.

        Raises:
            InvalidFields: the range is empty.
            Refusal: `STATE_FORBIDS`, the webhook is paused or off.
        """
        if since >= before:
            raise InvalidFields([FieldViolation("occurred_before", "is not later than occurred_from")])
        now = self._clock.now()
        async with self._work() as repository:
            webhook = await self._kept(repository, caller, webhook_id)
            if webhook.state is not State.ACTIVE:
                raise Refusal("STATE_FORBIDS", "the webhook is not active", {"state": webhook.state.value})
            requeued = await repository.requeue(
                webhook_id, since, before, now, with_delivered=with_delivered, limit=REPLAYED_AT_ONCE
            )
        self._queued.set()
        return requeued

    async def attempts(
        self,
        caller: Caller,
        webhook_id: UUID,
        limit: int,
        *,
        event_id: UUID | None,
        failed_only: bool,
        before: UUID | None,
    ) -> Sequence[ListedAttempt]:
        """What was tried, newest first."""
        async with self._work() as repository:
            await _seen(repository, caller, webhook_id)
            return await repository.attempts(
                webhook_id, limit, event_id=event_id, failed_only=failed_only, before=before
            )

    async def give_up(self, limit: int) -> int:
        """Give up what has waited for a day for webhooks that do not send, and what their owners no longer want."""
        async with self._work() as repository:
            return await repository.give_up(self._clock.now() - RETRIED_FOR, limit)

    async def forget(self, limit: int) -> int:
        """Remove events whose time is over."""
        async with self._work() as repository:
            return await repository.forget(self._clock.now() - self._rules.keep, limit)

    async def clear(self, limit: int) -> int:
        """Remove what is left of webhooks that were removed."""
        async with self._work() as repository:
            return await repository.clear(limit)

    def _check(self, owner: str, wishes: Wishes) -> None:
        check_address(wishes.url, self._rules.reach)
        refused = refused_types(owner, wishes.event_types, self._rules.known_types)
        if refused:
            raise InvalidFields([FieldViolation("event_types", "has an event that this owner cannot have")])

    async def _kept(self, repository: WebhookRepository, caller: Caller, webhook_id: UUID) -> Webhook:
        webhook = await _seen(repository, caller, webhook_id, lock=True)
        if not caller.keeps(webhook.owner):
            raise _forbidden()
        return webhook


async def _seen(repository: WebhookRepository, caller: Caller, webhook_id: UUID, *, lock: bool = False) -> Webhook:
    webhook = await repository.get(webhook_id, lock=lock)
    if webhook is None or not caller.sees(webhook.owner):
        raise Refusal("NOT_FOUND", "there is no such webhook")
    return webhook


def _forbidden() -> Refusal:
    return Refusal("FORBIDDEN", "an institution's webhooks are changed by the institution alone")
