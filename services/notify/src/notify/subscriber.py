"""From events to the service."""

from collections.abc import Sequence
from typing import Final

from kit.events import Envelope
from notify.codec import fact_of
from notify.service import MessageService, Told

TOPICS: Final = ("account-events-v1", "binding-events-v1")


class Subscriber:
    """Takes in batches of both topics; the handler of the consumer group."""

    def __init__(self, service: MessageService) -> None:
        self._service = service

    async def __call__(self, envelopes: Sequence[Envelope]) -> None:
        """Tell people of these events."""
        await self._service.tell([_told(envelope) for envelope in envelopes])


def _told(envelope: Envelope) -> Told:
    return Told(envelope.id, envelope.time, fact_of(envelope.message))
