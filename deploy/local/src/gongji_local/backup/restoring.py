"""Restoring: the server recovers a base backup and the archived WAL up to a point, and goes on from there.

The four databases live in one server, so one recovery brings all of them to one point. For a database that is to be of
an earlier point, the same base backup is recovered once more beside, up to that point, and the database is carried over
from there. The server itself goes on from the latest of all points: settlement keeps numbers of transactions in its
rows (`entry.tx`), which must lie behind those that the server gives out.
"""

import os
import shutil
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from gongji_local.backup.archive import Archive, Base, key_ids, missing_keys
from gongji_local.backup.points import Point, Points
from gongji_local.backup.taking import address_options, require_success, with_password
from gongji_local.bringing_up import database_of
from gongji_local.clock import real_now, wait_until
from gongji_local.diagnosis import LogTail, explain_end, explain_silence
from gongji_local.errors import StackError
from gongji_local.files import PRIVATE_FILE
from gongji_local.passwords import password_of
from gongji_local.ports import LOOPBACK, free_port
from gongji_local.postgres.databases import ensure_databases, execute, quoted
from gongji_local.postgres.home import PostgresHome, find_home
from gongji_local.postgres.server import ADMINISTRATOR, MAX_CONNECTIONS, NAME, answers
from gongji_local.processes import Account, Command, is_alive, spawn, stop
from gongji_local.progress import SILENT, Progress, told
from gongji_local.stack import Stack
from gongji_local.state import StateBook

BESIDE: Final = "postgres-beside"
NOT_REACHED: Final = "recovery ended before configured recovery target was reached"
RECOVERY_TIMEOUT_SECONDS: Final = 1800.0
STOP_TIMEOUT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did."""

    put_aside: Path | None
    """Where the data folder went that was there before."""


def restore(stack: Stack, archive: Archive, points: Points, progress: Progress = SILENT) -> Restored:
    """Brings each service's database to its point; PostgreSQL alone runs afterwards.

    Raises:
        StackError: no base backup is old enough, a key is missing, or a point lies behind what was archived.
    """
    bases = {point: archive.base_for(point) for point in points.of.values()}
    _require_keys(stack, bases.values())
    stack.down(progress)
    book = StateBook(stack.folder)
    _forget_lost_place(book)
    home = find_home(book)
    put_aside = _put_aside(home)
    latest = points.latest
    with told(progress, "Recovering PostgreSQL", _words(latest)), _put_into_words(latest):
        _recover_in_place(stack, archive, home, latest)
    beside = _Beside(book, archive, home)
    for service, point in points.apart.items():
        with told(progress, f"Recovering {service} beside it", _words(point)), _put_into_words(point):
            beside.carry_over(service, point, stack.start_postgres())
    return Restored(put_aside)


def recovery_settings(archive: Archive, point: Point) -> str:
    """What PostgreSQL is told, for its configuration; it answers nobody before it is there."""
    settings = {"restore_command": archive.restore_command, "hot_standby": "off", "recovery_target_timeline": "latest"}
    if point is not None:
        settings |= {"recovery_target_time": point.isoformat(), "recovery_target_action": "promote"}
    lines = (f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items())
    return "".join(lines)


@contextmanager
def _put_into_words(point: Point) -> Iterator[None]:
    try:
        yield
    except StackError as error:
        if NOT_REACHED not in error.problem:
            raise
        raise StackError(
            f"What was archived has no commit after {point.isoformat() if point else 'the backup'}.",
            "Name an earlier point, or none for everything that was archived.",
        ) from error


def _recover_in_place(stack: Stack, archive: Archive, home: PostgresHome, point: Point) -> None:
    _lay_out(home, archive, archive.base_for(point), point)
    configuration = home.data / "postgresql.auto.conf"
    stack.start_postgres()
    text = configuration.read_text()
    _write(configuration, text.replace(recovery_settings(archive, point), ""), home.account)


def _lay_out(home: PostgresHome, archive: Archive, base: Base, point: Point) -> None:
    """A data folder that recovers as soon as a server is started on it."""
    source = archive.base_folder(base)
    require_success(home.command("pg_verifybackup", "--no-parse-wal", "--quiet", str(source)), f"Checking {source}")
    require_success(Command(["/bin/cp", "-a", str(source), str(home.data)], {}, home.account), f"Copying {source}")
    configuration = home.data / "postgresql.auto.conf"
    _write(configuration, configuration.read_text() + recovery_settings(archive, point), home.account)
    _write(home.data / "recovery.signal", "", home.account)


class _Beside:
    """A second server, which recovers a point of its own and gives one database away."""

    def __init__(self, book: StateBook, archive: Archive, home: PostgresHome) -> None:
        self._book = book
        self._archive = archive
        place = home.data.parent
        self._home = PostgresHome(home.programs, place / "data-beside", home.account)
        self._dump = place / "carried-over.dump"

    def carry_over(self, service: str, point: datetime, admin_url: str) -> None:
        """Replaces one database of the server at `admin_url` by what it was at the point."""
        database = database_of(self._book.folder, service)
        with self._recovered(point) as beside_url:
            self._run("pg_dump", beside_url, "--format=custom", "--compress=lz4", f"--file={self._dump}", database.name)
        try:
            execute(admin_url, f"DROP DATABASE IF EXISTS {quoted(database.name)} WITH (FORCE)")
            ensure_databases(admin_url, [database])
            self._run("pg_restore", admin_url, "--exit-on-error", f"--dbname={database.name}", str(self._dump))
        finally:
            self._dump.unlink(missing_ok=True)

    def _run(self, program: str, admin_url: str, *arguments: str) -> None:
        command = self._home.command(program, *address_options(admin_url), *arguments)
        require_success(with_password(command, admin_url), program)

    @contextmanager
    def _recovered(self, point: datetime) -> Iterator[str]:
        shutil.rmtree(self._home.data, ignore_errors=True)
        _lay_out(self._home, self._archive, self._archive.base_for(point), point)
        port = free_port(None, set(self._book.read().ports.values()))
        log = self._book.folder.log_of(BESIDE)
        process = spawn(self._home.command("postgres", *self._arguments(port)), log)
        self._book.put_process(BESIDE, process)
        password = password_of(self._book.folder, NAME)
        url = f"postgresql://{ADMINISTRATOR}:{password}@{LOOPBACK}:{port}/postgres"
        tail = LogTail(log, process.log_start_bytes)
        try:
            in_time = wait_until(lambda: not is_alive(process) or answers(url), RECOVERY_TIMEOUT_SECONDS)
            if not is_alive(process):
                raise explain_end(BESIDE, process, tail, (port,))
            if not in_time:
                raise explain_silence(BESIDE, tail, RECOVERY_TIMEOUT_SECONDS)
            yield url
        finally:
            stop(process, signal.SIGINT, STOP_TIMEOUT_SECONDS)
            self._book.forget_process(BESIDE)
            shutil.rmtree(self._home.data, ignore_errors=True)

    def _arguments(self, port: int) -> Sequence[str]:
        # It is thrown away: nothing of it has to be safe, and its WAL is not archived among that of the other.
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": str(MAX_CONNECTIONS),
            "archive_mode": "off",
            "fsync": "off",
            "shared_buffers": "64MB",
            "timezone": "UTC",
        }
        words = (word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
        return ("-D", str(self._home.data), *words)


def _require_keys(stack: Stack, bases: Iterable[Base]) -> None:
    there = key_ids(stack.folder.secrets)
    for base in bases:
        if missing := missing_keys(base.key_ids, there):
            raise StackError(
                f"The backup was made with keys that {stack.folder.secrets} does not have: {', '.join(missing)}.",
                "Put the key rings back first: a backup holds none, and what is encrypted stays unreadable without.",
            )


def _put_aside(home: PostgresHome) -> Path | None:
    if not home.data.exists():
        return None
    aside = home.data.with_name(f"data-before-{real_now():%Y%m%dT%H%M%SZ}")
    home.data.rename(aside)
    return aside


def _forget_lost_place(book: StateBook) -> None:
    """The folder that held the data may be gone with them; then another one is made."""
    place = book.read().postgres_place
    if place is not None and not Path(place).is_dir():
        book.change(lambda record: replace(record, postgres_place=None))


def _write(path: Path, text: str, account: Account | None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    with os.fdopen(descriptor, "w") as file:
        if account:
            os.fchown(file.fileno(), account.uid, account.gid)
        file.write(text)


def _words(point: Point) -> str:
    return f"to {point.isoformat()}" if point else "to the end of what was archived"
