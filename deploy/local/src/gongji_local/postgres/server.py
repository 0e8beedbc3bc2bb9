"""The embedded PostgreSQL's life: initdb, start, ready, fast stop."""

import os
import re
import secrets
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg

from gongji_local.blocking import run_blocking
from gongji_local.clock import wait_until
from gongji_local.diagnosis import LogTail, explain_end, explain_silence, no_room
from gongji_local.errors import StackError
from gongji_local.files import PRIVATE_FILE
from gongji_local.passwords import password_of
from gongji_local.ports import LOOPBACK, free_port
from gongji_local.postgres.home import NAME_A_SERVER, PostgresHome, find_home, remove_home
from gongji_local.postgres.pidfile import refuse_unknown_postmaster
from gongji_local.processes import is_alive, owns_port, run, spawn, stop
from gongji_local.progress import SILENT, Progress, told
from gongji_local.room import require_file_size, require_room
from gongji_local.state import StateBook

NAME: Final = "postgres"
ADMINISTRATOR: Final = "postgres"
MAX_CONNECTIONS: Final = 200
INITDB_TIMEOUT_SECONDS: Final = 120.0
START_TIMEOUT_SECONDS: Final = 120.0
STOP_TIMEOUT_SECONDS: Final = 30.0
PROBE_TIMEOUT_SECONDS: Final = 3.0
_FASTER: Final = {
    # None of them weakens what a commit promises; fsync, synchronous_commit and full_page_writes stay as they are, on.
    "shared_buffers": "256MB",
    "wal_buffers": "16MB",
    # After each checkpoint every page that is changed goes to the WAL once as a whole: seldom, and compressed.
    "checkpoint_timeout": "15min",
    "max_wal_size": "2GB",
    "wal_compression": "lz4",
}


class EmbeddedPostgres:
    """One PostgreSQL server of one state folder: scram on loopback, fsync on, no socket file."""

    def __init__(self, book: StateBook) -> None:
        self._book = book
        self._log = book.folder.log_of(NAME)

    @property
    def admin_url(self) -> str:
        """The administrator's URL; valid once the server was started."""
        port = self._book.port(NAME)
        return f"postgresql://{ADMINISTRATOR}:{password_of(self._book.folder, NAME)}@{LOOPBACK}:{port}/postgres"

    def is_alive(self) -> bool:
        """Whether our own postmaster runs."""
        return is_alive(self._book.read().processes.get(NAME))

    def address(self) -> str:
        """`host:port`; empty before the first start."""
        port = self._book.read().ports.get(NAME)
        return f"{LOOPBACK}:{port}" if port else ""

    def is_ready(self) -> bool:
        """Whether our own postmaster runs, is the one at its port and answers a query."""
        record = self._book.read()
        process, port = record.processes.get(NAME), record.ports.get(NAME)
        return port is not None and owns_port(process, port) and answers(self.admin_url)

    def start(self, progress: Progress = SILENT) -> None:
        """Makes the data folder if need be, starts the server and waits until it answers."""
        with told(progress, "PostgreSQL") as step:
            if not self.is_alive():
                home = find_home(self._book)
                if not home.data.exists():
                    self._initialise(home)
                refuse_unknown_postmaster(home.data)
                self._launch(home)
            self._wait_ready()
            step.detail = f"{LOOPBACK}:{self._book.read().ports[NAME]}"

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, the data folder is left clean."""
        stop(self._book.read().processes.get(NAME), signal.SIGINT, STOP_TIMEOUT_SECONDS)
        self._book.forget_process(NAME)

    def wipe(self) -> None:
        """Stops the server and deletes its data."""
        self.stop()
        remove_home(self._book)

    def _launch(self, home: PostgresHome) -> None:
        require_file_size("PostgreSQL")
        record = self._book.read()
        port = free_port(record.ports.get(NAME), set(record.ports.values()) - {record.ports.get(NAME)})
        self._book.put_port(NAME, port)
        self._book.put_process(NAME, spawn(home.command("postgres", *_arguments(home, port)), self._log))

    def _wait_ready(self) -> None:
        record = self._book.read()
        process = record.processes[NAME]
        tail = LogTail(self._log, process.log_start_bytes)
        in_time = wait_until(lambda: not is_alive(process) or self.is_ready(), START_TIMEOUT_SECONDS)
        if not is_alive(process):
            self._book.forget_process(NAME)
            raise explain_end(NAME, process, tail, (record.ports[NAME],))
        if not in_time:
            raise explain_silence(NAME, tail, START_TIMEOUT_SECONDS)

    def _initialise(self, home: PostgresHome) -> None:
        require_room(home.data.parent, "PostgreSQL")
        password = password_of(self._book.folder, NAME)
        draft = home.data.with_name("data-draft")
        shutil.rmtree(draft, ignore_errors=True)
        with _password_file(home, password) as file:
            finished = run(home.command("initdb", *_initdb_arguments(draft, file)), INITDB_TIMEOUT_SECONDS)
        with self._log.open("a") as log:
            log.write(finished.stdout)
        if finished.returncode != 0:
            raise _explain_initdb(home, finished.stdout)
        draft.rename(home.data)  # only now: an initdb that was killed half-way is never taken for a data folder


def address_of(url: str) -> str:
    """`host:port` of a URL, without the account."""
    return urlsplit(url).netloc.rpartition("@")[2]


def answers(url: str) -> bool:
    """Whether a query gets its answer within three seconds."""
    try:
        return run_blocking(lambda: select_one(url)) == 1
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


async def select_one(url: str) -> int:
    """Asks the simplest query, three seconds at most for connecting and for the answer."""
    connection = await asyncpg.connect(url, timeout=PROBE_TIMEOUT_SECONDS)
    try:
        return int(await connection.fetchval("SELECT 1", timeout=PROBE_TIMEOUT_SECONDS))
    finally:
        await connection.close(timeout=PROBE_TIMEOUT_SECONDS)


def _initdb_arguments(data: Path, password_file: Path) -> tuple[str, ...]:
    return (
        f"--pgdata={data}",
        f"--username={ADMINISTRATOR}",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
    )


def _arguments(home: PostgresHome, port: int) -> tuple[str, ...]:
    settings = {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": str(MAX_CONNECTIONS),
        "timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        **_FASTER,
    }
    return ("-D", str(home.data), *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")))


@contextmanager
def _password_file(home: PostgresHome, password: str) -> Iterator[Path]:
    """A file that only PostgreSQL's account can read, for as long as initdb needs it."""
    path = home.data.parent / f"password-{secrets.token_hex(8)}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "w") as file:
            if home.account:
                os.fchown(file.fileno(), home.account.uid, home.account.gid)
            file.write(password)
        yield path
    finally:
        path.unlink()


def _explain_initdb(home: PostgresHome, output: str) -> StackError:
    if full := no_room("PostgreSQL", output, home.data.parent):
        return full
    if "user does not exist" in output:
        return StackError(
            f"PostgreSQL wants an account with a name, and user id {os.geteuid()} has none on this machine.",
            f"Run as a user of this machine (or as root). {NAME_A_SERVER}",
        )
    lines = [line for line in output.splitlines() if line.strip()] or ["initdb printed nothing"]
    last = next((line for line in lines if re.search(r"\b(error|FATAL|PANIC)\b", line)), lines[-1])
    return StackError(
        f"PostgreSQL's data folder {home.data} could not be made: {last}",
        "The whole output is in `gongji-local logs postgres`; run `gongji-local up` again when the cause is gone.",
    )
