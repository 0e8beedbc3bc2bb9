"""From events to what is queued for webhooks; the handler of a consumer group of its own."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from kit.clock import Clock
from kit.db import Work
from kit.events import Envelope
from notify.domain.webhooks import Listening, wants
from notify.webhooks.bodies import body_of, fixmedins_code_of
from notify.webhooks.repository import NewDelivery, NewEvent, WebhookRepository

CONSUMER: Final = "notify-webhooks"
"""The consumer group. Never changed: all would be read again, which tells nobody twice but takes its time."""
TOPICS: Final = (
    "settlement-events-v1",
    "account-events-v1",
    "binding-events-v1",
    "identity-events-v1",
    "notify-events-v1",
)


class Intake:
    """Queues events for the webhooks that want them.

    Each event is queued once for each webhook, by the key of the delivery. What occurred longer ago than deliveries are
    kept is passed over, so that reading a topic again from its beginning sends nothing twice.
    """

    def __init__(self, work: Work[WebhookRepository], clock: Clock, keep: timedelta, queued: asyncio.Event) -> None:
        self._work = work
        self._clock = clock
        self._keep = keep
        self._queued = queued

    async def __call__(self, envelopes: Sequence[Envelope]) -> None:
        """Queue these events; most of the time nobody wants them."""
        now = self._clock.now()
        async with self._work() as repository:
            listening = await repository.listening()
            fresh = [envelope for envelope in envelopes if envelope.time > now - self._keep]
            wanted = [one for envelope in fresh for one in _deliveries(envelope, listening)]
            queued = await repository.queue(wanted, now)
        if queued:
            self._queued.set()


def _deliveries(envelope: Envelope, listening: Sequence[Listening]) -> list[NewDelivery]:
    ours = [one for one in listening if envelope.type in one.event_types]
    if not ours:
        return []
    code = fixmedins_code_of(envelope.message)
    takers = [one for one in ours if wants(one, envelope.type, code, envelope.time)]
    if not takers:
        return []
    event = NewEvent(envelope.id, envelope.type, envelope.time, body_of(envelope))
    return [NewDelivery(one.webhook_id, event) for one in takers]
