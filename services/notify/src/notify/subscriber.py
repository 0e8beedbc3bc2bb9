"""From events to the service."""

from collections.abc import Sequence
from datetime import UTC
from functools import partial
from typing import Final

from gongji.identity.events.v1 import events_pb2
from kit.events import Envelope
from notify.code_codec import CodeOpener
from notify.codec import fact_of
from notify.codes import CodeService, CodeToSend
from notify.service import MessageService, Told

TOPICS: Final = ("account-events-v1", "binding-events-v1", "identity-events-v1")
UNTOLD: Final = frozenset(
    f"gongji.identity.events.v1.{name}"
    for name in ("PersonVerified", "PersonCorrected", "EnrolmentChanged", "PersonDied", "InstitutionChanged")
)
"""Events that nobody is told of; they leave no trace here, not even in the inbox."""


class Subscriber:
    """Takes in batches of the topics; the handler of the consumer group."""

    def __init__(self, service: MessageService, codes: CodeService, opener: CodeOpener) -> None:
        self._service = service
        self._codes = codes
        self._open = opener

    async def __call__(self, envelopes: Sequence[Envelope]) -> None:
        """Tell people of these events."""
        told, codes = [], []
        for envelope in envelopes:
            if isinstance(envelope.message, events_pb2.VerificationCodeIssued):
                expires_at = envelope.message.expires_at.ToDatetime(tzinfo=UTC)
                codes.append(CodeToSend(envelope.id, expires_at, partial(self._open, envelope.message)))
            elif envelope.type not in UNTOLD:
                told.append(_told(envelope))
        if told:
            await self._service.tell(told)
        if codes:
            await self._codes.take_in(codes)


def _told(envelope: Envelope) -> Told:
    return Told(envelope.id, envelope.time, fact_of(envelope.message))
