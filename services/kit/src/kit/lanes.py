"""Lists of requests that come as lists: each goes to its handler as it is, a few lists at a time.

Beside `kit.batcher`, which makes lists of single requests. Nothing is gathered here, and no request has a task or a
future of its own, so that a list of hundreds costs what its handler costs.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from kit import tracing
from kit.batcher import FAILURES_ALONE_LIMIT, BatchHandlerError
from kit.clock import Elapsed
from kit.errors import Refusal
from kit.rpc_metrics import BATCH_SIZE, BATCH_WAIT, BATCH_WAITING, BATCH_WAITING_LIMIT

Req = TypeVar("Req")
Res = TypeVar("Res")


class _List(Generic[Req, Res]):
    __slots__ = ("answers", "keys", "requests", "since", "trace")

    def __init__(
        self, requests: Sequence[Req], keys: frozenset[Hashable], answers: "asyncio.Future[list[Res | Exception]]"
    ) -> None:
        self.requests = requests
        self.keys = keys
        self.answers = answers
        self.since = Elapsed()
        self.trace = tracing.carried()


class Lanes(Generic[Req, Res]):
    """Some lists in flight, the others wait in the order of their arrival.

    Args:
        handler: answers a list with as many results in the same order; an exception in a place is the answer there. If
            the call itself raises, it must have had no effect: each request of the list is then tried alone.
        most_in_flight: lists in flight at a time.
        max_waiting: requests in lists that wait; a list that does not find room is refused with `OVERLOADED`. The first
            that has to wait always finds room.
        key: two lists with a key in common are never in flight together, so what has a key in common is done in the
            order of arrival.
        name: for metrics.
    """

    def __init__(
        self,
        handler: Callable[[Sequence[Req]], Awaitable[Sequence[Res | Exception]]],
        most_in_flight: int,
        max_waiting: int,
        key: Callable[[Req], Hashable],
        name: str = "lanes",
    ) -> None:
        self._handler = handler
        self._most_in_flight = most_in_flight
        self._max_waiting = max_waiting
        self._key = key
        self._span_name = f"list {name}"
        self._size = BATCH_SIZE.labels(name)
        self._waited = BATCH_WAIT.labels(name)
        self._length = BATCH_WAITING.labels(name)
        BATCH_WAITING_LIMIT.labels(name).set(max_waiting)
        self._waiting: deque[_List[Req, Res]] = deque()
        self._places_taken = 0
        self._busy: set[Hashable] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def run(self, requests: Sequence[Req]) -> list[Res | Exception]:
        """An answer for each request, in their order.

        A caller that is cancelled while its list waits takes it back; once the list is on its way the work is done and
        only the answers are lost.

        Raises:
            Refusal: `OVERLOADED` when too many wait, `UNAVAILABLE` when the lanes are being drained.
        """
        if self._closed:
            raise Refusal("UNAVAILABLE", "this process is stopping; send the same again, another one takes it")
        if self._places_taken and self._places_taken + len(requests) > self._max_waiting:
            raise Refusal("OVERLOADED", "too many requests are waiting; wait a little and send the same again")
        keys = frozenset(self._key(request) for request in requests)
        waiting: _List[Req, Res] = _List(requests, keys, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._count(len(requests))
        self._start()
        try:
            return await waiting.answers
        finally:
            self._take_back(waiting)

    async def drain(self) -> None:
        """Refuse what comes from now on, and return when everything accepted before has its answers."""
        self._closed = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _count(self, requests: int) -> None:
        self._places_taken += requests
        self._length.set(self._places_taken)

    def _take_back(self, waiting: _List[Req, Res]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            self._count(-len(waiting.requests))
            self._start()

    def _start(self) -> None:
        """Start what may start; the first in the queue is never overtaken, so nothing waits for ever."""
        while self._waiting and self._may_start(self._waiting[0]):
            started = self._waiting.popleft()
            self._count(-len(started.requests))
            self._busy |= started.keys
            # In an empty context: the work outlives its caller, and belongs to nobody's request id or principal.
            task = asyncio.get_running_loop().create_task(self._work(started), context=contextvars.Context())
            self._tasks.add(task)
            task.add_done_callback(lambda done, keys=started.keys: self._done(done, keys))  # type: ignore[misc]

    def _may_start(self, first: _List[Req, Res]) -> bool:
        return len(self._tasks) < self._most_in_flight and self._busy.isdisjoint(first.keys)

    def _done(self, task: "asyncio.Task[None]", keys: frozenset[Hashable]) -> None:
        self._tasks.discard(task)
        self._busy -= keys
        self._start()

    async def _work(self, started: _List[Req, Res]) -> None:
        self._size.observe(len(started.requests))
        self._waited.observe(started.since.seconds)
        try:
            with tracing.together(self._span_name, (started.trace,)):
                answers = await self._answers(started.requests)
        except BaseException as error:
            if not started.answers.done():
                started.answers.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        if not started.answers.done():
            started.answers.set_result(answers)

    async def _answers(self, requests: Sequence[Req]) -> list[Res | Exception]:
        try:
            return await self._ask(requests)
        except BatchHandlerError:
            raise
        except Exception as error:  # noqa: BLE001 - it is the answer
            return [error] if len(requests) == 1 else await self._answers_alone(requests)

    async def _answers_alone(self, requests: Sequence[Req]) -> list[Res | Exception]:
        answers: list[Res | Exception] = []
        failures = 0
        for request in requests:
            try:
                answers += await self._ask([request])
                failures = 0
            except Exception as error:  # noqa: BLE001 - it is the answer
                answers.append(error)
                failures += 1
                if failures == FAILURES_ALONE_LIMIT:
                    return answers + [error] * (len(requests) - len(answers))
        return answers

    async def _ask(self, requests: Sequence[Req]) -> list[Res | Exception]:
        answers = list(await self._handler(requests))
        if len(answers) != len(requests):
            raise BatchHandlerError(f"{len(requests)} requests were answered with {len(answers)} results")
        return answers
