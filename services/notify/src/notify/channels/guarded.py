"""Around every adapter: one time-out, so many at once, and a rest for the other side when it keeps failing."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from kit.circuit import CircuitBreaker, CircuitOpen
from notify.channels.policy import Policy
from notify.channels.port import Accepted, Adapter, AddressBusyError, Outgoing, UndeliveredError
from notify.domain.channels import Channel
from notify.metrics import CHANNEL_SECONDS, CHANNEL_SENDS, CHANNEL_UNDER_WAY


class LeftAloneError(UndeliveredError):
    """The message was not even tried: the other side rests, or every line to it is busy. It counts as no attempt."""


class _Troubled(Exception):
    """The other side failed, whoever the message was for."""

    def __init__(self, error: UndeliveredError) -> None:
        self.error = error


class Guarded:
    """An adapter that keeps its channel's policy."""

    def __init__(
        self,
        channel: Channel,
        adapter: Adapter,
        policy: Policy,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel = channel.value
        self._adapter = adapter
        self._policy = policy
        self._breaker = CircuitBreaker(
            failures=policy.breaker_failures, rest_seconds=policy.breaker_rest_seconds, ticks=ticks
        )
        self._under_way = CHANNEL_UNDER_WAY.labels(channel.value)
        self._seconds = CHANNEL_SECONDS.labels(channel.value)
        self._lines = asyncio.Semaphore(policy.concurrency)

    async def send(self, outgoing: Outgoing) -> Accepted:
        """See `Adapter.send`; takes at most twice the policy's time-out.

        Raises:
            LeftAloneError: it was not tried.
        """
        try:
            async with self._turn():
                accepted = await self._unless_resting(outgoing)
        except UndeliveredError as error:
            self._count(_outcome(error))
            raise
        self._count("ACCEPTED")
        return accepted

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One of the lines. Who waited long has the whole time-out then: being late for us is no fault of theirs."""
        try:
            async with asyncio.timeout(self._policy.timeout_seconds):
                await self._lines.acquire()
        except TimeoutError:
            raise LeftAloneError("every line is busy", is_final=False, retry_after_seconds=1.0) from None
        try:
            yield
        finally:
            self._lines.release()

    async def _unless_resting(self, outgoing: Outgoing) -> Accepted:
        try:
            with self._breaker.guard(_Troubled), self._under_way.track_inprogress(), self._seconds.time():
                answer = await self._answer(outgoing)
        except CircuitOpen as error:
            rest_seconds = error.retry_after_seconds
            raise LeftAloneError(
                "it failed too often in a row", is_final=False, retry_after_seconds=rest_seconds
            ) from None
        except _Troubled as troubled:
            raise troubled.error from None
        if isinstance(answer, UndeliveredError):
            raise answer
        return answer

    async def _answer(self, outgoing: Outgoing) -> Accepted | UndeliveredError:
        """What the other side said; a refusal of one message or address is an answer, and shows that it is well."""
        try:
            async with asyncio.timeout(self._policy.timeout_seconds):
                return await self._adapter.send(outgoing)
        except TimeoutError:
            late = UndeliveredError(f"no answer within {self._policy.timeout_seconds:g} s", is_final=False)
            raise _Troubled(late) from None
        except UndeliveredError as error:
            if error.is_final or isinstance(error, AddressBusyError):
                return error
            raise _Troubled(error) from None

    def _count(self, outcome: str) -> None:
        CHANNEL_SENDS.labels(self._channel, outcome).inc()


def _outcome(error: UndeliveredError) -> str:
    if isinstance(error, LeftAloneError):
        return "LEFT_ALONE"
    return "REFUSED" if error.is_final else "FAILED"
