"""`make faults`: breaks one thing after another while hospitals settle, and looks whether anything is lost or doubled.

Each round works for some seconds and breaks one thing meanwhile: a service, Kafka or PostgreSQL is killed with -9 or
stands still, settlement dies or stands still between two steps, or the line from hospitals to settlement or from there
to binding delays, breaks, goes deaf or drops answers. That it did break is looked at, too: a boundary that nobody came
to is wrong. Then everything is brought back, requests of unknown outcome are sent again until it is known, and the
books are checked. ROUNDS says how many, SEED which; a failed run says its seed.
"""

import asyncio
import os
import random
import sys
from dataclasses import dataclass
from typing import Final

from faults.breaker import Breaker, Fault, Lines
from faults.check import Found, check
from faults.families import Families, make_families
from faults.load import Desks
from faults.proxy import Proxy
from faults.told import Told
from rich.console import Console
from rich.table import Table

from gongji_local.sessions import new_session_folder, remove_session
from gongji_local.stack import Stack

ROUNDS: Final = int(os.environ.get("ROUNDS") or "6")
SEED: Final = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
BEFORE_SECONDS: Final = (0.5, 2.5)
"""From when to when on it may break."""
WORK_SECONDS: Final = 3.0
"""How long hospitals go on after the strike."""
COLUMNS: Final = ("round", "what broke", "deaths", "sent", "acknowledged", "lost", "doubled", "unresolved", "wrong")


@dataclass(frozen=True, slots=True)
class World:
    """What all rounds have in common."""

    stack: Stack
    lines: Lines
    families: Families
    told: Told
    chance: random.Random


async def run(stack: Stack, console: Console) -> int:
    """So many rounds; 1 if anything was found."""
    chance = random.Random(SEED)  # noqa: S311 - no secret
    lines = Lines(
        Proxy(stack.info.services["settlement"].grpc_address), Proxy(stack.info.services["binding"].grpc_address)
    )
    for proxy in lines.named.values():
        await proxy.start()
    breaker = Breaker(stack, lines, chance)
    await breaker.put_lines_between()
    world = World(stack, lines, await make_families(stack), Told(), chance)
    table = Table(title=f"{ROUNDS} rounds, seed {SEED}")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "what broke" else "right")
    found, deaths = Found(), 0
    faults: list[Fault] = []
    for number in range(1, ROUNDS + 1):
        faults = faults or breaker.in_any_order()
        fault = faults.pop(0)
        console.print(f"round {number} of {ROUNDS}: {fault.name}")
        found = await _round(world, breaker, fault)
        deaths += found.deaths
        table.add_row(str(number), fault.name, *_figures(found, world.told))
        if not found.is_clean:
            console.print(f"[red]found[/red] {found}", markup=True)
            break
    for proxy in lines.named.values():
        await proxy.stop()
    console.print(table)
    console.print(f"{deaths} processes died, {_in_words(found, world.told)}")
    return 0 if found.is_clean else 1


async def _round(world: World, breaker: Breaker, fault: Fault) -> Found:
    desks = Desks(world.stack, world.lines.to_settlement.address, world.families, world.chance, world.told)
    enough = asyncio.Event()
    work = asyncio.create_task(desks.work(enough))
    try:
        await asyncio.sleep(world.chance.uniform(*BEFORE_SECONDS))
        blow = await fault.strike()
        await asyncio.sleep(WORK_SECONDS)
    finally:
        enough.set()
        await work
    dead = [name for name in await asyncio.to_thread(breaker.dead) if name != fault.kills]
    await fault.mend()
    unknown = await desks.resolve()
    await desks.close()
    found = await check(world.stack, world.told)
    found.unresolved += unknown
    found.deaths = blow.deaths + len(dead)
    found.wrong += [*blow.wrong, *(f"{name} died, which nobody had killed" for name in dead)]
    return found


def _figures(found: Found, told: Told) -> list[str]:
    counts = (len(told.sent), len(told.acknowledged), len(found.lost), found.doubled, found.unresolved)
    return [str(each) for each in (found.deaths, *counts, len(found.wrong))]


def _in_words(found: Found, told: Told) -> str:
    return (
        f"{len(told.sent)} requests were sent, {len(told.acknowledged)} settlements acknowledged, "
        f"{len(found.lost)} lost, {found.doubled} doubled, {found.unresolved} unresolved; "
        + ", ".join(f"{count} {kind}" for kind, count in told.by_kind.items())
    )


def main() -> int:
    """All rounds on a stack of their own."""
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = 160  # a log has no width of its own, and a squeezed table cannot be read
    stack = Stack(new_session_folder())
    try:
        stack.up()
        return asyncio.run(run(stack, console))
    finally:
        remove_session(stack)


if __name__ == "__main__":
    sys.exit(main())
