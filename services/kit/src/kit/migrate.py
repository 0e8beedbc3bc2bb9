"""Migrations: Alembic in process, one at a time, each in its own transaction.

A service keeps `migrations/versions/NNNN_what.py` and nothing else; what an `env.py` would do is done here.
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
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only

from kit.db import engine_url
from kit.failures import OperatorError

T = TypeVar("T")

LOCK_WAIT_SECONDS = 300
"""How long one migration job waits for another."""
LOCK_TIMEOUT_SECONDS = 5
"""How long a statement waits for a table: better to fail and be run again than to queue every reader behind it."""
STATEMENT_TIMEOUT_SECONDS = 900
VERSION_TABLE = "schema_version"


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

    Holds an advisory lock meanwhile, so that of two jobs the second finds nothing left to do.

    Raises:
        MigrationError: two revisions claim to be the newest, or another job held the lock for too long.
    """
    script = _script(migrations_dir)
    lock = await asyncpg.connect(url)
    try:
        await _lock(lock)
        return await _on_connection(url, lambda connection: _upgrade(connection, script))
    finally:
        await lock.close()


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


def _upgrade(connection: Connection, script: ScriptDirectory) -> list[str]:
    applied: list[str] = []

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
    return applied


def _missing(connection: Connection, script: ScriptDirectory) -> list[str]:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    heads = context.get_current_heads()
    steps = script._upgrade_revs("head", heads)  # type: ignore[arg-type]  # noqa: SLF001
    return [f"{step.revision.revision} {step.revision.doc}" for step in steps]
