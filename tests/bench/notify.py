"""`make bench-notify`: how soon people hear of a debit, in the inbox and by SMS.

A whole stack runs (four services in processes of their own, TLS, durable commits, relay, webhooks' consumer), with
notify's SMS adapter pointed at a small gateway (`bench.notify_gateway`) that takes everything at once. Debits are rows
of settlement's outbox, written as settlement writes them and published by its relay. A delay counts from such a row to
the message's row in the inbox and to the request at the gateway; both rows tell a moment shortly before their commit.

1. EVENTS debits wait in account-events-v1 while notify does not run; then it starts.
2. 200 debits a second, steadily; SHARE of the payers have a telephone here and in 1.
3. 500, 1,000 and 2,000 a second to payers without a contact, until one is not sustained: its backlog grows.

SECONDS_EACH is the length of each steady load. The table is printed and kept in out/bench-notify.json.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
from bench import cpu
from bench.notify_gateway import MESSAGES
from bench.notify_load import (
    Debits,
    Delays,
    backlogs,
    delays,
    is_sustained,
    steadily,
    telephones,
    written_per_second,
)
from bench.notify_watch import CpuSeconds, Looking, Times, each_ms, missing
from rich.console import Console
from rich.table import Table
from support.gateways import write_gateway_ring

from gongji_local.sessions import new_session_folder, remove_session
from gongji_local.stack import Stack
from kit.crypto import KeyRing
from kit.db import Database
from kit.outbox import PostgresOutbox
from notify.main import work

EVENTS: Final = int(os.environ.get("EVENTS", "10000"))
SHARE: Final = float(os.environ.get("SHARE", "1"))
SECONDS: Final = float(os.environ.get("SECONDS_EACH", "8"))
PAYERS: Final = 10_000
"""So many that nobody gets more than 20 messages in a day, which is where notify stops."""
STEADY_RATE: Final = 200
RATES: Final = (500, 1_000, 2_000)
INBOX_ONLY: Final = "inbox only"
AIM_P99_MS: Final = 1_000
AIM_RATE: Final = 1_000
REACHED: Final = "C"
"""What psn_no of payers begin with some of whom have a telephone."""
ALONE: Final = "N"
"""And of payers none of whom has one."""
WARM_UP_EVENTS: Final = 200
WRITE_ROWS: Final = 1_000
WAIT_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.25
OUT: Final = Path("out/bench-notify.json")


@dataclass(frozen=True, slots=True)
class Waiting:
    """What became of events that waited; seconds from the start of notify's process."""

    events: int
    started_seconds: float
    """Until it was ready."""
    first_seconds: float
    """Until the first message was in the inbox."""
    inbox_seconds: float
    """Until the last was."""
    gateway_seconds: float | None
    """Until the last was handed over; None where nobody has a telephone."""
    cpu_ms_each: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Steady:
    """What became of a steady load."""

    name: str
    rate: int
    written_per_second: float
    is_sustained: bool
    backlog_most: int
    backlog_at_the_end: int
    inbox: Delays
    gateway: Delays | None
    cpu_ms_each: Mapping[str, float]


class Bench:
    """One run."""

    def __init__(
        self, stack: Stack, console: Console, database: Database, looking: Looking, cpu_seconds: CpuSeconds
    ) -> None:
        self._stack = stack
        self._console = console
        self._database = database
        self._looking = looking
        self._cpu = cpu_seconds
        self._written = 0
        self._debits = {REACHED: Debits(REACHED, PAYERS, SHARE), ALONE: Debits(ALONE, PAYERS)}
        self.missing = 0

    @property
    def to_telephones(self) -> int:
        """How many debits were owed to a telephone."""
        return sum(debits.to_telephones for debits in self._debits.values())

    async def waiting(self, extra: Mapping[str, str]) -> Waiting:
        """EVENTS debits wait, and notify starts."""
        await asyncio.to_thread(self._stack.stop_service, "notify")
        await asyncio.to_thread(self._stack.start_service, "notify", extra)
        idle = self._cpu.so_far()["notify"]  # what a start costs is no event's
        await asyncio.to_thread(self._stack.stop_service, "notify")
        debits, last = self._debits[REACHED], await self._looking.last_event()
        for first in range(0, EVENTS, WRITE_ROWS):
            await self._write(debits, min(WRITE_ROWS, EVENTS - first))
        await _until(lambda: self._is(self._looking.unpublished(), 0), "the relay did not publish")
        self._say(f"{EVENTS:,} debits wait")
        before, started = self._cpu.so_far() | {"notify": idle}, time.time()
        await asyncio.to_thread(self._stack.start_service, "notify", extra)
        ready = time.time()
        times, after = await self._arrived(last)
        taken = times.handed_over.values()
        return Waiting(
            events=EVENTS,
            started_seconds=round(ready - started, 2),
            first_seconds=round(min(times.kept.values()) - started, 2),
            inbox_seconds=round(max(times.kept.values()) - started, 2),
            gateway_seconds=round(max(taken) - started, 2) if taken else None,
            cpu_ms_each=each_ms(before, after, EVENTS),
        )

    async def steady(self, name: str, prefix: str, rate: int) -> Steady:
        """So many debits a second."""
        debits = self._debits[prefix]
        warm_up = await self._looking.last_event()
        await self._write(debits, WARM_UP_EVENTS)
        await self._arrived(warm_up)
        before, last = self._cpu.so_far(), await self._looking.last_event()
        await steadily(lambda count: self._write(debits, count), rate, SECONDS)
        times, after = await self._arrived(last)
        written, kept = list(times.written.values()), list(times.kept.values())
        found = backlogs(written, kept)
        row = Steady(
            name=name,
            rate=rate,
            written_per_second=round(written_per_second(written)),
            is_sustained=is_sustained(written, kept, rate),
            backlog_most=max(found),
            backlog_at_the_end=found[-1],
            inbox=delays(times.written, times.kept),
            gateway=delays(times.written, times.handed_over) if times.handed_over else None,
            cpu_ms_each=each_ms(before, after, len(written)),
        )
        self._say(f"{name}, {rate:,} a second: inbox p99 {row.inbox.p99_ms} ms, sustained: {row.is_sustained}")
        return row

    async def _write(self, debits: Debits, count: int) -> None:
        async with self._database.transaction() as transaction:
            await PostgresOutbox(transaction, "settlement").add(debits.some(count))

    async def _arrived(self, after_row: int) -> tuple[Times, dict[str, float]]:
        """When all that was written is in the inbox and handed over where it is to be; and the CPU until then."""
        self._written += await self._looking.count_written(after_row)
        await _until(lambda: self._is(self._looking.messages(), self._written), "not all came to the inbox")
        await _until(lambda: self._is(self._looking.unrecorded(), 0), "not all were handed over")
        spent, times = self._cpu.so_far(), await self._looking.times(after_row)
        self.missing += missing(times.written, times.kept)
        return times, spent

    async def _is(self, asked: Awaitable[int], expected: int) -> bool:
        return await asked == expected

    def _say(self, what: str) -> None:
        self._console.print(what)


async def _until(is_so: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    ends = time.monotonic() + WAIT_SECONDS
    while not await is_so():
        if time.monotonic() > ends:
            raise SystemExit(f"{otherwise} within {WAIT_SECONDS:g} s")
        await asyncio.sleep(POLL_SECONDS)


async def measure(stack: Stack, gateway: "subprocess.Popen[str]", console: Console) -> dict[str, Any]:
    """Everything, in one run."""
    port = (await asyncio.to_thread(_first_line, gateway)).strip()
    extra = await asyncio.to_thread(_surroundings, stack, f"http://127.0.0.1:{port}{MESSAGES}")
    await _add_telephones(stack)
    database = Database(stack.info.database_url("settlement"), 2, "bench")
    settlement = await asyncpg.connect(stack.info.database_url("settlement"))
    notify = await asyncpg.connect(stack.info.database_url("notify"))
    await database.connect()
    try:
        looking = Looking(settlement, notify, f"http://127.0.0.1:{port}")
        bench = Bench(stack, console, database, looking, CpuSeconds(stack, await cpu.postgres(notify), gateway.pid))
        waiting = await bench.waiting(extra)
        console.print(
            f"all in the inbox after {waiting.inbox_seconds} s, handed over after {waiting.gateway_seconds} s"
        )
        rows = [await bench.steady("inbox and SMS", REACHED, STEADY_RATE)]
        for rate in RATES:
            rows.append(await bench.steady(INBOX_ONLY, ALONE, rate))
            if not rows[-1].is_sustained:
                break
        counts = await looking.counts()
        return {
            "cores": os.cpu_count(),
            "seconds_each": SECONDS,
            "share_with_telephone": SHARE,
            "waiting": asdict(waiting),
            "rows": [asdict(row) for row in rows],
            "gateway": counts,
            "missing": {"inbox": bench.missing, "gateway": bench.to_telephones - counts["unique"]},
            "aims": {"p99_ms": AIM_P99_MS, "inbox_only_per_second": AIM_RATE},
        }
    finally:
        await database.close()
        await settlement.close()
        await notify.close()


def _first_line(gateway: "subprocess.Popen[str]") -> str:
    return gateway.stdout.readline() if gateway.stdout else ""


def _surroundings(stack: Stack, url: str) -> dict[str, str]:
    """What notify is told besides: an SMS gateway, by the default policy."""
    ring = write_gateway_ring(stack.folder.root / "gateway-keyring.json")
    channels = stack.folder.root / "channels.json"
    channels.write_text(json.dumps({"SMS": {"adapter": "gateway", "url": url}}))
    return {"GONGJI_CHANNELS_FILE": str(channels), "GONGJI_GATEWAY_KEYRING_FILE": str(ring)}


async def _add_telephones(stack: Stack) -> None:
    """Kept by notify's own repository, as if their codes had come back."""
    database = Database(stack.info.database_url("notify"), 2, "bench")
    await database.connect()
    try:
        contacts = telephones(REACHED, PAYERS, SHARE)
        for first in range(0, len(contacts), WRITE_ROWS):
            async with work(database, KeyRing.load(stack.info.keyring_files["notify"]))() as repository:
                await repository.save_contacts(contacts[first : first + WRITE_ROWS])
    finally:
        await database.close()


@contextmanager
def _gateway() -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "bench.notify_gateway"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - this bench's own
        try:
            yield process
        finally:
            process.terminate()


def _table(figures: Mapping[str, Any], before: Mapping[str, Any] | None) -> Table:
    was = {(row["name"], row["rate"]): row["inbox"]["p99_ms"] for row in before["rows"]} if before else {}
    table = Table(title=f"From the row in settlement's outbox to the message; p99 is to be under {AIM_P99_MS:,} ms")
    table.add_column("what")
    for column in ("a second", "written", "sustained", "inbox p50 ms", "p99", "before", "SMS p50 ms", "p99"):
        table.add_column(column, justify="right")
    table.add_column("backlog most / end", justify="right")
    for row in figures["rows"]:
        earlier, sms = was.get((row["name"], row["rate"])), row["gateway"] or {"p50_ms": "", "p99_ms": ""}
        table.add_row(
            row["name"],
            f"{row['rate']:,}",
            f"{row['written_per_second']:,}",
            "yes" if row["is_sustained"] else "no",
            *(str(row["inbox"]["p50_ms"]), str(row["inbox"]["p99_ms"])),
            f"{row['inbox']['p99_ms'] / earlier - 1:+.0%}" if earlier else "",
            *(str(sms["p50_ms"]), str(sms["p99_ms"])),
            f"{row['backlog_most']:,} / {row['backlog_at_the_end']:,}",
        )
    return table


def _costs(figures: Mapping[str, Any]) -> Table:
    table = Table(title="CPU for each event, ms")
    table.add_column("what")
    rows = [(f"{figures['waiting']['events']:,} waiting", figures["waiting"]["cpu_ms_each"])]
    rows += [(f"{row['name']}, {row['rate']:,} a second", row["cpu_ms_each"]) for row in figures["rows"]]
    names = sorted(rows[0][1])
    for name in names:
        table.add_column(name, justify="right")
    for what, spent in rows:
        table.add_row(what, *(f"{spent[name]:.2f}" for name in names))
    return table


def _sentences(figures: Mapping[str, Any], before: Mapping[str, Any] | None) -> Iterator[str]:
    waiting, gateway = figures["waiting"], figures["gateway"]
    yield (
        f"{waiting['events']:,} debits waiting, {figures['share_with_telephone']:.0%} of payers with a telephone; "
        f"notify was ready {waiting['started_seconds']} s after its start, the first message in the inbox after "
        f"{waiting['first_seconds']} s, all after {waiting['inbox_seconds']} s, all handed to the gateway after "
        f"{waiting['gateway_seconds']} s"
    )
    if before:
        was = before["waiting"]
        yield f"before: {was['events']:,}; inbox {was['inbox_seconds']} s, gateway {was['gateway_seconds']} s"
    rates = [row["rate"] for row in figures["rows"] if row["name"] == INBOX_ONLY and row["is_sustained"]]
    yield f"inbox only, sustained: {max(rates, default=0):,} a second of {RATES[-1]:,}; the aim is {AIM_RATE:,}"
    yield f"the gateway got {gateway['unique']:,} messages and {gateway['doubles']:,} doubles"
    yield f"missing: {figures['missing']}"


def main() -> int:
    """Measure, print, keep; 1 if anything is missing."""
    progress, console = Console(stderr=True, soft_wrap=True), Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = 170  # a log has no width of its own, and a squeezed table cannot be read
    before = json.loads(OUT.read_text()) if OUT.exists() else None
    stack = Stack(new_session_folder())
    try:
        progress.print(f"Starting the whole stack; {os.cpu_count()} cores, {SECONDS:g} s each")
        stack.up()
        with _gateway() as gateway:
            figures = asyncio.run(measure(stack, gateway, progress))
    finally:
        remove_session(stack)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(_table(figures, before))
    console.print(_costs(figures))
    for sentence in _sentences(figures, before):
        console.print(sentence)
    return 1 if any(figures["missing"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
