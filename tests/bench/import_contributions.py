"""`make bench-contributions`: how fast `settlement import-contributions` credits a month's contributions from a file.

Credits ROWS rows (500,000) on a fifth as many accounts of a fresh database, then the same file again, and audits the
books. RPC=1 starts the whole stack and sends the same rows by one stream over TLS to `ImportContributions`, twice, too,
while the relay and notify have the cores as well. The figures go to out/bench-contributions.json. Above
300 MiB it fails.
"""

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import asyncpg
from bench.contributions_by_rpc import Contribution, stream
from rich.console import Console

from gongji_local.sessions import new_session_folder, remove_session
from gongji_local.stack import Stack
from gongji_local.templates import DatabaseTemplates

ROWS: Final = int(os.environ.get("ROWS") or "500000")
ACCOUNTS: Final = max(1, ROWS // 5)
RPC: Final = os.environ.get("RPC", "") == "1"
MOST_MIB: Final = 300


@dataclass(frozen=True, slots=True)
class Run:
    """One import; the importer is the command's process, or settlement's where rows come by a stream."""

    name: str
    rows: int
    seconds: float
    rows_per_second: int
    importer_cpu_seconds: float
    importer_peak_mib: int


def main() -> int:
    """Measure, print, write; 0 if nothing failed, however slow, and no process took too much memory."""
    console = Console(soft_wrap=True)
    stack = Stack(new_session_folder())
    try:
        with tempfile.TemporaryDirectory() as folder:
            runs = _by_file(stack, Path(folder), console)
        if RPC:
            runs += _by_rpc(stack, console)
    finally:
        remove_session(stack)
    out = Path("out")
    out.mkdir(exist_ok=True)
    (out / "bench-contributions.json").write_text(json.dumps(_figures(runs), indent=2) + "\n")
    return 1 if too_much_memory(runs) else 0


def too_much_memory(runs: Sequence[Run]) -> bool:
    """Whether an import needed more than a process may."""
    return max(run.importer_peak_mib for run in runs) > MOST_MIB


def _by_file(stack: Stack, folder: Path, console: Console) -> list[Run]:
    url = DatabaseTemplates(stack.start_postgres()).fresh("settlement")
    asyncio.run(_open_accounts(url))
    file = _write(folder / "contributions.csv")
    runs = []
    for name in ("first", "same again"):
        runs.append(_import(name, file, url))
        _tell(console, runs[-1])
    _run(folder / "audit.log", url, "audit")
    return runs


def _by_rpc(stack: Stack, console: Console) -> list[Run]:
    stack.up()
    asyncio.run(_open_accounts(stack.info.database_url("settlement")))
    runs = []
    for name, credited in (("RPC, first", ROWS), ("RPC, same again", 0)):
        streamed = asyncio.run(stream(stack, contributions()))
        if streamed.answer.credited_count != credited or streamed.answer.received_count != ROWS:
            sys.exit(f"{name}: {streamed.answer.credited_count} credited of {streamed.answer.received_count}")
        seconds, cpu_seconds = round(streamed.seconds, 2), round(streamed.cpu_seconds, 2)
        runs.append(Run(name, ROWS, seconds, round(ROWS / streamed.seconds), cpu_seconds, streamed.peak_mib))
        _tell(console, runs[-1])
    audit = stack.run_command("settlement", "audit")
    if audit.returncode != 0:
        sys.exit(audit.stdout + audit.stderr)
    return runs


def _tell(console: Console, run: Run) -> None:
    importer = f"importer {run.importer_cpu_seconds:5.1f} s CPU, {run.importer_peak_mib} MiB at most"
    console.print(f"{run.name:15} {run.rows_per_second:>7} rows/s  {run.seconds:6.1f} s  {importer}")


def _figures(runs: Sequence[Run]) -> dict[str, object]:
    return {
        "rows": ROWS,
        "accounts": ACCOUNTS,
        "cores": os.cpu_count(),
        "load_average_1_min": os.getloadavg()[0],
        "runs": [asdict(run) for run in runs],
    }


def contributions() -> Iterator[Contribution]:
    """A month's, the same each time."""
    for number in range(ROWS):
        yield f"2025-06.{number}", f"6527{number % ACCOUNTS:016d}", 10_000 + number % 977


async def _open_accounts(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "INSERT INTO account (psn_no) SELECT '6527' || lpad(n::text, 16, '0') FROM generate_series(0, $1 - 1) AS n",
            ACCOUNTS,
        )
    finally:
        await connection.close()


def _write(file: Path) -> Path:
    with file.open("w", encoding="utf-8") as output:
        output.write("contribution_id,psn_no,amount,kind\n")
        for contribution_id, psn_no, amount_fen in contributions():
            output.write(f"{contribution_id},{psn_no},{amount_fen},\n")
    return file


def _import(name: str, file: Path, url: str) -> Run:
    started = time.monotonic()
    used = _run(file.with_suffix(".log"), url, "import-contributions", str(file))
    seconds = time.monotonic() - started
    cpu_seconds = round(used.ru_utime + used.ru_stime, 2)
    return Run(name, ROWS, round(seconds, 2), round(ROWS / seconds), cpu_seconds, used.ru_maxrss // 1024)


def _run(log_file: Path, url: str, *arguments: str) -> resource.struct_rusage:
    """Run a command of settlement to its end; what it used."""
    environ = os.environ | {"GONGJI_ENVIRONMENT": "local", "GONGJI_DATABASE_URL": url}
    command = [sys.executable, "-m", "settlement", *arguments]
    with log_file.open("wb") as log:
        actions = [(os.POSIX_SPAWN_DUP2, log.fileno(), 1), (os.POSIX_SPAWN_DUP2, log.fileno(), 2)]
        process = os.posix_spawn(sys.executable, command, environ, file_actions=actions)
        _, status, used = os.wait4(process, 0)
    if status != 0:
        sys.exit(log_file.read_text(encoding="utf-8"))
    return used


if __name__ == "__main__":
    sys.exit(main())
