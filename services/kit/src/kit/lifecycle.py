"""Starts what a process is made of, waits for the signal to stop, and stops it in the opposite order."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
import uvloop

from kit import tracing
from kit.clock import Elapsed
from kit.failures import OperatorError
from kit.health import Health

_log = structlog.get_logger()

Step = Callable[[], Awaitable[object]]

COLLECT_AFTER = (50_000, 20, 50)
"""Python's own thresholds (700, 10, 10) would look through what a batch of settlements has in hand several times, and
10,000 is still within what 256 calls under way have: 3 % of all the time of settlement, 4 % of binding's."""

DRAINING_SECONDS = 5.0
"""How long one callback of `on_draining` may take."""


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    start: Step | None
    stop: Step | None
    stop_timeout_seconds: float


class Application:
    """The parts of one process in the order in which they depend on each other, the most basic first.

    Typically: probes, database, Kafka, batcher, gRPC. Stopping goes backwards, so calls end before the batcher drains,
    and that before Kafka and the database close. Before the first part stops, `health` says not ready and the callbacks
    of `on_draining` have run, in which the callers' load balancing notices.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._parts: list[_Part] = []
        self._draining: list[Step] = []
        self._watches: list[tuple[str, Step, float]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._failed = False
        self._why = ""
        """What failed first, for the last line of the log, which Kubernetes shows."""

    def add(self, name: str, start: Step | None, stop: Step | None, *, stop_timeout_seconds: float = 20.0) -> None:
        """Add a part; `stop` is called only if its `start` succeeded, and given up after its time-out."""
        self._parts.append(_Part(name, start, stop, stop_timeout_seconds))

    def on_draining(self, callback: Step) -> None:
        """Call this first when stopping, within 5 s; a gRPC server's `drain`."""
        self._draining.append(callback)

    def background(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """Add a task that runs until the process stops. If it ends before that, the process stops with failure."""
        holder: list[asyncio.Task[None]] = []

        async def start() -> None:
            holder.append(asyncio.get_running_loop().create_task(self._supervise(name, work)))

        async def stop() -> None:
            await _cancelled(holder.pop())

        self.add(name, start, stop)

    def watch(self, name: str, probe: Step, *, every_seconds: float = 5.0) -> None:
        """Ask `probe` regularly once all is started; what it says is part of readiness."""
        self._watches.append((name, probe, every_seconds))

    @property
    def longest_stop_seconds(self) -> float:
        """How long stopping takes at most, if every part uses all of its time; whoever kills waits longer than that."""
        stops = (part.stop_timeout_seconds for part in self._parts if part.stop is not None)
        return len(self._draining) * DRAINING_SECONDS + sum(stops)

    def stop(self) -> None:
        """Begin to stop, as the signals do."""
        self._stopping.set()

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; the exit status: 0 after a clean stop, 1 if anything failed."""
        try:
            return uvloop.run(self.serve())
        finally:
            tracing.shutdown()  # last, so that everything before is told

    async def serve(self) -> int:
        """The same inside of a running loop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, signal.Signals(number).name)
        self._tasks.append(loop.create_task(self._health.beat()))
        self._health.set("process", False, "starting")
        started: list[_Part] = []
        try:
            if await self._start_all(started):
                await self._serve_until_stopped()
        finally:
            await self._stop_all(started)
        return 1 if self._failed else 0

    async def _start_all(self, started: list[_Part]) -> bool:
        for part in self._parts:
            if self._stopping.is_set():
                return False
            if not await self._start(part):
                return False
            started.append(part)
        return True

    async def _start(self, part: _Part) -> bool:
        taken = Elapsed()
        starting = asyncio.ensure_future(_call(part.start))
        signalled = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({starting, signalled}, return_when=asyncio.FIRST_COMPLETED)
        await _cancelled(signalled)
        if not starting.done():  # told to stop while, say, the database is not there yet
            await _cancelled(starting)
            return False
        if error := starting.exception():
            self._fail(part.name, error)
            # What is no fault of the program is told by its sentence alone.
            fault = None if isinstance(error, OperatorError) else error
            _log.error("start failed", part=part.name, why=str(error), exc_info=fault)
            return False
        _log.info("started", part=part.name, seconds=round(taken.seconds, 3))
        return True

    async def _serve_until_stopped(self) -> None:
        for name, probe, every_seconds in self._watches:
            await self._health.ask(name, probe)
            self._tasks.append(asyncio.ensure_future(self._health.watch(name, probe, every_seconds=every_seconds)))
        _spare_what_stays()
        self._health.set("process", True)
        self._health.say_started()
        _log.info("serving")
        await self._stopping.wait()
        self._health.set("process", False, "stopping")
        _log.info("stopping")
        for callback in self._draining:
            await self._attempt("draining", callback, DRAINING_SECONDS)

    async def _stop_all(self, started: list[_Part]) -> None:
        self._stopping.set()
        self._health.set("process", False, "stopping")
        for part in reversed(started):
            if part.stop is not None:
                await self._attempt(part.name, part.stop, part.stop_timeout_seconds)
        for task in self._tasks:
            await _cancelled(task)
        _log.info("stopped", failed=self._failed, why=self._why)

    async def _attempt(self, name: str, step: Step, timeout_seconds: float) -> None:
        # One part that cannot stop must not keep the others from stopping.
        try:
            async with asyncio.timeout(timeout_seconds):
                await step()
        except Exception as error:  # noqa: BLE001 - logged with its traceback, and the exit status tells
            self._fail(name, error)
            _log.exception("stop failed", part=name, why=str(error) or type(error).__name__)

    async def _supervise(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - logged with its traceback, and the process stops for it
            self._fail(name, error)
            _log.exception("background work failed", part=name, why=str(error))
        if not self._stopping.is_set():
            self._fail(name, "ended")
            self._health.set(name, False, "ended", vital=True)
            self._stopping.set()

    def _fail(self, name: str, why: object) -> None:
        self._failed = True
        self._why = self._why or f"{name}: {str(why) or type(why).__name__}"

    def _signalled(self, which: str) -> None:
        _log.info("signal", signal=which)
        self._stopping.set()


def _spare_what_stays() -> None:
    """Modules, contracts and connections live as long as the process: no collection has to look at them again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


async def _call(step: Step | None) -> None:
    if step is not None:
        await step()


async def _cancelled(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
