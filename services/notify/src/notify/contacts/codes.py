"""Sending the codes that verify contacts: each at most once, and none that has run out.

A code is kept, sealed, by the transaction that answers the request, and taken from there by one of the replicas, which
wipes it as it takes it. So a repeated request sends no second one, and a crash in between costs a code, never two: the
person asks for another. Codes count against bounds, so one that was not even tried, because its channel is left alone,
is given back and waits for as long as it is good for something.

It is no delivery: trying for hours, quiet hours, daily bounds and receipts are for notices.
"""

import asyncio
from typing import Final

from kit.backoff import backoff_seconds
from kit.clock import Clock, Elapsed
from kit.db import Work
from kit.db_errors import trouble
from kit.observability import get_logger
from notify.channels.guarded import LeftAloneError
from notify.channels.port import Adapter, Outgoing, UndeliveredError
from notify.domain.channels import Channel
from notify.domain.codes import TEMPLATE, Purpose, is_stale
from notify.domain.notices import code_params
from notify.metrics import CODES
from notify.rendering import Texts
from notify.repository import Repository
from notify.repository.contacts import WaitingCode

LOOKS_EVERY_SECONDS: Final = 0.5
BATCH: Final = 20
STOP_SECONDS: Final = 10.0
_MOST_WAIT_SECONDS: Final = 30.0


class ContactCodes:
    """Sends what waits, in the background of every replica."""

    def __init__(
        self,
        work: Work[Repository],
        adapter: Adapter,
        texts: Texts,
        clock: Clock,
        *,
        looks_every_seconds: float = LOOKS_EVERY_SECONDS,
    ) -> None:
        self._work = work
        self._looks_every_seconds = looks_every_seconds
        self._adapter = adapter
        self._texts = texts
        self._clock = clock
        self._rests: dict[Channel, tuple[Elapsed, float]] = {}
        self._log = get_logger()

    async def run(self) -> None:
        """Send until cancelled; no failure ends it, and what was taken by then is still sent."""
        failures = 0
        while True:
            failures = 0 if await self._succeeds() else failures + 1
            longer = backoff_seconds(failures, first_seconds=1.0, most_seconds=_MOST_WAIT_SECONDS) if failures else 0.0
            await asyncio.sleep(self._looks_every_seconds + longer)

    async def _succeeds(self) -> bool:
        sending = asyncio.ensure_future(self.send_waiting())
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            await asyncio.wait([sending], timeout=STOP_SECONDS)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, what waits still waits
            self._log.warning("codes of contacts cannot be taken", error=type(error).__name__, **trouble(error))
            return False
        return True

    async def send_waiting(self) -> int:
        """Send the codes that wait, so many at a time; how many were taken."""
        async with self._work() as repository:
            taken = await repository.take_codes(BATCH, self._resting())
        for code_id in taken.unopened:
            CODES.labels("UNOPENED").inc()
            self._log.error("a contact's code cannot be opened, and is gone", code_id=str(code_id))
        await asyncio.gather(*(self._send(code) for code in taken.codes))
        return len(taken.codes)

    def _resting(self) -> list[Channel]:
        """The channels whose other side is left alone now; by real time, as their breakers have it."""
        return [channel for channel, (since, seconds) in self._rests.items() if since.seconds < seconds]

    async def _send(self, code: WaitingCode) -> None:
        try:
            outcome = await self._outcome(code)
        except LeftAloneError as error:
            self._rests[code.channel] = Elapsed(), error.retry_after_seconds or LOOKS_EVERY_SECONDS
            async with self._work() as repository:
                await repository.give_back_code(code)
            return
        CODES.labels(outcome).inc()
        self._log.info(
            "code of a contact",
            outcome=outcome,
            code_id=str(code.code_id),
            channel=code.channel.value,
            psn_no=code.psn_no,
        )

    async def _outcome(self, code: WaitingCode) -> str:
        if is_stale(code.expires_at, self._clock.now()):
            return "STALE"
        try:
            await self._adapter.send(self._outgoing(code))
        except LeftAloneError:
            raise
        except UndeliveredError as error:
            self._log.error("a contact's code was not sent", code_id=str(code.code_id), why=error.why)
            return "UNDELIVERED"
        except Exception as error:  # noqa: BLE001 - one code's fault must not lose the others that were taken with it
            self._log.error("a contact's code was not sent", code_id=str(code.code_id), why=type(error).__name__)
            return "UNDELIVERED"
        return "SENT"

    def _outgoing(self, code: WaitingCode) -> Outgoing:
        params = code_params(Purpose.CONTACT, code.code, code.expires_at)
        said = self._texts.said(code.language, TEMPLATE, params, code.channel)
        return Outgoing(
            delivery_id=code.code_id,
            channel=code.channel,
            template=said.template,
            language=said.language,
            address=code.address,
            title=said.title,
            body=said.body,
            params=said.params,
        )
