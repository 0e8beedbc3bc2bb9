"""Sending one-time codes to telephones: each at most once, and none that has run out.

The consumer takes codes in and goes on; they wait in this process and are sent in the background, a few at once. So a
gateway that is slow or away delays codes alone, and what waits when a process dies is lost: a new one is asked for.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from kit.clock import Clock
from kit.db import Work
from kit.observability import get_logger
from notify.channels.guarded import LeftAloneError
from notify.channels.port import Adapter, Outgoing, UndeliveredError
from notify.domain.channels import Channel
from notify.domain.codes import TEMPLATE, IssuedCode, is_stale
from notify.domain.notices import code_params
from notify.domain.planning import DEFAULT_LANGUAGE
from notify.metrics import CODES, CODES_WAITING
from notify.rendering import Said, Texts
from notify.repository import Repository
from notify.service import CONSUMER

LINES: Final = 8
"""How many are sent at once; the channel itself takes a few more, so that notices get their turn beside codes."""
MOST_WAITING: Final = 10_000
"""Far more than a gateway that answers takes in the five minutes that a code is good for."""
STOP_SECONDS: Final = 10.0
"""How long what waits is still sent when the process stops."""


@dataclass(frozen=True, slots=True)
class CodeToSend:
    """A code as an event brought it, sealed."""

    event_id: UUID
    expires_at: datetime
    open: Callable[[], IssuedCode]
    """Opens it, or raises."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A code that was taken in and goes out once."""

    issued: IssuedCode
    language: str
    """Of its owner."""


class CodeService:
    """Takes codes in, and sends them."""

    def __init__(
        self,
        work: Work[Repository],
        adapter: Adapter,
        clock: Clock,
        texts: Texts,
        *,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._work = work
        self._adapter = adapter
        self._clock = clock
        self._texts = texts
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue(most_waiting)
        self._log = get_logger()

    async def take_in(self, codes: Sequence[CodeToSend]) -> None:
        """Let these codes wait to be sent, unless their events came before or they have run out.

        That they came is committed first: after a crash a code is missing and a new one is asked for, but none is sent
        twice. Nothing is sent here, so a message service that fails does not hold up the events behind. What `open`
        raises passes.
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
                self._let_wait(_Waiting(issued, person.language if person else DEFAULT_LANGUAGE))

    async def run(self) -> None:
        """Send until cancelled; what waits then is sent if that is soon done."""
        lines = [asyncio.create_task(self._line()) for _ in range(LINES)]
        try:
            await asyncio.wait(lines)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._waiting.join()
            for line in lines:
                line.cancel()
            await asyncio.gather(*lines, return_exceptions=True)
            if self._waiting.qsize():
                self._log.error("one-time codes were not sent: the process stops", codes=self._waiting.qsize())

    async def send_waiting(self) -> None:
        """Send all that wait, where nothing runs in the background."""
        while not self._waiting.empty():
            await self._next()

    def _let_wait(self, one: _Waiting) -> None:
        try:
            self._waiting.put_nowait(one)
        except asyncio.QueueFull:
            self._not_sent(one.issued, "too many wait")
            self._told(one.issued, "UNDELIVERED")
        CODES_WAITING.set(self._waiting.qsize())

    async def _line(self) -> None:
        while True:
            await self._next()

    async def _next(self) -> None:
        one = await self._waiting.get()
        try:
            self._told(one.issued, await self._outcome(one))
        finally:
            self._waiting.task_done()
            CODES_WAITING.set(self._waiting.qsize())

    async def _outcome(self, one: _Waiting) -> str:
        """What became of it; one that nobody tried waits on, for as long as it is good for something."""
        while not is_stale(one.issued.expires_at, self._clock.now()):
            try:
                await self._adapter.send(_outgoing(one.issued, self._said(one.issued, one.language)))
            except LeftAloneError as error:
                await asyncio.sleep(error.retry_after_seconds or 1.0)
            except UndeliveredError as error:
                self._not_sent(one.issued, error.why)
                return "UNDELIVERED"
            except Exception as error:  # noqa: BLE001 - one code's fault must not lose those behind it
                self._not_sent(one.issued, type(error).__name__)  # not its words, which may have the code in them
                return "UNDELIVERED"
            else:
                return "SENT"
        return "STALE"

    def _not_sent(self, issued: IssuedCode, why: str) -> None:
        self._log.error("a one-time code was not sent", verification_id=str(issued.verification_id), why=why)

    def _told(self, issued: IssuedCode, outcome: str) -> None:
        CODES.labels(outcome).inc()
        self._log.info(
            "one-time code", outcome=outcome, verification_id=str(issued.verification_id), psn_no=issued.psn_no
        )

    def _said(self, issued: IssuedCode, language: str) -> Said:
        params = code_params(issued.purpose, issued.code, issued.expires_at)
        return self._texts.said(language, TEMPLATE, params, Channel.SMS)


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
