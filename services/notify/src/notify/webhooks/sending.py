"""Sends what is due to webhooks, never inside of a transaction: what was sent may be sent again, and none is lost."""

import asyncio
import contextlib
import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from gongji.notify.events.v1 import webhook_events_pb2 as events_pb2
from kit.backoff import backoff_seconds
from kit.clock import Clock, Elapsed
from kit.db import Work
from kit.db_errors import trouble
from kit.events import Event
from kit.ids import uuid7
from kit.observability import get_logger
from notify.domain.webhooks import DeliveryState, OffReason, Outcome, Result, Webhook, next_attempt_at, off_reason
from notify.metrics import WEBHOOK_ATTEMPTS, WEBHOOK_SECONDS, WEBHOOKS_SWITCHED_OFF
from notify.webhooks.client import Client
from notify.webhooks.codec import OFF_REASONS
from notify.webhooks.repository import Attempt, Bounds, Claimed, WebhookRepository
from notify.webhooks.signing import signed_headers

POLL_SECONDS: Final = 1.0
LEASE_MARGIN: Final = timedelta(seconds=10)
"""Beyond the time-out of a request: for recording the outcome."""
DRAIN_SECONDS: Final = 5.0
DELIVERED_TO_THE_MINUTE: Final = timedelta(minutes=1)
HEADERS: Final = {"content-type": "application/json", "user-agent": "gongji-webhooks/1"}


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is sent at once."""

    at_once: int
    """Requests of this process."""
    each: int
    """Requests to one receiver, of all processes."""
    of_owner: int
    """Requests to all receivers of one owner, of all processes: well below `at_once`, so that nobody's silent
    receivers keep everybody waiting."""
    timeout: timedelta
    """Of one request."""

    @property
    def lease(self) -> timedelta:
        """How long a delivery that was taken is nobody else's."""
        return self.timeout + LEASE_MARGIN


class Sending:
    """Every replica sends; each takes what no other has.

    Args:
        work: units of work.
        client: makes the requests.
        clock: tells what is due.
        real_clock: is signed, for receivers compare it with their own.
        pace: how much is sent at once.
        queued: is set when there is something new.
    """

    def __init__(
        self,
        work: Work[WebhookRepository],
        client: Client,
        clock: Clock,
        real_clock: Clock,
        *,
        pace: Pace,
        queued: asyncio.Event,
    ) -> None:
        self._work = work
        self._client = client
        self._clock = clock
        self._real_clock = real_clock
        self._pace = pace
        self._queued = queued
        self._under_way: set[asyncio.Task[None]] = set()
        self._log = get_logger()

    async def run(self) -> None:
        """Send until cancelled; then requests under way get a moment to end."""
        failures = 0
        try:
            while True:
                self._queued.clear()
                try:
                    taken = await self.begin()
                    failures = 0
                except Exception as error:  # noqa: BLE001 - whatever it is, what is due stays due
                    taken, failures = 0, failures + 1
                    self._log.warning("webhooks are not sent", error=type(error).__name__, **trouble(error))
                    await asyncio.sleep(backoff_seconds(failures))
                await self._pause(taken)
        finally:
            await self._drain()

    async def round(self) -> int:
        """Take what is due once and send it to the end; how many requests there were."""
        taken = await self.begin()
        await asyncio.gather(*self._under_way)
        return taken

    async def begin(self) -> int:
        """Take what is due, as much as there is room for, and begin to send it; how many."""
        room = self._pace.at_once - len(self._under_way)
        if room <= 0:
            return 0
        async with self._work() as repository:
            bounds = Bounds(room, self._pace.each, self._pace.of_owner)
            claimed = await repository.claim(self._clock.now(), bounds, self._pace.lease)
        for one in claimed:
            task = asyncio.create_task(self._send(one))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return len(claimed)

    async def _pause(self, taken: int) -> None:
        """Until there is something to do: room after a full round, something new, or what became due by time."""
        news = asyncio.create_task(self._queued.wait())
        full = bool(taken) or len(self._under_way) >= self._pace.at_once
        waits: set[asyncio.Task[Any]] = {news, *(self._under_way if full else ())}
        try:
            await asyncio.wait(waits, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()

    async def _drain(self) -> None:
        if not self._under_way:
            return
        _, late = await asyncio.wait(set(self._under_way), timeout=DRAIN_SECONDS)
        for task in late:  # their leases run out, then another replica sends again
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*late, return_exceptions=True)

    async def _send(self, claimed: Claimed) -> None:
        taken = Elapsed()
        attempted_at = self._clock.now()
        try:
            outcome = await self._requested(claimed)
            WEBHOOK_ATTEMPTS.labels(outcome.result.value).inc()
            WEBHOOK_SECONDS.observe(taken.seconds)
            attempt = Attempt(
                uuid7(), claimed.webhook.webhook_id, claimed.event_id, attempted_at, outcome, int(taken.seconds * 1000)
            )
            await self.record(claimed, attempt)
        except Exception as error:  # noqa: BLE001 - the lease runs out, and it is sent again
            self._log.warning(
                "what became of a webhook's request is not recorded",
                error=type(error).__name__,
                exc_info=error,
                **_named(claimed),
            )

    async def _requested(self, claimed: Claimed) -> Outcome:
        try:
            return await self._client.post(claimed.webhook.url, self._headers(claimed), claimed.body)
        except Exception as error:  # noqa: BLE001 - whatever it is, it has to be under the rules of failures
            self._log.error("a webhook's request failed in an unexpected way", exc_info=error, **_named(claimed))
            return Outcome(Result.UNEXPECTED)

    def _headers(self, claimed: Claimed) -> dict[str, str]:
        secrets = claimed.webhook.secrets.valid(self._clock.now())
        return {**HEADERS, **signed_headers(claimed.event_id, claimed.body, secrets, self._real_clock.now())}

    async def record(self, claimed: Claimed, attempt: Attempt) -> None:
        """Keep how an attempt went, and what follows for the delivery and the webhook."""
        now, outcome = self._clock.now(), attempt.outcome
        state, next_at = fate(claimed, outcome, now, random.random())  # noqa: S311 - jitter, no secret
        async with self._work() as repository:
            webhook = await repository.get(claimed.webhook.webhook_id)
            if webhook is not None and following(webhook, outcome, now) != webhook:
                # Most of the time nothing changes, and nobody waits for the row.
                webhook = await repository.get(claimed.webhook.webhook_id, lock=True)
            ours = await repository.finish(attempt, claimed.attempts, state, next_at)
            if ours and webhook is not None and not claimed.is_test:
                await self._follow(repository, webhook, outcome, now)

    async def _follow(self, repository: WebhookRepository, webhook: Webhook, outcome: Outcome, now: datetime) -> None:
        after = following(webhook, outcome, now)
        if after == webhook:
            return
        await repository.save(after)
        if after.events_told > webhook.events_told:
            await repository.outbox.add([_switched_off(after, now)])
            reason = after.off_reason.value if after.off_reason else ""
            WEBHOOKS_SWITCHED_OFF.labels(reason).inc()
            self._log.error(
                "a webhook was switched off", webhook_id=str(after.webhook_id), owner=after.owner, reason=reason
            )


def fate(claimed: Claimed, outcome: Outcome, now: datetime, jitter: float) -> tuple[DeliveryState, datetime | None]:
    """What becomes of a delivery after an attempt, and when it is tried again."""
    if outcome.is_delivered:
        return DeliveryState.DELIVERED, None
    if claimed.is_test:
        return DeliveryState.GIVEN_UP, None
    again = next_attempt_at(claimed.queued_at, claimed.tries, outcome.retry_after, now, jitter)
    return (DeliveryState.QUEUED, again) if again else (DeliveryState.GIVEN_UP, None)


def following(webhook: Webhook, outcome: Outcome, now: datetime) -> Webhook:
    """The webhook after an attempt: how it is doing, and whether it is off."""
    after = replace(webhook, health=webhook.health.after(outcome, now))
    if outcome.is_delivered:
        told_at = webhook.last_delivered_at
        is_news = told_at is None or now - told_at >= DELIVERED_TO_THE_MINUTE
        return replace(after, last_delivered_at=now) if is_news else after
    reason = off_reason(after.health, outcome, now)
    # Of attempts that end together the first switches off; one that was paused meanwhile is as its owner wants it.
    return after.switched_off(reason) if reason and webhook.is_sending else after


def _named(claimed: Claimed) -> dict[str, str]:
    return {"webhook_id": str(claimed.webhook.webhook_id), "event_id": str(claimed.event_id)}


def _switched_off(webhook: Webhook, now: datetime) -> Event:
    message = events_pb2.WebhookSwitchedOff(
        webhook_id=str(webhook.webhook_id),
        sequence=webhook.events_told,
        owner=webhook.owner,
        reason=OFF_REASONS[webhook.off_reason or OffReason.LASTING_FAILURE],
    )
    message.failing_since.FromDatetime(webhook.health.failing_since or now)
    message.switched_off_at.FromDatetime(now)
    return Event(message, str(webhook.webhook_id), now)
