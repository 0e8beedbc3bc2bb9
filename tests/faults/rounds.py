"""`make faults`: breaks one thing after another while hospitals settle, and looks whether anything is lost or doubled.

Each round works for some seconds and breaks one thing meanwhile: a service, Kafka or PostgreSQL is killed with -9 or
stands still, settlement dies between two steps, or the line between hospital and settlement delays, breaks, goes deaf
or drops answers. Then everything is brought back, requests of unknown outcome are sent again until it is known, and the
books are checked. ROUNDS says how many, SEED which; a failed run says its seed.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import psutil
from faults.check import Found, check
from faults.families import HOSPITAL, Families, make_families
from faults.load import Hospitals, Told
from faults.proxy import Mode, Proxy
from rich.console import Console
from rich.table import Table

from gongji_local.errors import StackError
from gongji_local.sessions import new_session_folder, remove_session
from gongji_local.stack import Stack
from settlement.failpoints import Boundary

ROUNDS: Final = int(os.environ.get("ROUNDS") or "6")
SEED: Final = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
WORK_SECONDS: Final = 5.0
STILL_SECONDS: Final = 2.0
SERVICES: Final = ("settlement", "binding", "notify")
SERVERS: Final = ("kafka", "postgres")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong, and how it is put right."""

    name: str
    strike: Callable[[], Awaitable[None]]
    mend: Callable[[], Awaitable[None]]


class Breaker:
    """Everything that can break on one stack."""

    def __init__(self, stack: Stack, proxy: Proxy) -> None:
        self._stack = stack
        self._proxy = proxy

    @property
    def faults(self) -> list[Fault]:
        """All of them."""
        return [
            *(Fault(f"kill -9 {name}", self._kill(name), self._bring_up) for name in (*SERVICES, *SERVERS)),
            *(
                Fault(f"{name} stands still for {STILL_SECONDS:g} s", self._freeze(name), self._bring_up)
                for name in (*SERVICES, *SERVERS)
            ),
            *(Fault(f"settlement dies {it}", self._die_at(it), self._revive) for it in Boundary),
            *(Fault(f"the line: {it}", self._line(it), self._line(Mode.PASS)) for it in Mode if it is not Mode.PASS),
            Fault("the line is cut", self._cut, self._line(Mode.PASS)),
        ]

    def _kill(self, name: str) -> Callable[[], Awaitable[None]]:
        async def strike() -> None:
            self._process(name).kill()

        return strike

    def _freeze(self, name: str) -> Callable[[], Awaitable[None]]:
        async def strike() -> None:
            process = self._process(name)
            processes = [process, *process.children(recursive=True)]
            for each in processes:
                each.send_signal(signal.SIGSTOP)
            await asyncio.sleep(STILL_SECONDS)
            for each in processes:
                each.send_signal(signal.SIGCONT)

        return strike

    def _die_at(self, boundary: Boundary) -> Callable[[], Awaitable[None]]:
        async def strike() -> None:
            await asyncio.to_thread(self._stack.kill_service, "settlement")
            extra = {"GONGJI_FAILPOINTS": f"{boundary}=exit"}
            try:
                await asyncio.to_thread(self._stack.start_service, "settlement", extra)
            except StackError:
                # It may reach the boundary before it was seen to be ready; what cannot start at all, `_revive` tells.
                if self._is_alive("settlement"):
                    raise

        return strike

    async def _revive(self) -> None:
        """As it is without failpoints; it has died of them, or nobody settled anything since."""
        if self._is_alive("settlement"):
            await asyncio.to_thread(self._stack.stop_service, "settlement")
        await self._bring_up()

    def _line(self, mode: Mode) -> Callable[[], Awaitable[None]]:
        async def strike() -> None:
            if self._proxy.mode in {Mode.DEAF, Mode.DROP_ANSWERS}:
                self._proxy.cut()  # what was swallowed is missing in the middle of those connections
            self._proxy.mode = mode

        return strike

    async def _cut(self) -> None:
        self._proxy.cut()

    async def _bring_up(self) -> None:
        await asyncio.to_thread(self._stack.up)

    def _process(self, name: str) -> psutil.Process:
        pid = next(status.pid for status in self._stack.status() if status.name == name)
        if pid is None:
            raise SystemExit(f"{name} does not run here")
        return psutil.Process(pid)

    def _is_alive(self, name: str) -> bool:
        return next(status.alive for status in self._stack.status() if status.name == name)


async def run(stack: Stack, console: Console) -> int:
    """So many rounds; 1 if anything was found."""
    chance = random.Random(SEED)  # noqa: S311 - no secret
    families, told = await make_families(stack), Told()
    host, port = stack.info.services["settlement"].grpc_address.rsplit(":", 1)
    proxy = Proxy(host, int(port))
    await proxy.start()
    table = Table(title=f"{ROUNDS} rounds, seed {SEED}")
    for column in ("round", "what broke", "sent", "acknowledged", "lost", "doubled", "unresolved", "wrong"):
        table.add_column(column, justify="left" if column == "what broke" else "right")
    clean = True
    faults: list[Fault] = []
    for number in range(1, ROUNDS + 1):
        faults = faults or _shuffled(Breaker(stack, proxy).faults, chance)
        fault = faults.pop()
        console.print(f"round {number} of {ROUNDS}: {fault.name}")
        found = await _round(stack, proxy, families, told, chance, fault)
        table.add_row(
            str(number),
            fault.name,
            str(len(told.sent)),
            str(len(told.acknowledged)),
            str(len(found.lost)),
            str(found.doubled),
            str(found.unresolved),
            str(len(found.wrong)),
        )
        if not found.is_clean:
            clean = False
            console.print(f"[red]found[/red] {found}", markup=True)
            break
    await proxy.stop()
    console.print(table)
    return 0 if clean else 1


async def _round(  # noqa: PLR0917 - the parts of one round
    stack: Stack, proxy: Proxy, families: Families, told: Told, chance: random.Random, fault: Fault
) -> Found:
    tls = stack.institution_tls(HOSPITAL)
    hospitals = Hospitals(proxy.address, tls, families.patients, chance, told, stack.now())
    work = asyncio.create_task(hospitals.work(WORK_SECONDS))
    await asyncio.sleep(chance.uniform(0.5, WORK_SECONDS / 2))
    await fault.strike()
    await work
    await fault.mend()
    unknown = await hospitals.resolve()
    await hospitals.close()
    found = await check(stack, told)
    found.unresolved += unknown
    return found


def _shuffled(faults: list[Fault], chance: random.Random) -> list[Fault]:
    return chance.sample(faults, len(faults))


def main() -> int:
    """All rounds on a stack of their own."""
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = 140  # a log has no width of its own, and a squeezed table cannot be read
    stack = Stack(new_session_folder())
    try:
        stack.up()
        return asyncio.run(run(stack, console))
    finally:
        remove_session(stack)


if __name__ == "__main__":
    sys.exit(main())
