"""Migrations: Alembic in process, one at a time, each in its own transaction, while the services go on.

A service keeps `migrations/versions/NNNN_what.py` and nothing else; what an `env.py` would do is done here.

What waits for a lock on a table keeps everybody waiting who comes after it. So a step that does not get its lock within
a second lets go, and is tried again; a service's own statements have three seconds. Statements that work beside all
others (`… CONCURRENTLY`) wait as long as they like.
"""

import asyncio
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from alembic import op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only

from kit.backoff import backoff_seconds
from kit.clock import Elapsed
from kit.db import engine_url
from kit.db_errors import LOCK_NOT_AVAILABLE, sqlstate_of
from kit.db_login import connect
from kit.failures import OperatorError
from kit.schema import VERSION_TABLE

T = TypeVar("T")

LOCK_WAIT_SECONDS = 300
"""How long one migration job waits for another."""
LOCK_TIMEOUT_SECONDS = 1
"""How long a statement waits for a table; who queues behind it waits at most 3 s, and must still get its turn."""
RETRY_SECONDS = 120
"""How long a step is tried again that does not get its lock."""
STATEMENT_TIMEOUT_SECONDS = 900
_OLDEST_TRANSACTION = """
SELECT pid, coalesce(nullif(application_name, ''), 'an unnamed program') AS application,
       extract(epoch FROM clock_timestamp() - xact_start)::int AS age
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
ORDER BY xact_start LIMIT 1
"""


class MigrationError(OperatorError):
    """The migrations of a service cannot be applied as they are."""


def migrate(url: str, migrations_dir: Path) -> list[str]:
    """Bring the database to the newest revision; the revisions that were applied, in order. See `apply`."""
    return asyncio.run(apply(url, migrations_dir))


def pending(url: str, migrations_dir: Path) -> list[str]:
    """The revisions that `migrate` would apply, in order."""
    return asyncio.run(missing(url, migrations_dir))


async def apply(url: str, migrations_dir: Path) -> list[str]:
    """What `migrate` does, for callers that already run an event loop.

    Holds an advisory lock meanwhile, so that of two jobs the second finds nothing left to do. A database that a later
    version has migrated is left as it is: processes of the version before still start on it.

    Raises:
        MigrationError: two revisions claim to be the newest, the database has one that is not of this service, another
            job held the lock for too long, or somebody works on a table for so long that a step never gets its lock.
            What was applied stays; run it again.
    """
    script = _script(migrations_dir)
    lock = await connect(url)
    try:
        await _lock(lock)
        return await _until_locked(url, script)
    finally:
        await lock.close()


async def is_of_later_version(url: str, migrations_dir: Path) -> bool:
    """Whether a version after this one has migrated the database, beside which this one may run.

    Raises:
        MigrationError: the database has a revision that is not of this service.
    """
    script = _script(migrations_dir)
    return await _on_connection(url, lambda connection: _is_of_later_version(connection, script))


async def _until_locked(url: str, script: ScriptDirectory) -> list[str]:
    applied: list[str] = []
    elapsed, failures = Elapsed(), 0
    while True:
        try:
            await _on_connection(url, lambda connection: _upgrade(connection, script, applied))
        except Exception as error:
            if sqlstate_of(error) != LOCK_NOT_AVAILABLE:
                raise
            if elapsed.seconds > RETRY_SECONDS:
                raise MigrationError(await _who_is_in_the_way(url, script)) from error
            failures += 1
            await asyncio.sleep(backoff_seconds(failures))
        else:
            return applied


async def _who_is_in_the_way(url: str, script: ScriptDirectory) -> str:
    step, *_ = await _on_connection(url, lambda connection: _missing(connection, script))
    connection = await connect(url)
    try:
        oldest = await connection.fetchrow(_OLDEST_TRANSACTION)
    finally:
        await connection.close()
    who = (
        ""
        if oldest is None
        else " The oldest transaction is {age} s old, of {application} (pid {pid}).".format(**oldest)
    )
    return (
        f"the migration {step} did not get its lock within {RETRY_SECONDS} s.{who} "
        "Wait for whoever is in the way, or end it; then run it again."
    )


async def missing(url: str, migrations_dir: Path) -> list[str]:
    """What `pending` does, for callers that already run an event loop."""
    script = _script(migrations_dir)
    return await _on_connection(url, lambda connection: _missing(connection, script))


def run_script(sql: str) -> None:
    """Run several statements in the migration under way; `op.execute` takes one at a time on this driver."""
    connection = op.get_bind()
    connection.exec_driver_sql("SELECT 1")  # opens the transaction if nothing did yet
    driver = connection.connection.driver_connection
    if not isinstance(driver, asyncpg.Connection):
        raise MigrationError("run_script needs the connection of a running migration")
    await_only(driver.execute(sql))


def _script(migrations_dir: Path) -> ScriptDirectory:
    if not (migrations_dir / "versions").is_dir():
        raise MigrationError(f"there is no folder {migrations_dir / 'versions'}")
    config = Config()
    config.set_main_option("script_location", str(migrations_dir).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    if len(script.get_heads()) > 1:
        raise MigrationError(
            f"several newest revisions: {', '.join(sorted(script.get_heads()))}; let one follow the other"
        )
    return script


async def _lock(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    # The same for every database of the server is fine: advisory locks are per database.
    key = zlib.crc32(VERSION_TABLE.encode())
    await connection.execute(f"SET lock_timeout = '{LOCK_WAIT_SECONDS}s'")
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", key)
    except asyncpg.LockNotAvailableError as error:
        raise MigrationError(
            f"another migration has been running for {LOCK_WAIT_SECONDS} s; look at it first"
        ) from error


async def _on_connection(url: str, function: Callable[[Connection], T]) -> T:
    engine = create_async_engine(
        engine_url(url),
        poolclass=NullPool,
        connect_args={
            "dsn": url,
            "async_creator_fn": connect,
            "server_settings": {
                "application_name": "migrate",
                "lock_timeout": f"{LOCK_TIMEOUT_SECONDS}s",
                "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS}s",
                "TimeZone": "UTC",
            },
        },
    )
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(function)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, script: ScriptDirectory, applied: list[str]) -> None:
    if _is_of_later_version(connection, script):
        return
    event.listen(connection, "before_cursor_execute", _set_patience)

    def steps(revision: tuple[str, ...], _context: MigrationContext) -> list[RevisionStep]:
        found: list[RevisionStep] = script._upgrade_revs("head", revision)  # type: ignore[arg-type]  # noqa: SLF001
        return found

    def note(**details: Any) -> None:
        revision = details["step"].up_revision
        applied.append(f"{revision.revision} {revision.doc}")

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(
            connection=connection,
            version_table=VERSION_TABLE,
            transaction_per_migration=True,
            on_version_apply=note,  # type: ignore[arg-type]  # called by keyword
        )
        with environment.begin_transaction():
            environment.run_migrations()


def _set_patience(_connection: Any, cursor: Any, statement: str, *_others: object) -> None:
    """How long the statement that comes next waits for its lock."""
    seconds = STATEMENT_TIMEOUT_SECONDS if "CONCURRENTLY" in statement.upper() else LOCK_TIMEOUT_SECONDS
    cursor.execute(f"SET lock_timeout = '{seconds}s'")


def _missing(connection: Connection, script: ScriptDirectory) -> list[str]:
    if _is_of_later_version(connection, script):
        return []
    steps = script._upgrade_revs("head", _current(connection))  # type: ignore[arg-type]  # noqa: SLF001
    return [f"{step.revision.revision} {step.revision.doc}" for step in steps]


def _current(connection: Connection) -> tuple[str, ...]:
    heads = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()
    connection.rollback()  # looking began a transaction; each step opens and commits its own
    return heads


def _is_of_later_version(connection: Connection, script: ScriptDirectory) -> bool:
    known = {each.revision for each in script.walk_revisions()}
    unknown = sorted(set(_current(connection)) - known)
    if unknown and unknown[0] < max(known, default=""):
        raise MigrationError(f"the database has the revision {unknown[0]}, which is none of this service's")
    return bool(unknown)
