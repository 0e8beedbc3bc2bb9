"""A service's role and its one database, and fresh ones for tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from gongji_local.blocking import run_blocking
from gongji_local.errors import StackError

CONNECT_TIMEOUT_SECONDS: Final = 10.0
STATEMENT_TIMEOUT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class ServiceDatabase:
    """A database and the role that owns it; both have the same name."""

    name: str
    password: str

    def url(self, admin_url: str) -> str:
        """How the role reaches its database on the administrator's server."""
        return service_url(admin_url, self.name, self.password, self.name)


def service_url(admin_url: str, role: str, password: str, database: str) -> str:
    """The administrator's URL with another role and database; host, port and parameters stay."""
    parts = urlsplit(admin_url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(role)}:{quote(password)}@{address}", path=f"/{quote(database)}"))


def ensure_databases(admin_url: str, wanted: Sequence[ServiceDatabase]) -> None:
    """Creates the roles and databases that are not there; each role may enter its own database only."""
    run_blocking(lambda: _ensure_databases(admin_url, wanted))


def identity_of(admin_url: str, name: str) -> str:
    """Tells a database from any other, also from one of the same name that is made later."""
    return run_blocking(lambda: _identity_of(admin_url, name))


def execute(admin_url: str, *statements: str) -> None:
    """Runs statements of the administrator, one by one, outside a transaction."""
    run_blocking(lambda: _execute(admin_url, statements))


def quoted(identifier: str) -> str:
    """An identifier as SQL wants it."""
    return '"' + identifier.replace('"', '""') + '"'


async def _identity_of(admin_url: str, name: str) -> str:
    connection = await _connect(admin_url)
    try:
        query = "SELECT system_identifier || '/' || oid FROM pg_control_system(), pg_database WHERE datname = $1"
        return str(await connection.fetchval(query, name))
    finally:
        await connection.close()


async def _execute(admin_url: str, statements: Sequence[str]) -> None:
    connection = await _connect(admin_url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _ensure_databases(admin_url: str, wanted: Sequence[ServiceDatabase]) -> None:
    connection = await _connect(admin_url)
    try:
        for database in wanted:
            await _ensure_role(connection, admin_url, database)
            await _ensure_database(connection, database.name)
    finally:
        await connection.close()


async def _ensure_role(
    connection: "asyncpg.Connection[asyncpg.Record]", admin_url: str, database: ServiceDatabase
) -> None:
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", database.name):
        # utility statements take no parameters; the password is of our own making and has no quote in it
        await connection.execute(f"CREATE ROLE {quoted(database.name)} LOGIN PASSWORD '{database.password}'")
    elif not await _may_log_in(admin_url, database):
        raise StackError(
            f"The role {database.name} exists on that PostgreSQL with a password that this state folder does not know.",
            "Drop the role and its database there, or use the state folder (--state) that made them.",
        )


async def _ensure_database(connection: "asyncpg.Connection[asyncpg.Record]", name: str) -> None:
    if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
        await connection.execute(
            f"CREATE DATABASE {quoted(name)} OWNER {quoted(name)} ENCODING 'UTF8' TEMPLATE template0"
        )
        await connection.execute(f"REVOKE ALL ON DATABASE {quoted(name)} FROM PUBLIC")


async def _may_log_in(admin_url: str, database: ServiceDatabase) -> bool:
    url = service_url(admin_url, database.name, database.password, database.name)
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_SECONDS)
    except asyncpg.InvalidCatalogNameError:
        return True  # the password was right; the database is made next
    except asyncpg.InvalidPasswordError:
        return False
    await connection.close()
    return True


async def _connect(admin_url: str) -> "asyncpg.Connection[asyncpg.Record]":
    try:
        return await asyncpg.connect(
            admin_url, timeout=CONNECT_TIMEOUT_SECONDS, command_timeout=STATEMENT_TIMEOUT_SECONDS
        )
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        address = urlsplit(admin_url).netloc.rpartition("@")[2]
        raise StackError(
            f"PostgreSQL at {address} does not let the administrator in: {error}.",
            "Check the address and the account, then run the command again.",
        ) from error
