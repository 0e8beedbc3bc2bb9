"""`make bench-import`: how fast `identity import` loads a register, and how near that is to what PostgreSQL can take.

Loads a register into a fresh database, then the same again under another batch, then one in which 1 % changed; copies
the very rows that came about into another fresh database, without our code: the ceiling; times the relay that tells of
it all; and loads a register in which everybody else's enrolment changed as well. Set ROWS for another size. The figures
go to out/bench-import.json.
"""

import asyncio
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import asyncpg
import psutil
from bench.registers import rows, write
from rich.console import Console

from gongji_local.sessions import new_session_folder, remove_session
from gongji_local.stack import Stack
from gongji_local.templates import DatabaseTemplates
from gongji_local.topics import create_topics
from identity.testing import keyring
from kit.db import Database
from kit.kafka_client import KafkaAddress
from kit.relay import Relay

ROWS: Final = int(os.environ.get("ROWS", "500000"))
CHANGED_EVERY: Final = 100
CHUNK_ROWS: Final = 4000
TARGET_ROWS_PER_SECOND: Final = 15_000
TARGET_PEAK_MIB: Final = 400
RELAY_PATIENCE_SECONDS: Final = 1800

TABLES: Final = {
    "insured": "psn_no, name_ct, brdy, tel_ct, card_sn_ct, died_on, version",
    "insured_certificate": "psn_no, psn_cert_type, number_ct, number_index, real_name_index, card_index, stated_index",
    "enrolment": "psn_no, position, insutype, insuplc_admdvs, psn_insu_stas, arrears, valid_from, valid_to",
    "outbox_event": "id, event_id, topic, key, type, source, subject, payload, occurred_at, sequence, epoch",
}
"""What an import writes for each person; `outbox_unsent`, which the relay empties, has the ids of the last."""


@dataclass(frozen=True, slots=True)
class Run:
    """One import."""

    name: str
    rows: int
    seconds: float
    rows_per_second: int
    importer_cpu_seconds: float
    importer_peak_mib: int
    postgres_cpu_seconds: float


def main() -> int:
    """Measure, print, write; 0 if nothing failed, whatever the figures."""
    console = Console(soft_wrap=True)
    stack = Stack(new_session_folder())
    try:
        with tempfile.TemporaryDirectory() as folder:
            figures = _measure(stack, Path(folder), console)
    finally:
        remove_session(stack)
    out = Path("out")
    out.mkdir(exist_ok=True)
    (out / "bench-import.json").write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def _measure(stack: Stack, folder: Path, console: Console) -> dict[str, object]:
    databases = DatabaseTemplates(stack.start_postgres())
    url, ceiling_url = databases.fresh("identity"), databases.fresh("identity")
    key_file = keyring(folder)
    register = write(folder / "register.csv", rows(ROWS))
    later = write(folder / "later.csv", rows(ROWS, changed_every=CHANGED_EVERY))
    latest = write(folder / "latest.csv", rows(ROWS, changed_every=1))
    console.print(f"{ROWS} rows, {register.stat().st_size / ROWS:.0f} bytes each; {os.cpu_count()} cores")

    runs = []
    for name, file in (("first", register), ("same again", register), ("1 % changed", later)):
        run = _import(name, file, url, key_file)
        runs.append(run)
        console.print(_line(run))
    ceiling = asyncio.run(_ceiling(url, ceiling_url))
    ratio = runs[0].rows_per_second / ceiling
    console.print(f"ceiling (COPY of the same rows) {ceiling} rows/s; the import reaches {ratio:.0%} of it")
    bootstrap = stack.start_kafka()
    create_topics(bootstrap)
    events, seconds = asyncio.run(_relay(url, bootstrap))
    console.print(f"relay: {events} events told in {seconds:.1f} s, {events / seconds:.0f}/s")
    runs.append(_import("99 % changed", latest, url, key_file))
    console.print(_line(runs[-1]))
    return {
        "rows": ROWS,
        "cores": os.cpu_count(),
        "load_average_1_min": os.getloadavg()[0],
        "runs": [asdict(run) for run in runs],
        "ceiling_rows_per_second": ceiling,
        "ratio_to_ceiling": round(ratio, 3),
        "relay": {"events": events, "seconds": round(seconds, 1), "events_per_second": round(events / seconds)},
        "target": {"rows_per_second": TARGET_ROWS_PER_SECOND, "peak_mib": TARGET_PEAK_MIB},
    }


def _line(run: Run) -> str:
    speed = f"{run.name:12} {run.rows_per_second:>7} rows/s  {run.seconds:6.1f} s"
    importer = f"importer {run.importer_cpu_seconds:5.1f} s CPU, {run.importer_peak_mib} MiB at most"
    return f"{speed}  {importer}; PostgreSQL {run.postgres_cpu_seconds:5.1f} s CPU"


def _import(name: str, file: Path, url: str, key_file: Path) -> Run:
    settings = {"ENVIRONMENT": "local", "DATABASE_URL": url, "KEYRING_FILE": str(key_file)}
    environ = os.environ | {f"GONGJI_{key}": value for key, value in settings.items()}
    batch = name.replace(" ", "-").replace("%", "percent")
    command = [sys.executable, "-m", "identity", "import", str(file), "--batch", batch, f"--chunk-rows={CHUNK_ROWS}"]
    postgres_cpu = asyncio.run(_postgres_cpu(url))
    before, started = postgres_cpu(), time.monotonic()
    with (file.parent / f"{batch}.log").open("wb") as log:
        process = os.posix_spawn(
            sys.executable, command, environ, file_actions=[(os.POSIX_SPAWN_DUP2, log.fileno(), 2)]
        )
        _, status, used = os.wait4(process, 0)
    seconds = time.monotonic() - started
    if status != 0:
        sys.exit((file.parent / f"{batch}.log").read_text(encoding="utf-8"))
    return Run(
        name,
        ROWS,
        round(seconds, 2),
        round(ROWS / seconds),
        round(used.ru_utime + used.ru_stime, 2),
        used.ru_maxrss // 1024,
        round(postgres_cpu() - before, 2),
    )


async def _postgres_cpu(url: str) -> Callable[[], float]:
    """Tells the CPU seconds of the server so far: its processes, and those that have ended."""
    connection = await asyncpg.connect(url)
    try:
        backend = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()"))
        server = psutil.Process(backend.ppid())
    finally:
        await connection.close()

    def seconds() -> float:
        times = server.cpu_times()
        total = times.user + times.system + times.children_user + times.children_system
        for child in server.children():
            with suppress(psutil.NoSuchProcess):
                total += sum(child.cpu_times()[:2])
        return float(total)

    return seconds


async def _ceiling(url: str, ceiling_url: str) -> int:
    """Rows a second when the same rows are copied, chunk by chunk as the import does it."""
    source, target = await asyncpg.connect(url), await asyncpg.connect(ceiling_url)
    try:
        seconds = 0.0
        for start in range(1, ROWS + 1, CHUNK_ROWS):
            chunk = await _chunk(source, start)
            started = time.monotonic()
            await _copy(target, chunk)
            seconds += time.monotonic() - started
    finally:
        await source.close()
        await target.close()
    return round(ROWS / seconds)


async def _chunk(source: asyncpg.Connection, start: int) -> dict[str, bytes]:
    chunk = {}
    first, last = f"6527{start:012d}", f"6527{start + CHUNK_ROWS - 1:012d}"
    for table, columns in TABLES.items():
        key, only = ("key", " AND sequence = 1") if table == "outbox_event" else ("psn_no", "")
        if table == "enrolment":
            only = " AND position = 1"
        told = io.BytesIO()
        await source.copy_from_query(
            f"SELECT {columns} FROM {table} WHERE {key} BETWEEN $1 AND $2{only}",  # noqa: S608 - constants of this file
            first,
            last,
            output=told,
            format="binary",
        )
        chunk[table] = told.getvalue()
    return chunk


async def _copy(target: asyncpg.Connection, chunk: dict[str, bytes]) -> None:
    async with target.transaction():
        for table, columns in TABLES.items():
            await target.copy_to_table(
                table, columns=columns.split(", "), source=io.BytesIO(chunk[table]), format="binary"
            )
        await target.execute(
            "INSERT INTO outbox_run SELECT id, 1 FROM outbox_event WHERE id > coalesce("
            "(SELECT max(id) FROM outbox_unsent), 0)"
        )


async def _relay(url: str, bootstrap: str) -> tuple[int, float]:
    """How many events wait, and how long the relay takes to tell them."""
    database = Database(url, 2)
    relay = Relay(database, url, KafkaAddress(bootstrap), "bench")
    connection = await asyncpg.connect(url)
    waiting = await connection.fetchval("SELECT count(*) FROM outbox_unsent")
    started = time.monotonic()
    running = asyncio.create_task(relay.run())
    try:
        async with asyncio.timeout(RELAY_PATIENCE_SECONDS):
            while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox_unsent)"):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        return waiting, time.monotonic() - started
    finally:
        await relay.stop()
        await running
        await connection.close()
        await database.close()


if __name__ == "__main__":
    sys.exit(main())
