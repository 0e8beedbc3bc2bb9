"""Writing messages once per event and addressee, and reading them; one transaction each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from kit.db import Work
from kit.ids import uuid7
from notify.channels.log import Channel
from notify.domain.facts import Fact
from notify.domain.notices import notices
from notify.rendering import Renderer, Texts
from notify.repository import Cursor, NewMessage, Repository

CONSUMER = "notify"
"""The consumer group, and the name under which the inbox remembers events. Never changed: all would be told again."""


@dataclass(frozen=True, slots=True)
class Told:
    """A fact as an event brought it."""

    event_id: UUID
    occurred_at: datetime
    fact: Fact


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a person's messages."""

    messages: tuple[NewMessage, ...]
    """Newest first."""
    next: Cursor | None
    """Where the next page begins; None at the end."""


class MessageService:
    """What notify does."""

    def __init__(self, work: Work[Repository], channel: Channel, texts: Texts) -> None:
        self._work = work
        self._channel = channel
        self._texts = texts

    async def tell(self, told: Sequence[Told]) -> None:
        """Write the messages about these facts, in this order, each once however often its event comes."""
        async with self._work() as repository:
            first = await repository.inbox.first_time(CONSUMER, [one.event_id for one in told])
            fresh = {one.event_id: one for one in told if one.event_id in first}
            messages = [message for one in fresh.values() for message in _messages(one, self._texts.renderer())]
            kept = await repository.add_messages(messages)
        # Only now they are safe. A crash in between costs a delivery, never a message.
        await self._channel.deliver([message for message in messages if message.message_id in kept])

    async def read(self, psn_no: str, page_size: int, before: Cursor | None = None) -> Page:
        """A page of a person's messages, newest first."""
        async with self._work() as repository:
            found = await repository.newest_messages(psn_no, page_size + 1, before)
        shown = found[:page_size]
        return Page(tuple(stored.message for stored in shown), shown[-1].cursor if len(found) > page_size else None)


def _messages(told: Told, renderer: Renderer) -> list[NewMessage]:
    return [
        NewMessage(uuid7(), told.event_id, told.occurred_at, renderer.render(notice)) for notice in notices(told.fact)
    ]
