"""Everything that can break on one stack, how it is put right, and proof that it did break."""

import asyncio
import json
import random
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from faults.proxy import Mode, Proxy

from gongji_local.errors import StackError
from gongji_local.stack import Stack
from kit.clock import Elapsed
from kit.failpoints import Boundary

STILL_SECONDS: Final = (2.0, 12.0, 25.0)
"""Shorter than anything waits; longer than a relay's lease (10 s); longer than callers wait (15 s) and a sweep lets
things be (20 s)."""
SWEPT_SECONDS: Final = 25.0
"""Until what stands still at a boundary has been PENDING for longer than a sweep lets it be, and a sweep came round."""
REACH_SECONDS: Final = 15.0
"""Within which somebody who is treated brings a process to any boundary."""
GONE_SECONDS: Final = 10.0
SERVICES: Final = ("identity", "binding", "settlement", "notify")
SERVERS: Final = ("kafka", "postgres")
BROKEN: Final = ("settlement", "binding", "notify", *SERVERS)
LEFT_PENDING: Final = frozenset({Boundary.AFTER_INTENT, Boundary.AFTER_AUTHORIZE})
"""Where a sweep finds what stands still; later a transaction has it locked, or it is settled."""
OF_BINDING: Final = frozenset({Boundary.AFTER_HOLD})
"""Boundaries that binding comes to; settlement comes to all others."""
SWEPT: Final = "abandoned settlements that were left pending"


@dataclass(frozen=True, slots=True)
class Blow:
    """What a strike did."""

    deaths: int = 0
    """Processes that were seen to die."""
    wrong: tuple[str, ...] = ()
    """In what it was not the fault that it is called."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong, and how it is put right."""

    name: str
    strike: Callable[[], Awaitable[Blow]]
    mend: Callable[[], Awaitable[None]]
    kills: str = ""
    """Which process is dead afterwards; all others are to live."""


class Breaker:
    """Everything that can break on one stack.

    Args:
        stack: whose processes are killed and stopped.
        lines: by name, the proxies between hospitals and settlement, and between settlement and binding.
        chance: what decides how long things stand still, and how that ends.
    """

    def __init__(self, stack: Stack, lines: "Lines", chance: random.Random) -> None:
        self._stack = stack
        self._lines = lines
        self._chance = chance

    @property
    def faults(self) -> list[Fault]:
        """All of them."""
        return [
            *(Fault(f"kill -9 {name}", self._kill(name), self._bring_up, name) for name in BROKEN),
            *(self._still(name, self._chance.choice(STILL_SECONDS)) for name in BROKEN),
            *(Fault(f"{_who(it)} dies {it}", self._die_at(it), self._bring_up, _who(it)) for it in Boundary),
            *(self._hang_at(boundary, stopped=stopped) for boundary in Boundary for stopped in (True, False)),
            *(fault for name, line in self._lines.named.items() for fault in _faults_of(name, line)),
        ]

    def in_any_order(self) -> list[Fault]:
        """All of them, each once, as chance has it; what a seed brings first depends on nothing else."""
        faults = self.faults
        return self._chance.sample(faults, len(faults))

    def dead(self) -> list[str]:
        """Processes that do not live."""
        return [status.name for status in self._stack.status() if not status.alive]

    # processes at any time

    def _kill(self, name: str) -> Callable[[], Awaitable[Blow]]:
        async def strike() -> Blow:
            return await self._killed(name)

        return strike

    def _still(self, name: str, seconds: float) -> Fault:
        async def strike() -> Blow:
            processes = self._family(name)
            _send(processes, signal.SIGSTOP)
            await asyncio.sleep(seconds)
            _send(processes, signal.SIGCONT)
            return Blow()

        return Fault(f"{name} stands still for {seconds:g} s", strike, self._bring_up)

    async def _killed(self, name: str) -> Blow:
        process = self._process(name)
        process.kill()
        if await _until(lambda: not _lives(process), GONE_SECONDS):
            return Blow(deaths=1)
        return Blow(wrong=(f"{name} outlived kill -9",))

    # between two steps

    def _die_at(self, boundary: Boundary) -> Callable[[], Awaitable[Blow]]:
        async def strike() -> Blow:
            name, log = _who(boundary), await self._armed(boundary, "exit")
            if not await _until(lambda: log.reached(boundary), REACH_SECONDS):
                return Blow(1, (f"{name} never came to {boundary}",))
            if not await _until(lambda: name in self.dead(), GONE_SECONDS):
                return Blow(1, (f"{name} came to {boundary} and lives",))
            return Blow(2)

        return strike

    def _hang_at(self, boundary: Boundary, *, stopped: bool) -> Fault:
        """Stands still there until others have given it up, and then goes on or dies.

        Either the whole process does, so that it is given up by the sweeper that wakes up together with it, or the work
        alone beside a sweeper that is awake.
        """
        dies, name = self._chance.random() < 0.5, _who(boundary)

        async def strike() -> Blow:
            log = await self._armed(boundary, "pause")
            if not await _until(lambda: log.reached(boundary), REACH_SECONDS):
                return Blow(1, (f"{name} never came to {boundary}",))
            processes = self._family(name)
            if stopped:
                _send(processes, signal.SIGSTOP)
            await asyncio.sleep(SWEPT_SECONDS)
            unswept = not stopped and boundary in LEFT_PENDING and not log.says(SWEPT)
            wrong = (f"nothing was swept at {boundary}",) if unswept else ()
            if dies:
                ended = await self._killed(name)
                return Blow(1 + ended.deaths, (*wrong, *ended.wrong))
            _send(processes, signal.SIGCONT)
            return Blow(1, wrong)

        still = name if stopped else f"work of {name}"
        title = f"{still} stands still {boundary}, {SWEPT_SECONDS:g} s, and {'dies' if dies else 'goes on'}"
        return Fault(title, strike, self._bring_up if dies else self._restart(name), name if dies else "")

    async def _armed(self, boundary: Boundary, action: str) -> "Log":
        """Killed under load, and begun again with a failpoint; its log from there on."""
        name = _who(boundary)
        file = self._stack.log_file(name)
        await asyncio.to_thread(self._stack.kill_service, name)
        log = Log(file, file.stat().st_size)
        extra = {**self._lines.settings_of(name), "GONGJI_FAILPOINTS": f"{boundary}={action}"}
        try:
            await asyncio.to_thread(self._stack.start_service, name, extra)
        except StackError:
            # It may reach the boundary before it was seen to be ready; what cannot start at all never comes there.
            if name not in self.dead():
                raise
        return log

    # as it was

    async def put_lines_between(self) -> None:
        """Let settlement speak to binding through its proxy."""
        await self._restart("settlement")()

    def _restart(self, name: str) -> Callable[[], Awaitable[None]]:
        async def mend() -> None:
            await asyncio.to_thread(self._stack.stop_service, name)
            await self._bring_up()

        return mend

    async def _bring_up(self) -> None:
        await asyncio.to_thread(self._start_all)

    def _start_all(self) -> None:
        self._stack.start_postgres()
        self._stack.start_kafka()
        for name in SERVICES:
            self._stack.start_service(name, self._lines.settings_of(name))

    def _process(self, name: str) -> psutil.Process:
        pid = next(status.pid for status in self._stack.status() if status.name == name)
        if pid is None:
            raise SystemExit(f"{name} does not run here")
        return psutil.Process(pid)

    def _family(self, name: str) -> list[psutil.Process]:
        process = self._process(name)
        return [process, *process.children(recursive=True)]


@dataclass(frozen=True, slots=True)
class Lines:
    """The proxies."""

    to_settlement: Proxy
    to_binding: Proxy

    @property
    def named(self) -> Mapping[str, Proxy]:
        """By what they connect."""
        return {"hospitals to settlement": self.to_settlement, "settlement to binding": self.to_binding}

    def settings_of(self, name: str) -> Mapping[str, str]:
        """What a service is told beside the usual: settlement, that it speaks to binding through its proxy."""
        return {"GONGJI_BINDING_TARGET": self.to_binding.address} if name == "settlement" else {}


def _who(boundary: Boundary) -> str:
    return "binding" if boundary in OF_BINDING else "settlement"


def _faults_of(name: str, line: Proxy) -> Iterator[Fault]:
    def into(mode: Mode) -> Callable[[], Awaitable[Blow]]:
        async def strike() -> Blow:
            line.mode = mode
            return Blow()

        return strike

    async def cut() -> Blow:
        line.cut()
        return Blow()

    async def mend() -> None:
        if line.mode in {Mode.DEAF, Mode.DROP_ANSWERS}:
            line.cut()  # what was swallowed is missing in the middle of those connections
        line.mode = Mode.PASS

    yield from (Fault(f"{name}: {mode}", into(mode), mend) for mode in Mode if mode is not Mode.PASS)
    yield Fault(f"{name}: cut", cut, mend)


@dataclass(frozen=True, slots=True)
class Log:
    """What a process logs from a place on."""

    file: Path
    start_bytes: int

    def reached(self, boundary: Boundary) -> bool:
        """Whether it came to this boundary."""
        return any((it.get("event"), it.get("boundary")) == ("failpoint", boundary) for it in self._lines())

    def says(self, event: str) -> bool:
        """Whether it told this."""
        return any(it.get("event") == event for it in self._lines())

    def _lines(self) -> list[Mapping[str, object]]:
        with self.file.open("rb") as file:
            file.seek(self.start_bytes)
            # The last line may be half written.
            return [json.loads(line) for line in file if line.startswith(b"{") and line.endswith(b"}\n")]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _send(processes: list[psutil.Process], signal_number: signal.Signals) -> None:
    for process in processes:
        if process.is_running():
            process.send_signal(signal_number)


async def _until(is_so: Callable[[], bool], seconds: float) -> bool:
    """Whether it came to be so in time."""
    elapsed = Elapsed()
    while not (so := await asyncio.to_thread(is_so)) and elapsed.seconds < seconds:  # noqa: ASYNC110 - of other processes
        await asyncio.sleep(0.1)
    return so
