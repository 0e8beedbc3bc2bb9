"""Settling a stream of bills: what has come is settled in lists, while the next lists fill."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import suppress
from typing import Final

from gongji.settlement.v1 import settlement_pb2 as pb2
from settlement.bulk import Bulk, end_of_run
from settlement.bulk_codec import BulkRequest, Refuse, result_message
from settlement.commands import Command

UNANSWERED_MAX: Final = 2000
"""Bills of one stream that came and have no result on its way; the stream is not read beyond it."""
LIST_MAX: Final = 250
LISTS_MAX: Final = 3
"""Lists of one stream that are in the lanes at a time; others get their turn between them."""
RESULTS_MAX: Final = 500
"""Results in one message."""


class BulkStream:
    """One stream of bills of one institution.

    Args:
        bulk: settles lists of bills.
        institution: the caller; bills of another one are refused.
        refuse: what else refuses a bill without a look at anything.
    """

    def __init__(self, bulk: Bulk, institution: str, refuse: Refuse = lambda _: None) -> None:
        self._refuse = refuse
        self._bulk = bulk
        self._institution = institution
        self._waiting: list[Command] = []
        self._lists: set[asyncio.Task[None]] = set()
        self._results: list[pb2.SettleResult] = []
        self._unanswered = 0
        self._fault: BaseException | None = None
        self._told = asyncio.Event()
        self._room = asyncio.Event()

    async def results(
        self, requests: AsyncIterator[pb2.SettleStreamRequest]
    ) -> AsyncGenerator[Sequence[pb2.SettleResult], None]:
        """What became of the bills, some at a time, as it becomes known.

        When the requests end with an exception, it is raised here after the results of all that came before it. When
        whoever takes the results goes away, lists that wait are taken back; those on their way are settled.
        """
        reader = asyncio.create_task(self._read(requests))
        reader.add_done_callback(lambda _: self._told.set())
        try:
            async for some in self._known(reader):
                yield some
            await reader
        finally:
            self._waiting.clear()
            await _end([reader, *self._lists])
            self._count(-self._unanswered)

    async def _known(self, reader: "asyncio.Task[None]") -> AsyncIterator[Sequence[pb2.SettleResult]]:
        while True:
            self._told.clear()
            while some := self._results[:RESULTS_MAX]:
                del self._results[: len(some)]
                yield some
                # Only now: what its reader does not take is not known to be on its way, and keeps its place.
                self._count(-len(some))
                self._room.set()
            if self._fault is not None:
                raise self._fault
            if reader.done() and not self._unanswered:
                return
            if not self._results:
                await self._told.wait()

    async def _read(self, requests: AsyncIterator[pb2.SettleStreamRequest]) -> None:
        async for request in requests:
            asked = BulkRequest(request.items, self._institution, self._refuse)
            self._count(len(request.items))
            self._waiting += asked.commands
            self._tell(asked.refusals)
            self._start()
            while self._is_full():
                self._room.clear()
                await self._room.wait()

    def _is_full(self) -> bool:
        if self._bulk.unanswered >= self._bulk.most_in_streams:
            return self._unanswered > 0  # one message at a time
        return self._unanswered >= UNANSWERED_MAX

    def _count(self, bills: int) -> None:
        self._unanswered += bills
        self._bulk.unanswered += bills

    def _start(self) -> None:
        while self._waiting and len(self._lists) < LISTS_MAX:
            end = end_of_run(self._waiting, 0, LIST_MAX)
            task = asyncio.create_task(self._settle(self._waiting[:end]))
            del self._waiting[:end]
            self._lists.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._lists.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fault = error
            self._told.set()
        self._start()

    async def _settle(self, commands: Sequence[Command]) -> None:
        answers = await self._bulk.run(commands)
        self._tell(result_message(each.order.msgid, answer) for each, answer in zip(commands, answers, strict=True))

    def _tell(self, results: Iterable[pb2.SettleResult]) -> None:
        self._results += results
        self._told.set()


async def _end(tasks: Iterable["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, Exception):
            await task
