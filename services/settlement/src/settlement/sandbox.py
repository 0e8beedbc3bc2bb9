"""Sandbox institutions: their bills time out, lose their answers, are declined or slow, as their amounts say."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import Final, Protocol, TypeVar

from gongji.settlement.v1 import settlement_pb2 as pb2
from kit.observability import get_logger
from settlement.domain.reasons import VisitRefusedError
from settlement.domain.sandbox import Trick, declined, trick_of

SLOW_SECONDS: Final = 5.0
T = TypeVar("T")

_log = get_logger()


class Asked(Protocol):
    """A request about a bill; `pb2.SettleRequest` and its like."""

    @property
    def fixmedins_code(self) -> str: ...  # noqa: D102 - as in the contract
    @property
    def msgid(self) -> str: ...  # noqa: D102
    @property
    def bill(self) -> pb2.Bill: ...  # noqa: D102


class Records(Protocol):
    """Where it is looked up which msgids have a record."""

    async def known(self, fixmedins_code: str, msgids: Collection[str]) -> set[str]:
        """Those of these msgids that are answered from a record."""
        ...


class Sandbox:
    """Plays the tricks that are ordered.

    A msgid that has a record is answered from it without any, so that an integrator can try what follows a failure.

    Args:
        institutions: who may order tricks; nobody in production.
        records: where known msgids are.
        slow_seconds: how long SLOW takes.
    """

    def __init__(self, institutions: frozenset[str], records: Records, slow_seconds: float = SLOW_SECONDS) -> None:
        self._institutions = institutions
        self._records = records
        self._slow_seconds = slow_seconds

    def refusal_of(self, asked: Asked) -> VisitRefusedError | None:
        """Why a bill is declined; None if it is not."""
        return declined() if self._ordered(asked) is Trick.DECLINE else None

    async def play(self, asked: Sequence[Asked], work: Callable[[], Awaitable[T]]) -> T:
        """The answer of `work`, unless one of these bills orders that there be none."""
        lost = await self.before(asked)
        answer = await work()
        if lost:
            await for_ever()
        return answer

    async def before(self, asked: Sequence[Asked]) -> set[str]:
        """Let pass what is ordered to happen before the work; the msgids whose answers are to be lost after it."""
        ordered = await self._orders(asked)
        if not ordered:
            return set()
        _log.info("sandbox", tricks=sorted({str(trick) for _, trick in ordered}))
        tricks = {trick for _, trick in ordered}
        if Trick.TIME_OUT in tricks:
            await for_ever()
        if Trick.SLOW in tricks:
            await asyncio.sleep(self._slow_seconds)
        return {msgid for msgid, trick in ordered if trick is Trick.LOSE_REPLY}

    async def incoming(
        self, requests: AsyncIterator[pb2.SettleStreamRequest], lost: set[str]
    ) -> AsyncIterator[pb2.SettleStreamRequest]:
        """The messages of a stream, each when it may be worked on; `lost` gets msgids whose results are not to come."""
        async for request in requests:
            lost |= await self.before(request.items)
            yield request

    async def _orders(self, asked: Sequence[Asked]) -> list[tuple[str, Trick]]:
        ordered = {each.msgid: trick for each in asked if (trick := self._ordered(each)) is not None}
        ordered = {msgid: trick for msgid, trick in ordered.items() if trick is not Trick.DECLINE}
        if not ordered:
            return []
        known = await self._records.known(asked[0].fixmedins_code, ordered)
        return [(msgid, trick) for msgid, trick in ordered.items() if msgid not in known]

    def _ordered(self, asked: Asked) -> Trick | None:
        if asked.fixmedins_code not in self._institutions:
            return None
        return trick_of(asked.bill.medfee_sumamt)


async def for_ever() -> None:
    """Until the call's deadline."""
    await asyncio.Event().wait()
