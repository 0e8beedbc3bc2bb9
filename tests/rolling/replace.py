"""`make rolling` and `make upgrade-check`: two replicas of each service are replaced one by one, under load.

`make rolling` replaces every replica by one of the same code; then applies a step to each database that a real version
might bring, while all goes on, and replaces every replica again. `make upgrade-check` starts with an earlier commit's
code on the schema of then, applies the migrations that came since, lets the earlier code work on the newer schema, and
replaces every replica by one of this checkout. FROM names the commit, or a folder with sources; by default it is the
newest commit whose migrations differ.

No call may fail, no settlement may be lost or doubled, every process ends with 0 in its grace, and the consumers have
read to the end when the load stops: status 1 otherwise, and a table says what was and how long it took.
"""

import asyncio
import os
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from faults.check import Found, check
from faults.families import make_families
from faults.told import Told
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rolling.load import Clients, register
from rolling.replicas import Fleet, Replacement
from rolling.seen import Tally
from rolling.sources import THIS, Source, SourceError, earlier, with_made_up_step

from gongji_local.processes import Command, run
from gongji_local.services import SERVICES
from gongji_local.sessions import new_session_folder, remove_session
from gongji_local.stack import Stack
from gongji_local.state import repository_root
from kit.clock import Elapsed
from kit.migrate import migrate

BEFORE_SECONDS: Final = 3.0
"""How long clients work before anything happens, and again after the last replacement."""
OLD_ON_NEW_SECONDS: Final = 8.0
"""How long the code of before works on the schema of after."""
MIGRATE_SECONDS: Final = 300.0
SHOWN: Final = 5
"""Of what is lost or wrong."""
ORDER: Final = ("identity", "binding", "settlement", "notify")
SEED: Final = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
COLUMNS: Final = ("replica", "says so", "ended", "status", "repeated", "ready", "called", "calls", "failed", "longest")


@dataclass(slots=True)
class Result:
    """Of everything together."""

    rows: list[tuple[str, ...]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    calls: int = 0
    failed: int = 0
    reopened: int = 0
    by_service: dict[str, int] = field(default_factory=dict)

    def count(self, tally: Tally) -> None:
        """Add what clients saw in one stretch."""
        self.calls += tally.count
        self.failed += tally.failed.total()
        self.reopened += tally.reopened
        self.wrong += tally.told()
        for service, count in tally.by_service().items():
            self.by_service[service] = self.by_service.get(service, 0) + count


class Rollout:
    """Replaces the replicas of one fleet while clients work, stage by stage."""

    def __init__(self, fleet: Fleet, clients: Clients, told: Told, console: Console) -> None:
        self._fleet = fleet
        self._clients = clients
        self._told = told
        self._console = console
        self.result = Result()

    async def stage(self, title: str, source: Source, migrations: Mapping[str, Path | None]) -> None:
        """Migrate (None: by the command of this checkout), replace everything by `source`, and look at the books.

        Without migrations nothing is migrated.
        """
        self._console.print(f"[bold]{title}[/bold]", markup=True)
        enough = asyncio.Event()
        work = asyncio.create_task(self._clients.work(enough))
        try:
            await self._go_on("before", BEFORE_SECONDS)
            applied = [await self._migrate(service, folder) for service, folder in migrations.items()]
            if migrations:
                if not any(applied):
                    self.result.wrong.append("there was nothing to migrate, so nothing is shown of it")
                await self._go_on("the code of before on the schema of after", OLD_ON_NEW_SECONDS)
            for service in ORDER:
                for replica in self._fleet.of(service):
                    self._note(await self._fleet.replace(replica, source))
            await self._go_on("after", BEFORE_SECONDS)
        finally:
            enough.set()
            await work
        await self._look()

    async def _go_on(self, title: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._row(title, "", "", "", "", "", "")

    async def _migrate(self, service: str, folder: Path | None) -> list[str]:
        """What was applied."""
        elapsed, url = Elapsed(), self._fleet.stack.info.database_url(service)
        if folder is not None:
            applied = await asyncio.to_thread(migrate, url, folder)
        else:
            environ = {**_inherited(), "GONGJI_ENVIRONMENT": "local", "GONGJI_DATABASE_URL": url}
            command = Command((sys.executable, "-m", service, "migrate"), environ)
            done = await asyncio.to_thread(run, command, MIGRATE_SECONDS)
            applied = applied_in(done.stdout)
            if done.returncode != 0:
                self.result.wrong.append(f"the migration of {service} failed:\n{done.stdout}")
        newest = applied[-1] if applied else "nothing"
        self._row(f"{service}: {newest}"[:60], "", f"{elapsed.seconds:.1f} s", "", "", "", "")
        return applied

    def _note(self, done: Replacement) -> None:
        self.result.wrong += done.wrong
        self._row(
            done.replica,
            f"{done.said_so_seconds * 1000:.0f} ms",
            f"{done.ended_seconds:.1f} s",
            str(done.status),
            str(done.refused),
            f"{done.ready_seconds:.1f} s",
            f"{done.called_seconds:.1f} s",
        )

    def _row(self, *cells: str) -> None:
        tally = self._clients.begin_tally()
        self.result.count(tally)
        seen = (str(tally.count), str(tally.failed.total()), f"{tally.longest_seconds:.1f} s")
        self.result.rows.append((*cells, *seen))
        self._console.print(escape("  " + "  ".join(cell for cell in (*cells, *seen) if cell)))

    async def _look(self) -> None:
        """Once the load has stopped: what is unknown, whether consumers have read to the end, and the books."""
        unknown = await self._clients.resolve()
        elapsed = Elapsed()
        found: Found = await check(self._fleet.stack, self._told)
        found.unresolved += unknown
        self._row("books and consumers", "", f"{elapsed.seconds:.1f} s", "", "", "", "")
        if not found.is_clean:
            counts = f"{len(found.lost)} lost, {found.doubled} doubled, {found.unresolved} unresolved"
            self.result.wrong.append("\n  ".join([counts, *found.lost[:SHOWN], *found.wrong[:SHOWN]]))


def applied_in(printed: str) -> list[str]:
    """The steps that `migrate` says it has applied; between them may be lines of its log."""
    told = "applied "
    return [line.removeprefix(told) for line in printed.splitlines() if line.startswith(told)]


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("GONGJI_")}


async def run_all(stack: Stack, source: Source, console: Console) -> int:
    """Every stage; 1 if anything was found."""
    chance = random.Random(SEED)  # noqa: S311 - no secret
    families, member, told = await make_families(stack), await register(stack), Told()
    for service in SERVICES:
        await asyncio.to_thread(stack.stop_service, service)
    fleet = Fleet(stack, source)
    console.print(f"two replicas of each service, from {source.title}, seed {SEED}")
    await fleet.start()
    clients = Clients(fleet, families, member, chance, told)
    rollout = Rollout(fleet, clients, told, console)
    if source is THIS:
        await rollout.stage("replaced by the same code", THIS, {})
        folder = stack.folder.root / "made-up"
        made_up = {service: with_made_up_step(repository_root(), service, folder) for service in SERVICES}
        await rollout.stage("a step on each database, and replaced", THIS, made_up)
    else:
        title = f"from {source.title} to this checkout"
        await rollout.stage(title, THIS, dict.fromkeys(SERVICES))
    await clients.close()
    return _tell(rollout.result, told, console)


def _tell(result: Result, told: Told, console: Console) -> int:
    table = Table(title="what was replaced, and what clients saw meanwhile")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "replica" else "right")
    for row in result.rows:
        table.add_row(*row)
    console.print(table)
    console.print(
        f"{result.calls} calls ({', '.join(f'{count} {name}' for name, count in result.by_service.items())}), "
        f"{result.failed} failed, {result.reopened} streams went on elsewhere; {len(told.acknowledged)} settlements "
        f"acknowledged: {', '.join(f'{count} {kind}' for kind, count in told.by_kind.items())}"
    )
    for each in result.wrong:
        console.print(f"[red]wrong[/red] {escape(each)}")
    missing = [kind for kind, count in told.by_kind.items() if not count]
    for kind in missing:
        console.print(f"[red]wrong[/red] no {kind}: the load was too small to show anything of them")
    return 1 if result.wrong or result.failed or missing else 0


def main() -> int:
    """On a stack of its own."""
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = 160  # a log has no width of its own, and a squeezed table cannot be read
    folder = new_session_folder()
    source = THIS
    if "upgrade" in sys.argv[1:]:
        try:
            source = earlier(repository_root(), os.environ.get("FROM") or "", folder / "earlier")
        except SourceError as error:
            console.print(f"✗ {error}")
            return 2
    stack = Stack(folder)
    try:
        Stack(folder, environ={**os.environ, **source.environ}).up()
        return asyncio.run(run_all(stack, source, console))
    finally:
        remove_session(stack)


if __name__ == "__main__":
    sys.exit(main())
