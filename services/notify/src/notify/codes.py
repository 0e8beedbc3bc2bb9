"""Sending one-time codes to telephones: each at most once, and none that has run out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from prometheus_client import Counter

from kit.clock import Clock
from kit.db import Work
from kit.observability import get_logger
from notify.channels.port import Adapter, Outgoing, UndeliveredError
from notify.domain.channels import Channel
from notify.domain.codes import TEMPLATE, IssuedCode, is_stale
from notify.domain.notices import code_params
from notify.domain.planning import DEFAULT_LANGUAGE
from notify.rendering import Said, Texts
from notify.repository import Repository
from notify.service import CONSUMER

CODES: Final = Counter("gongji_notify_codes_total", "One-time codes, by what became of them.", ["outcome"])


@dataclass(frozen=True, slots=True)
class CodeToSend:
    """A code as an event brought it, sealed."""

    event_id: UUID
    expires_at: datetime
    open: Callable[[], IssuedCode]
    """Opens it, or raises."""


class CodeService:
    """Sends codes."""

    def __init__(self, work: Work[Repository], adapter: Adapter, clock: Clock, texts: Texts) -> None:
        self._work = work
        self._adapter = adapter
        self._clock = clock
        self._texts = texts
        self._log = get_logger()

    async def send(self, codes: Sequence[CodeToSend]) -> None:
        """Send these codes, unless their events came before or they have run out. What `open` raises passes.

        That they came is committed first: after a crash a code is missing and a new one is asked for, but none is sent
        twice. A message service that fails does not hold up the events behind.
        """
        now = self._clock.now()
        # What ran out stays sealed: its key may be gone for long when a topic is read again from its beginning.
        opened = {one.event_id: one.open() for one in codes if not is_stale(one.expires_at, now)}
        CODES.labels("STALE").inc(sum(is_stale(one.expires_at, now) for one in codes))
        if not opened:
            return
        async with self._work() as repository:
            first = await repository.inbox.first_time(CONSUMER, list(opened))
            people = await repository.people({issued.psn_no for issued in opened.values()})
        for event_id, issued in opened.items():
            if event_id in first:
                person = people.get(issued.psn_no)
                await self._send(issued, person.language if person else DEFAULT_LANGUAGE)

    async def _send(self, issued: IssuedCode, language: str) -> None:
        outcome = await self._outcome(issued, language)
        CODES.labels(outcome).inc()
        self._log.info(
            "one-time code", outcome=outcome, verification_id=str(issued.verification_id), psn_no=issued.psn_no
        )

    async def _outcome(self, issued: IssuedCode, language: str) -> str:
        if is_stale(issued.expires_at, self._clock.now()):
            return "STALE"
        try:
            await self._adapter.send(_outgoing(issued, self._said(issued, language)))
        except UndeliveredError as error:
            self._log.error("a one-time code was not sent", verification_id=str(issued.verification_id), why=error.why)
            return "UNDELIVERED"
        return "SENT"

    def _said(self, issued: IssuedCode, language: str) -> Said:
        params = code_params(issued.purpose, issued.code, issued.expires_at)
        return self._texts.renderer(language).said(TEMPLATE, params, Channel.SMS)


def _outgoing(issued: IssuedCode, said: Said) -> Outgoing:
    return Outgoing(
        delivery_id=issued.verification_id,
        channel=Channel.SMS,
        template=said.template,
        language=said.language,
        address=issued.tel,
        title=said.title,
        body=said.body,
        params=said.params,
    )
