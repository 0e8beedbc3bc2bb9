"""From events to what is queued for webhooks; the handler of a consumer group of its own."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from gongji.identity.events.v1.events_pb2 import InstitutionChanged
from kit.clock import Clock
from kit.db import Work
from kit.events import Envelope
from notify.domain.webhooks import Listening, Standing, wants
from notify.webhooks.bodies import body_of, owner_of
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

    What somebody wants is taken in once, by the inbox: so an event that an operator dropped stays dropped, and a topic
    that is read again from its beginning sends nothing twice. What nobody wants leaves no trace. What occurred longer
    ago than deliveries are kept is passed over.
    """

    def __init__(self, work: Work[WebhookRepository], clock: Clock, keep: timedelta, queued: asyncio.Event) -> None:
        self._work = work
        self._clock = clock
        self._keep = keep
        self._queued = queued

    async def __call__(self, envelopes: Sequence[Envelope]) -> None:
        """Queue these events; most of the time nobody wants them. Also learn who is suspended."""
        now = self._clock.now()
        standings = [_standing(one, one.message) for one in envelopes if isinstance(one.message, InstitutionChanged)]
        async with self._work() as repository:
            listening = await repository.listening()
            takers = {one.id: (one, _takers(one, listening)) for one in envelopes if one.time > now - self._keep}
            wanted = [event_id for event_id, (_, of) in takers.items() if of]
            first = await repository.inbox.first_time(CONSUMER, wanted)
            new = [one for event_id in wanted if event_id in first for one in _deliveries(*takers[event_id])]
            queued = await repository.queue(new, now)
            await repository.learn(standings)
        if queued:
            self._queued.set()


def _standing(envelope: Envelope, told: InstitutionChanged) -> Standing:
    institution = told.institution
    return Standing(institution.fixmedins_code, institution.suspended, envelope.epoch, told.sequence)


def _takers(envelope: Envelope, listening: Sequence[Listening]) -> list[Listening]:
    ours = [one for one in listening if envelope.type in one.event_types]
    if not ours:
        return []
    owner = owner_of(envelope.message)
    return [one for one in ours if wants(one, envelope.type, owner, envelope.time)]


def _deliveries(envelope: Envelope, takers: Sequence[Listening]) -> list[NewDelivery]:
    event = NewEvent(envelope.id, envelope.type, envelope.time, body_of(envelope))
    return [NewDelivery(one.webhook_id, event) for one in takers]
