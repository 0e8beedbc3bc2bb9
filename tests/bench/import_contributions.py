"""`make bench-contributions`: how fast `settlement import-contributions` credits a month's contributions from a file.

Credits ROWS rows (500,000) on a fifth as many accounts of a fresh database, then the same file again, and audits the
books. The figures go to out/bench-contributions.json.
"""

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import asyncpg
from rich.console import Console

from gongji_local.sessions import new_session_folder, remove_session
from gongji_local.stack import Stack
from gongji_local.templates import DatabaseTemplates

ROWS: Final = int(os.environ.get("ROWS") or "500000")
ACCOUNTS: Final = max(1, ROWS // 5)


@dataclass(frozen=True, slots=True)
class Run:
    """One import."""

    name: str
    rows: int
    seconds: float
    rows_per_second: int
    importer_cpu_seconds: float
    importer_peak_mib: int


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
    (out / "bench-contributions.json").write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def _measure(stack: Stack, folder: Path, console: Console) -> dict[str, object]:
    url = DatabaseTemplates(stack.start_postgres()).fresh("settlement")
    asyncio.run(_open_accounts(url))
    file = _write(folder / "contributions.csv")
    runs = []
    for name in ("first", "same again"):
        run = _import(name, file, url)
        runs.append(run)
        importer = f"importer {run.importer_cpu_seconds:5.1f} s CPU, {run.importer_peak_mib} MiB at most"
        console.print(f"{run.name:12} {run.rows_per_second:>7} rows/s  {run.seconds:6.1f} s  {importer}")
    _run(folder / "audit.log", url, "audit")
    return {
        "rows": ROWS,
        "accounts": ACCOUNTS,
        "cores": os.cpu_count(),
        "load_average_1_min": os.getloadavg()[0],
        "runs": [asdict(run) for run in runs],
    }


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
        for number in range(ROWS):
            output.write(f"2025-06.{number},6527{number % ACCOUNTS:016d},{10_000 + number % 977},\n")
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
