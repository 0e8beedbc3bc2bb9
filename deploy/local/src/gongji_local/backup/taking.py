"""Taking a backup: the server archives its WAL from then on, and its data folder is copied while it runs."""

import shutil
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote, urlsplit

import asyncpg

from gongji_local.backup.archive import STAMP, Archive, Base, key_ids
from gongji_local.blocking import run_blocking
from gongji_local.clock import real_now, wait_until
from gongji_local.errors import StackError
from gongji_local.postgres.home import PostgresHome, find_home
from gongji_local.processes import Command, run
from gongji_local.progress import SILENT, Progress, told
from gongji_local.stack import Stack
from gongji_local.state import StateBook

PROGRAM_TIMEOUT_SECONDS: Final = 1800.0
ARCHIVED_TIMEOUT_SECONDS: Final = 60.0
ARCHIVE_EVERY_SECONDS: Final = 60
"""How much may be lost at most when the disk goes: a segment that is not full is archived after so long."""


def take(stack: Stack, archive: Archive, progress: Progress = SILENT) -> Base:
    """Copies the data folder; switches archiving on first where it is off, which restarts PostgreSQL once."""
    home = find_home(StateBook(stack.folder))
    admin_url = stack.start_postgres()
    archive.create(home.account)
    _require_reach(archive, home)
    if not _archives_to(admin_url, archive):
        with told(progress, "Archiving of the WAL", str(archive.wal)):
            _switch_on(admin_url, archive)
            stack.stop_postgres()
            admin_url = stack.start_postgres()
    with told(progress, "Base backup") as step:
        base = _copy(stack, archive, home, admin_url)
        step.detail = base.stamp
    return base


def archive_now(admin_url: str) -> None:
    """Closes the segment that is being written and waits until it is archived: any point until now can be restored."""
    # One more commit: a recovery knows that it has reached a point by one that is later.
    _value(admin_url, "SELECT pg_current_xact_id()::text")
    segment = str(_value(admin_url, "SELECT pg_walfile_name(pg_switch_wal())"))
    archived = "SELECT coalesce(last_archived_wal, '') >= $1 FROM pg_stat_archiver"
    if not wait_until(lambda: bool(_value(admin_url, archived, segment)), ARCHIVED_TIMEOUT_SECONDS):
        raise StackError(f"The WAL segment {segment} was not archived.", "Look at `gongji-local logs postgres`.")


def server_now(admin_url: str) -> datetime:
    """The time by the server's clock."""
    now = _value(admin_url, "SELECT clock_timestamp()")
    assert isinstance(now, datetime)  # noqa: S101 - what the driver promises
    return now


def with_password(command: Command, admin_url: str) -> Command:
    """The same program, which finds the administrator's password in its environment."""
    password = unquote(urlsplit(admin_url).password or "")
    return Command(command.argv, {**command.environ, "PGPASSWORD": password}, command.account)


def address_options(admin_url: str) -> tuple[str, ...]:
    """Where PostgreSQL's programs reach a server, as whom."""
    parts = urlsplit(admin_url)
    return (f"--host={parts.hostname}", f"--port={parts.port}", f"--username={parts.username}", "--no-password")


def require_success(command: Command, what: str) -> None:
    """Runs a program to its end; raises StackError with its last line when it fails."""
    finished = run(command, PROGRAM_TIMEOUT_SECONDS)
    if finished.returncode != 0:
        lines = [line for line in finished.stdout.splitlines() if line.strip()] or ["it printed nothing"]
        raise StackError(f"{what} failed: {lines[-1]}.", "Remove the cause, then run the same again.")


def _copy(stack: Stack, archive: Archive, home: PostgresHome, admin_url: str) -> Base:
    stamp = real_now().astimezone(UTC).strftime(STAMP)
    target = archive.bases / stamp
    options = (f"--pgdata={target}", "--checkpoint=fast", "--wal-method=none")
    command = home.command("pg_basebackup", *address_options(admin_url), *options)
    try:
        require_success(with_password(command, admin_url), "The base backup")
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    archive_now(admin_url)
    base = Base(stamp, server_now(admin_url), key_ids(stack.folder.secrets))
    archive.put(base)
    return base


def _require_reach(archive: Archive, home: PostgresHome) -> None:
    tried = run(Command(["/bin/sh", "-c", 'test -w "$1"', "sh", str(archive.wal)], {}, home.account), 20.0)
    if tried.returncode != 0:
        account = home.account.name if home.account else "this user"
        raise StackError(
            f"PostgreSQL, which runs as {account}, cannot write to {archive.wal}.",
            "Name a folder that it can reach, such as one below /var/lib or /tmp.",
        )


def _archives_to(admin_url: str, archive: Archive) -> bool:
    query = "SELECT current_setting('archive_mode') = 'on' AND current_setting('archive_command') = $1"
    return bool(_value(admin_url, query, archive.archive_command))


def _switch_on(admin_url: str, archive: Archive) -> None:
    quoted = archive.archive_command.replace("'", "''")
    settings = {"archive_mode": "on", "archive_command": quoted, "archive_timeout": f"{ARCHIVE_EVERY_SECONDS}s"}
    for name, value in settings.items():
        _value(admin_url, f"ALTER SYSTEM SET {name} = '{value}'")


def _value(admin_url: str, query: str, *arguments: object) -> object:
    return run_blocking(lambda: _fetch_value(admin_url, query, *arguments))


async def _fetch_value(admin_url: str, query: str, *arguments: object) -> object:
    connection = await asyncpg.connect(admin_url, timeout=10)
    try:
        found: object = await connection.fetchval(query, *arguments)
    finally:
        await connection.close()
    return found
