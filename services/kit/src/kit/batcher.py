"""Gathers single requests into batches, without timers.

While one batch is in flight the next one fills; an idle batcher starts at once, so a lone request never waits for
company. Where a crowd waits, a second batch may go beside the first, so that nobody stands still while somebody else
works. The answers are those of asking one by one: who shares a batch with whom never shows.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar, cast

from kit import tracing
from kit.clock import Elapsed
from kit.errors import Refusal
from kit.rpc_metrics import BATCH_SIZE, BATCH_WAIT, BATCH_WAITING, BATCH_WAITING_LIMIT

Req = TypeVar("Req")
Res = TypeVar("Res")

FAILURES_ALONE_LIMIT = 3
"""After so many failures alone in a row it is not one bad item but the thing underneath: the rest is failed at once."""


class BatchHandlerError(Exception):
    """A batch handler broke its promise of one answer per request; a fault in the code."""


class _Waiting(Generic[Req, Res]):
    __slots__ = ("answer", "has_place", "key", "request", "since", "trace")

    def __init__(self, request: Req, key: Hashable, answer: "asyncio.Future[Res]", since: float) -> None:
        self.request = request
        self.key = key
        self.answer = answer
        self.has_place = True
        self.since = since
        self.trace = tracing.carried()


class MicroBatcher(Generic[Req, Res]):
    """One queue, one batch in flight, or a few while many wait.

    Args:
        handler: gets requests in the order of their arrival and answers with as many results in the same order; an
            exception in a place is raised to that request's caller only. If the call itself raises, it must have had
            no effect: each request of the batch is then tried alone, so that a bad one fails by itself.
        max_batch: most requests in one call of the handler.
        max_waiting: most requests that wait for a batch; one more is refused with `OVERLOADED`.
        key: two requests with the same key never share a batch, and the second waits until the first is answered (None:
            any may).
        name: for metrics.
        most_in_flight: batches in flight at a time.
        crowd: how many that could start have to wait for another batch to begin beside one in flight; smaller ones cost
            more than standing still.
    """

    def __init__(
        self,
        handler: Callable[[Sequence[Req]], Awaitable[Sequence[Res | BaseException]]],
        max_batch: int,
        max_waiting: int,
        key: Callable[[Req], Hashable | None] | None = None,
        name: str = "batch",
        *,
        most_in_flight: int = 1,
        crowd: int = 1,
    ) -> None:
        self._handler = handler
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._key = key
        self._span_name = f"batch {name}"
        self._size = BATCH_SIZE.labels(name)
        self._waited = BATCH_WAIT.labels(name)
        self._length = BATCH_WAITING.labels(name)
        BATCH_WAITING_LIMIT.labels(name).set(max_waiting)
        self._clock = Elapsed()
        self._waiting: deque[_Waiting[Req, Res]] = deque()
        self._places_taken = 0  # less than the queue's length when callers have left it
        self._most_in_flight = most_in_flight
        self._crowd = crowd
        self._workers: set[asyncio.Task[None]] = set()
        self._busy: set[Hashable] = set()
        self._wanted: dict[Hashable, int] = {}
        """By key, how many wait."""
        self._ready = 0
        """Keys that are wanted and not busy: so many could start at this moment."""
        self._closed = False

    async def submit(self, request: Req) -> Res:
        """The handler's answer to this request.

        A caller that is cancelled while its request waits takes it back; once the batch is on its way the work is
        done and only the answer is lost.

        Raises:
            Refusal: `OVERLOADED` when too many wait, `UNAVAILABLE` when the batcher is being drained.
        """
        if self._closed:
            raise Refusal("UNAVAILABLE", "this process is stopping; send the request again, another one takes it")
        if self._places_taken >= self._max_waiting:
            raise Refusal("OVERLOADED", "too many requests are waiting; wait a little and send the same again")
        key = self._key(request) if self._key else None
        own: Hashable = object() if key is None else key
        waiting: _Waiting[Req, Res] = _Waiting(
            request, own, asyncio.get_running_loop().create_future(), self._clock.seconds
        )
        self._waiting.append(waiting)
        self._take_place(waiting)
        self._wake()
        try:
            return await waiting.answer
        finally:
            self._free_place(waiting)

    async def drain(self) -> None:
        """Refuse what comes from now on, and return when everything accepted before has its answer."""
        self._closed = True
        while self._workers:
            await asyncio.wait(self._workers)

    def _take_place(self, waiting: _Waiting[Req, Res]) -> None:
        self._places_taken += 1
        before = self._wanted.get(waiting.key, 0)
        self._wanted[waiting.key] = before + 1
        if not before and waiting.key not in self._busy:
            self._ready += 1

    def _free_place(self, waiting: _Waiting[Req, Res]) -> None:
        if not waiting.has_place:
            return
        waiting.has_place = False
        self._places_taken -= 1
        self._wanted[waiting.key] -= 1
        if not self._wanted[waiting.key]:
            del self._wanted[waiting.key]
            if waiting.key not in self._busy:
                self._ready -= 1

    def _wake(self) -> None:
        if self._may_begin(beside=len(self._workers)):
            # In an empty context: a batch belongs to nobody's request id or principal.
            work = asyncio.get_running_loop().create_task(self._work(), context=contextvars.Context())
            self._workers.add(work)

    def _may_begin(self, beside: int) -> bool:
        """Whether another batch may begin beside so many in flight: a crowd, and as many as are under way by then.

        Small ones would follow each other otherwise, each with as many statements as a large one.
        """
        return not beside or (beside < self._most_in_flight and self._ready >= max(self._crowd, len(self._busy)))

    async def _work(self) -> None:
        try:
            while self._may_begin(beside=len(self._workers) - 1) and (batch := self._next_batch()):
                self._size.observe(len(batch))
                self._waited.observe(self._clock.seconds - batch[0].since)
                await self._answer_keyed(batch)
        except BaseException as error:
            _fail(self._waiting, error)
            raise
        finally:
            # Not by a callback, which would come later: what is submitted in between would wait for nobody.
            self._workers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _answer_keyed(self, batch: list[_Waiting[Req, Res]]) -> None:
        keys = {waiting.key for waiting in batch}
        self._ready -= len(keys & self._wanted.keys())
        self._busy |= keys
        try:
            await self._answer(batch)
        finally:
            self._busy -= keys
            self._ready += len(keys & self._wanted.keys())

    def _next_batch(self) -> list[_Waiting[Req, Res]]:
        batch: list[_Waiting[Req, Res]] = []
        keys: set[Hashable] = set()
        passed_over: list[_Waiting[Req, Res]] = []
        while self._waiting and len(batch) < self._max_batch:
            waiting = self._waiting.popleft()
            if waiting.answer.done():  # its caller has gone
                continue
            if waiting.key in keys or waiting.key in self._busy:
                passed_over.append(waiting)
                continue
            keys.add(waiting.key)
            batch.append(waiting)
            self._free_place(waiting)
        self._waiting.extendleft(reversed(passed_over))
        self._length.set(len(self._waiting))
        return batch

    async def _answer(self, batch: list[_Waiting[Req, Res]]) -> None:
        try:
            await self._ask(batch)
        except Exception as error:  # noqa: BLE001 - it is handed to the callers, each gets it or its own
            if len(batch) == 1 or isinstance(error, BatchHandlerError):
                _fail(batch, error)
            else:
                await self._answer_alone(batch)
        except BaseException as error:
            _fail(batch, error)
            raise

    async def _answer_alone(self, batch: list[_Waiting[Req, Res]]) -> None:
        failures = 0
        for place, waiting in enumerate(batch):
            if waiting.answer.done():
                continue
            try:
                await self._ask([waiting])
                failures = 0
            except Exception as error:  # noqa: BLE001 - it is handed to the caller
                _fail([waiting], error)
                failures += 1
                if failures == FAILURES_ALONE_LIMIT:
                    _fail(batch[place + 1 :], error)
                    return

    async def _ask(self, batch: list[_Waiting[Req, Res]]) -> None:
        with tracing.together(self._span_name, (waiting.trace for waiting in batch)):
            answers = await self._handler([waiting.request for waiting in batch])
        if len(answers) != len(batch):
            raise BatchHandlerError(f"{len(batch)} requests were answered with {len(answers)} results")
        for waiting, answer in zip(batch, answers, strict=True):
            if waiting.answer.done():
                continue
            if isinstance(answer, BaseException):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)


def _fail(batch: "Iterable[_Waiting[Req, Res]]", error: BaseException) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
