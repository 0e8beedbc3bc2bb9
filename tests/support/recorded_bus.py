"""A topic with relays and consumers as processes that come and go, and what the consumers recorded of it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from kit.db import Database
from kit.outbox import PostgresOutbox
from kit.testing import eventually
from kit.testing_events import SampleTopic, event

TESTS = Path(__file__).parents[1]
KEYS = [f"key-{number:02d}" for number in range(12)]
PATIENCE_SECONDS = 60.0
"""Until a process does what it was told to."""
WAIT_SECONDS = 120.0
"""Until what was told has gone through all processes."""
POLL_SECONDS = 0.2
IN_FLIGHT = 200
"""So many events at most are told and not yet taken in, so that there is always work and never a backlog."""

_FIRSTS = "SELECT key, sequence FROM delivery WHERE is_first ORDER BY key, position"
_COUNT = "SELECT count(*) FROM delivery WHERE "
_DELAYS = """
SELECT extract(epoch FROM d.at - e.created_at)::float8
FROM delivery AS d JOIN outbox_event AS e USING (key, sequence) WHERE d.is_first
"""


class Process:
    """One relay or consumer."""

    def __init__(self, role: str, name: str, *arguments: str) -> None:
        self.name = name
        environment = os.environ | {"PYTHONPATH": str(TESTS)}
        command = [sys.executable, "-m", "support.bus_process", role, name, *arguments]
        self._process = subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603 - our own

    def send(self, signal_number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(signal_number)

    async def die(self) -> None:
        """Let it be killed after it did something and before it told anybody; returns when it is gone."""
        self.send(signal.SIGUSR1)
        assert await asyncio.to_thread(self._process.wait, PATIENCE_SECONDS) == -signal.SIGKILL

    async def stand_still(self) -> None:
        """Let it stand still with work in hand; returns when it does."""
        self.send(signal.SIGUSR2)
        stopped = asyncio.to_thread(os.waitid, os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)
        await asyncio.wait_for(stopped, PATIENCE_SECONDS)

    async def die_with_work_in_hand(self) -> None:
        """Let it be killed after it took something and before it did any of it."""
        await self.stand_still()
        self.end()

    def go_on(self) -> None:
        """End its standing still."""
        self.send(signal.SIGCONT)

    async def leave(self) -> None:
        """Let it end in good order."""
        self.send(signal.SIGTERM)
        assert await asyncio.to_thread(self._process.wait, PATIENCE_SECONDS) == 0

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()


class RecordedBus:
    """The processes on one topic, and the traffic that goes through it."""

    def __init__(self, database: Database, url: str, bootstrap: str, topic: SampleTopic) -> None:
        self.told = 0
        self._database = database
        self._topic = topic
        self._arguments = (url, bootstrap, topic.name)
        self._processes: list[Process] = []
        self._is_over = False

    def start(self, role: str, name: str) -> Process:
        """Start a `relay` or a `consumer`."""
        process = Process(role, name, *self._arguments)
        self._processes.append(process)
        return process

    def end(self) -> None:
        """End every process."""
        for process in self._processes:
            process.end()

    async def tell(self) -> None:
        """Write one more event for each key."""
        number = self.told // len(KEYS)
        async with self._database.transaction() as transaction:
            outbox = PostgresOutbox(transaction, "kit", self._topic.catalogue)
            await outbox.add([event(key, "x", number) for key in KEYS])
        self.told += len(KEYS)

    @asynccontextmanager
    async def traffic(self) -> AsyncIterator[None]:
        """Events go on being told while the block runs, as fast as they are taken in."""
        task = asyncio.create_task(self._traffic())
        try:
            yield
        finally:
            self._is_over = True  # not cancelled: whether the last events were committed would be unknown
            await task

    async def _traffic(self) -> None:
        while not self._is_over:
            await self.tell()
            if self.told - await self.firsts() > IN_FLIGHT:
                await self.wait(lambda: self._caught_up(IN_FLIGHT // 2), "the events that were told")

    async def _caught_up(self, left: int) -> bool:
        return self.told - await self.firsts() <= left

    async def told_while_nobody_listens(self) -> None:
        """Return once as much is waiting as traffic lets pile up."""
        await self.wait(self._piled_up, "events that wait")

    async def _piled_up(self) -> bool:
        return self.told - await self.firsts() > IN_FLIGHT

    async def wait(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        """Return once it holds."""
        await eventually(holds, timeout_seconds=WAIT_SECONDS, poll_seconds=POLL_SECONDS, what=what)

    async def all_taken_in(self) -> None:
        """Return once every event that was told has been taken in."""
        await self.wait(lambda: self._caught_up(0), "all events")

    async def all_told_by_now(self) -> None:
        """Return once every event that was told before this call has been taken in."""
        events = self.told // len(KEYS)
        await self.wait(lambda: self._every_key_has(events), "the events that were told by now")

    async def _every_key_has(self, events: int) -> bool:
        return all(len(taken) >= events for taken in (await self.order()).values())

    async def works(self, process: Process, events: int = 1) -> None:
        """Return once this consumer has been given so many events more."""
        before = await self._count("consumer = $1", process.name)
        await self.wait(lambda: self._more(process.name, before + events), f"events at {process.name}")

    async def _more(self, name: str, events: int) -> bool:
        return await self._count("consumer = $1", name) >= events

    async def more_firsts(self, events: int) -> None:
        """Return once so many events more have been taken in."""
        wanted = await self.firsts() + events
        await self.wait(lambda: self._firsts_at_least(wanted), f"{events} events")

    async def _firsts_at_least(self, events: int) -> bool:
        return await self.firsts() >= events

    async def firsts(self) -> int:
        """How many events were taken in."""
        return await self._count("is_first")

    async def doubles(self) -> int:
        """How many were delivered once more."""
        return await self._count("NOT is_first")

    async def holds_the_lease(self, process: Process) -> None:
        """Return once this relay is the one that publishes."""
        await self.wait(lambda: self._is_holder(process.name), f"{process.name} to hold the lease")

    async def _is_holder(self, name: str) -> bool:
        return bool(await self._ask("SELECT holder FROM outbox_lease", "fetchval") == name)

    async def order(self) -> dict[str, list[int]]:
        """The sequences of each key in the order in which they had their effect."""
        rows = await self._ask(_FIRSTS, "fetch")
        return {key: [row["sequence"] for row in of_key] for key, of_key in groupby(rows, lambda row: row["key"])}

    async def faults(self) -> dict[str, tuple[int, list[int]]]:
        """Where each key's events differ from what was told, and what came from there on; empty if none does."""
        told, order = self.told // len(KEYS), await self.order()
        return {key: fault for key in KEYS if (fault := _fault(order.get(key, []), told))}

    async def delays(self) -> list[float]:
        """Seconds from the fact to its effect, shortest first."""
        return sorted(row[0] for row in await self._ask(_DELAYS, "fetch"))

    async def _count(self, condition: str, *arguments: object) -> int:
        return int(await self._ask(_COUNT + condition, "fetchval", *arguments))

    async def _ask(self, sql: str, how: str, *arguments: object) -> Any:
        async with self._database.transaction() as transaction:
            return await getattr(transaction.raw, how)(sql, *arguments)


def _fault(sequences: list[int], told: int) -> tuple[int, list[int]] | None:
    """The first place that has another number than its own, with some that follow."""
    wrong = (place for place, number in enumerate(sequences) if place != number or number >= told)
    first = next(wrong, min(len(sequences), told))
    return None if first == told == len(sequences) else (first, sequences[first : first + 20])
