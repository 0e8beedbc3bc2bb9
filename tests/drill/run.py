"""`make drill`: everything is lost, and comes back from a backup, four databases to four points in time.

Hospitals, payers, clerks and citizens work while a base backup is taken and the WAL is archived. At four moments, in
the middle of it, a point is noted for each database; the last is settlement's. They go on; then every process is
killed and the data of PostgreSQL and Kafka are deleted. Each database is restored to its own point, the epochs are
raised, the events are published again out of the outboxes, the services start, holds are reconciled, and both audits
have to be clean. What was acknowledged before a database's point must be there; what was acknowledged later is lost by
design, counted and listed. Hospitals send that again, and go on; then everything is checked once more, also that
everybody was told of every debit once.
"""

import asyncio
import random
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from drill.acts import PRESENT, Acts, rows
from drill.history import Judged, TimedTold, judge
from drill.steps import DrillFailedError, Recovery, Steps, destroy, in_thread, local
from faults.check import Found, check
from faults.families import Families, make_families
from faults.load import Desks
from rich.console import Console
from rich.table import Table
from support.books import findings, reconcile

from gongji_local.backup.taking import archive_now, server_now
from gongji_local.sessions import new_session_folder, remove_session
from gongji_local.stack import Stack
from kit.testing import eventually

ORDER: Final = ("binding", "notify", "identity", "settlement")
"""Who is restored to which point, the earliest first. Settlement's is the last: the others are told by it again."""
BEFORE_SECONDS, BETWEEN_SECONDS, AFTER_SECONDS, AGAIN_SECONDS = 2.0, 2.0, 3.0, 3.0
LISTED: Final = Path("out/drill-lost.txt")
SHOWN: Final = 5

_SETTLED: Final = """
SELECT msgid, state, (id::text, acct_pay_fen, acct_mulaid_pay_fen, psn_cash_pay_fen) AS taken FROM settlement
"""
_TWICE: Final = """
SELECT event_id, psn_no FROM message GROUP BY event_id, psn_no HAVING count(*) > 1
"""
_PENDING: Final = "SELECT count(*) FROM settlement WHERE state = 'PENDING'"
_EPOCHS: Final = "SELECT epoch FROM outbox_epoch"


@dataclass(slots=True)
class Drill:
    """One run."""

    stack: Stack
    backup: Path
    families: Families
    told: TimedTold
    acts: Acts
    steps: Steps
    chance: random.Random

    async def until_the_disaster(self) -> dict[str, datetime]:
        """Work, back up, go on working, lose everything; the points to restore to."""
        enough = asyncio.Event()
        await self.steps.of("archiving on, first base backup", lambda: in_thread(self._back_up))
        desks = self._desks()
        work = asyncio.gather(desks.work(enough), self.acts.work(enough))
        await asyncio.sleep(BEFORE_SECONDS)
        await self.steps.of("base backup under load", lambda: in_thread(self._back_up))
        of: dict[str, datetime] = {}
        for service in ORDER:
            await asyncio.sleep(BETWEEN_SECONDS)
            of[service] = await asyncio.to_thread(server_now, self._admin_url)
        await asyncio.to_thread(archive_now, self._admin_url)
        await asyncio.sleep(AFTER_SECONDS)
        await self.steps.of("disaster: all killed, data of PostgreSQL and Kafka deleted", lambda: in_thread(self._lose))
        enough.set()
        await work
        await desks.close()
        return of

    async def judge(self, of: Mapping[str, datetime]) -> dict[str, Judged]:
        """What each database has and has not, before anything new comes in."""
        found = {row["msgid"]: row for row in await rows(self.stack, "settlement", _SETTLED)}
        acts = [*self.told.acts()]
        judged = {"settlement": judge(acts, of["settlement"], _moved(found))}
        judged["settlement"].lost.extend(self._changed(found, of["settlement"]))
        for service, query in PRESENT.items():
            present = {row[0] for row in await rows(self.stack, service, query)}
            judged[service] = judge(self.acts.done[service], of[service], present)
        return judged

    async def resend(self, point: datetime) -> tuple[TimedTold, int]:
        """Hospitals send again what they were told after settlement's point, and go on; how many stay unknown."""
        self.told = self.told.as_of(point)
        desks = self._desks()
        unknown = await desks.resolve()
        enough = asyncio.Event()
        work = asyncio.create_task(desks.work(enough))
        await asyncio.sleep(AGAIN_SECONDS)
        enough.set()
        await work
        unknown += await desks.resolve()
        await desks.close()
        return self.told, unknown

    def _desks(self) -> Desks:
        address = self.stack.info.services["settlement"].grpc_address
        return Desks(self.stack, address, self.families, self.chance, self.told)

    def _changed(self, found: Mapping[str, object], point: datetime) -> list[str]:
        """Bills that are there, but not as they were acknowledged before the point."""
        before, either = self.told.as_of(point), self.told.undone_after(point)
        changed = []
        for sent in before.acknowledged:
            row = found.get(sent.key)
            if row is None:
                continue
            right = {"REVERSED"} if not sent.stands else {"SETTLED"} | ({"REVERSED"} if sent.key in either else set())
            if row["state"] not in right or row["taken"] != sent.taken:  # type: ignore[index]
                changed.append(f"{sent.key} (not as it was acknowledged)")
        return changed

    @property
    def _admin_url(self) -> str:
        return self.stack.info.postgres_admin_url

    def _back_up(self) -> None:
        local(self.stack, "backup", str(self.backup))

    def _lose(self) -> None:
        destroy(self.stack)


def _moved(found: Mapping[str, object]) -> set[str]:
    return {msgid for msgid, row in found.items() if row["state"] in {"SETTLED", "REVERSED"}}  # type: ignore[index]


async def run(stack: Stack, backup: Path, console: Console) -> int:
    """The drill; 1 if anything is wrong."""
    steps = Steps(console)
    chance = random.Random(2026)  # noqa: S311 - no secret
    families = await make_families(stack)
    drill = Drill(stack, backup, families, TimedTold(), Acts(stack), steps, chance)
    points = await drill.until_the_disaster()
    recovery = Recovery(stack, backup, points, console)
    await steps.of("databases restored, each to its own point", lambda: in_thread(recovery.restore))
    await steps.of("new Kafka, topics created", lambda: in_thread(recovery.make_topics))
    await steps.of("epochs raised", lambda: in_thread(recovery.raise_epochs))
    judged = await drill.judge(points)
    await steps.of("events published again", lambda: in_thread(recovery.republish))
    await steps.of("services started", lambda: in_thread(recovery.serve))
    wrong = [f"{service}: {each}" for service, of in judged.items() for each in of.wrong]
    await steps.of("holds reconciled, both audits", lambda: _at_rest(stack, recovery.since, console, wrong))
    told = drill.told
    before = len(told.acknowledged)
    found = Found()
    with steps.step("hospitals send again what was lost, and go on; everything checked"):
        told, unknown = await drill.resend(points["settlement"])
        found = await check(stack, told)
        found.unresolved += unknown
    wrong += await _told_twice(stack)
    wrong += [f"{service} is in epoch {epoch}" for service, epoch in (await _epochs(stack)).items() if epoch != 2]
    _report(steps, points, judged, before)
    if wrong or not found.is_clean:
        console.print("\n".join(["[red]wrong[/red]", *wrong, "" if found.is_clean else str(found)]), soft_wrap=True)
        return 1
    console.print(
        f"nothing acknowledged before its point is lost, nothing is doubled, everybody was told once, both audits are"
        f" clean; {len(told.acknowledged)} settlements stand in the end"
    )
    return 0


async def _at_rest(stack: Stack, since: datetime, console: Console, wrong: list[str]) -> None:
    await asyncio.to_thread(stack.quiesce, 120.0)
    await eventually(lambda: _swept(stack), what="nothing is pending", timeout_seconds=90)
    for line in (await reconcile(stack, since)).strip().splitlines()[-2:]:
        console.print(f"  {line}", markup=False, highlight=False)
    wrong += await findings(stack)


async def _swept(stack: Stack) -> bool:
    """What was under way at the point is the sweeper's."""
    return not (await rows(stack, "settlement", _PENDING))[0][0]


async def _told_twice(stack: Stack) -> list[str]:
    twice = await rows(stack, "notify", _TWICE)
    return [f"of event {row['event_id']} the same person was told more than once" for row in twice]


async def _epochs(stack: Stack) -> dict[str, int]:
    return {service: (await rows(stack, service, _EPOCHS))[0][0] for service in ORDER}


def _report(steps: Steps, points: Mapping[str, datetime], judged: Mapping[str, Judged], acknowledged: int) -> None:
    times = Table(title="how long it took")
    times.add_column("step")
    times.add_column("s", justify="right")
    for name, seconds in steps.took:
        times.add_row(name, f"{seconds:.1f}")
    steps.console.print(times)
    table = Table(title=f"what was lost by design ({acknowledged} settlements had been acknowledged)")
    for column in ("database", "point", "acknowledged before, kept", "acknowledged after, lost", "such as"):
        table.add_column(column)
    lines = []
    for service in ORDER:
        of, point = judged[service], points[service]
        shown = ", ".join(of.by_design[:SHOWN])
        table.add_row(service, f"{point:%H:%M:%S.%f}", str(of.kept), str(len(of.by_design)), shown)
        lines += [f"{service} {key}" for key in of.by_design]
    steps.console.print(table)
    LISTED.parent.mkdir(exist_ok=True)
    LISTED.write_text("\n".join(lines) + "\n")
    steps.console.print(f"all of it: {LISTED}")


def main() -> int:
    """The drill on a stack of its own, on the disk."""
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = 160
    stack = Stack(new_session_folder())
    backup = stack.folder.root.with_name(f"{stack.folder.root.name}-backup")
    try:
        stack.up()
        return asyncio.run(run(stack, backup, console))
    except DrillFailedError as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return 1
    finally:
        remove_session(stack)
        shutil.rmtree(backup, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
