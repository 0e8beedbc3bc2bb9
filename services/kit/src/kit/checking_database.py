"""Whether the service's database answers, is of this version, and keeps what was acknowledged."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import asyncpg

from kit import migrate
from kit.checking import Finding
from kit.clock import SystemClock
from kit.clock_offset import WARN_SECONDS, in_words
from kit.config import DatabaseSettings
from kit.db_login import connect
from kit.surroundings import database_failure

_CONNECT_SECONDS: Final = 5.0
_OLDEST: Final = 150_000
"""As PostgreSQL numbers its versions."""
_KEEPING: Final = ("fsync", "synchronous_commit", "full_page_writes")
_LOOK: Final = """
SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version,
       clock_timestamp() AS now, current_setting('max_connections')::int AS connections,
       ARRAY(SELECT name FROM pg_settings WHERE name = ANY($1::text[]) AND setting = 'off') AS off
"""


async def database(settings: DatabaseSettings, migrations: Path) -> Sequence[Finding]:
    """What PostgreSQL says; the first line alone if it does not let this service in."""
    try:
        connection = await connect(settings.database_url, timeout=_CONNECT_SECONDS)
        try:
            (row,) = await connection.fetch(_LOOK, list(_KEEPING))
        finally:
            await connection.close(timeout=_CONNECT_SECONDS)
        return [*_server(settings, row), await _schema(settings.database_url, migrations)]
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        why = database_failure(error, settings.database_url)
        return [Finding("PostgreSQL", fault=str(why) if why else f"{type(error).__name__}: look at its log")]


def _server(settings: DatabaseSettings, row: "asyncpg.Record") -> Iterator[Finding]:
    version = row["version"]
    if row["number"] < _OLDEST:
        yield Finding("PostgreSQL", fault=f"is of version {version}; at least 15 is needed")
    elif row["connections"] < settings.database_pool_size:
        yield Finding(
            "PostgreSQL",
            fault=f"takes {row['connections']} connections; GONGJI_DATABASE_POOL_SIZE is {settings.database_pool_size}",
        )
    else:
        yield Finding("PostgreSQL", note=f"version {version}")
    if row["off"] and settings.environment in {"sandbox", "production"}:
        yield Finding("durability", fault=f"{', '.join(row['off'])} is off: what was acknowledged could be lost")
    yield clocks(SystemClock().now(), row["now"])


def clocks(here: datetime, there: datetime) -> Finding:
    """Whether the two agree: assertions and certificates are judged by the one, leases by the other."""
    apart_seconds = (here - there).total_seconds()
    if abs(apart_seconds) > WARN_SECONDS:
        return Finding("clock", fault=in_words(apart_seconds))
    return Finding("clock", note="as the database's")


async def _schema(url: str, migrations: Path) -> Finding:
    try:
        missing = await migrate.missing(url, migrations)
        is_later = await migrate.is_of_later_version(url, migrations)
    except migrate.MigrationError as error:
        return Finding("schema", fault=str(error))
    if is_later:
        return Finding("schema", note="of a later version than this one, which may run beside it")
    if missing:
        return Finding("schema", fault=f"{', '.join(each.split()[0] for each in missing)} are missing; run `migrate`")
    return Finding("schema", note="up to date")
