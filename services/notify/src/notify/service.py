"""Writing messages once per event and addressee, and reading them; one transaction each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from kit.db import Work
from kit.ids import uuid7
from notify.channels.log import Channel
from notify.dispatch import Dispatch, Stated
from notify.domain.facts import Fact
from notify.domain.notices import Notice, notices
from notify.domain.planning import Recipient
from notify.rendering import Texts
from notify.repository import Cursor, NewMessage, Repository, StoredMessage
from notify.watching import Watchers

CONSUMER = "notify"
"""The consumer group, and the name under which the inbox remembers events.

Under another name all events that are still in the topics are taken in once more. Nobody is told of them twice, for
messages and deliveries have keys of their own; one-time codes that have not run out would be sent again."""

MOST_UNREAD: Final = 1000
"""Unread messages are counted up to here."""


@dataclass(frozen=True, slots=True)
class Told:
    """A fact as an event brought it."""

    event_id: UUID
    occurred_at: datetime
    fact: Fact


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a person's messages."""

    messages: tuple[StoredMessage, ...]
    """Newest first."""
    next: Cursor | None
    """Where the next page begins; None at the end."""


class MessageService:
    """What notify does."""

    def __init__(
        self,
        work: Work[Repository],
        channel: Channel,
        texts: Texts,
        dispatch: Dispatch | None = None,
        watchers: Watchers | None = None,
        *,
        consumer: str = CONSUMER,
    ) -> None:
        self._work = work
        self._channel = channel
        self._texts = texts
        self._dispatch = dispatch
        self._watchers = watchers
        self._consumer = consumer

    async def tell(self, told: Sequence[Told]) -> None:
        """Write the messages about these facts, in this order, each once however often its event comes.

        What goes out elsewhere is queued in the same transaction; nothing is sent here.
        """
        async with self._work() as repository:
            first = await repository.inbox.first_time(self._consumer, [one.event_id for one in told])
            fresh = {one.event_id: one for one in told if one.event_id in first}
            owed = [(one, notice) for one in fresh.values() for notice in notices(one.fact)]
            people = await repository.people({notice.addressee for _, notice in owed}) if owed else {}
            stated, messages = self._worded(owed, people)
            kept = await repository.add_messages(messages)
            # What the inbox has had before was told before, too, whatever has become of its deliveries since.
            new = [one for one in stated if one.message_id is None or one.message_id in kept]
            queued = await self._dispatch.queue(repository, new, people) if self._dispatch else ()
        # Only now they are safe. A crash in between costs a line of the log and a moment, never a message.
        fresh_messages = [message for message in messages if message.message_id in kept]
        await self._channel.deliver(fresh_messages)
        if self._watchers:
            self._watchers.wake(message.notice.addressee for message in fresh_messages)
        if self._dispatch and queued:
            self._dispatch.wake(queued)

    def _worded(
        self, owed: Sequence[tuple[Told, Notice]], people: Mapping[str, Recipient]
    ) -> tuple[list[Stated], list[NewMessage]]:
        """What goes out, and the messages of it that the inbox keeps, in their addressees' languages."""
        source = self._texts.renderer()
        stated, messages = [], []
        for one, notice in owed:
            person = people.get(notice.addressee)
            renderer = self._texts.renderer(person.language) if person else source
            message = NewMessage(
                uuid7(), one.event_id, one.occurred_at, renderer.render(notice), notice.kind, renderer.language
            )
            is_kept = person is None or person.keeps_in_inbox(notice.kind)
            stated.append(Stated(one.event_id, one.occurred_at, notice, message.message_id if is_kept else None))
            if is_kept:
                messages.append(message)
        return stated, messages

    async def mark_read(self, psn_no: str, message_ids: Collection[UUID], now: datetime) -> int:
        """Note that the person read these of theirs; how many are unread then, at most `MOST_UNREAD`."""
        async with self._work() as repository:
            await repository.mark_read(psn_no, message_ids, now)
            return await repository.count_unread(psn_no, MOST_UNREAD)

    async def unread(self, psn_no: str) -> int:
        """How many the person has not read, at most `MOST_UNREAD`."""
        async with self._work() as repository:
            return await repository.count_unread(psn_no, MOST_UNREAD)

    async def read(self, psn_no: str, page_size: int, before: Cursor | None = None) -> Page:
        """A page of a person's messages, newest first."""
        async with self._work() as repository:
            found = await repository.newest_messages(psn_no, page_size + 1, before)
        shown = found[:page_size]
        return Page(tuple(shown), shown[-1].cursor if len(found) > page_size else None)
