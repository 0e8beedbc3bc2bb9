"""The database: one pool, one transaction helper, and what its errors mean.

The pool is SQLAlchemy's, on asyncpg. A `Transaction` gives both faces of one checked-out connection: `.sql` for
statements built with SQLAlchemy, `.raw` for asyncpg with `unnest` arrays on the hot paths. They share one transaction.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from kit.db_errors import ConnectTimedOut, is_contention, is_unavailable
from kit.errors import Refusal
from kit.failures import OperatorError
from kit.observability import get_logger
from kit.surroundings import database_failure

if TYPE_CHECKING:
    import asyncpg

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS = 5.0
COMMAND_MARGIN_SECONDS = 5.0
IDLE_IN_TRANSACTION_SECONDS = 60
STATEMENT_CACHE_SIZE = 256
OPEN_ATTEMPTS = 3

# It also opens the transaction: what is sent first is preceded by BEGIN.
_LIMITS = text("SELECT set_config('lock_timeout', :lock, true), set_config('statement_timeout', :statement, true)")


class DatabaseUnavailableError(OperatorError):
    """The database did not answer in time; nothing was done. Try again later."""


class LeavesTrace(Exception):
    """A refusal that is itself a fact: what was written before it was raised is committed, and the caller gets it.

    For a failed attempt that has to be counted, or a refused look that belongs in the access log.
    """


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction on one connection, seen through either library."""

    sql: AsyncConnection
    """For statements built with SQLAlchemy. Never commit or roll back here; leave the block instead."""
    raw: "asyncpg.Connection[asyncpg.Record]"
    """The asyncpg connection underneath, in the same transaction."""


class Work(Protocol[R_co]):
    """A unit of work: entering gives the repository, leaving without an exception commits, anything else rolls back."""

    def __call__(self) -> AbstractAsyncContextManager[R_co]:
        """A new unit of work."""
        ...


def engine_url(url: str) -> URL:
    """The URL as SQLAlchemy wants it, on the asyncpg driver; pass the original as `dsn` in `connect_args` as well.

    What follows the question mark (`sslmode`, `sslrootcert`) is in asyncpg's vocabulary, not in SQLAlchemy's, so it
    travels with the `dsn`.
    """
    return make_url(url).set(drivername="postgresql+asyncpg", query={})


class Database:
    """The pool of one service.

    Args:
        url: `postgresql://role:password@host:port/database`.
        pool_size: most connections; times the number of replicas it stays below the server's `max_connections`.
        application_name: what the server's `pg_stat_activity` shows.
        pool_timeout_seconds: how long a checkout waits before it is refused with `OVERLOADED`.
        lock_timeout_seconds: how long a statement waits for a lock.
        statement_timeout_seconds: how long a statement runs.
    """

    def __init__(
        self,
        url: str,
        pool_size: int = 8,
        application_name: str = "gongji",
        *,
        pool_timeout_seconds: float = 2.0,
        lock_timeout_seconds: float = 3.0,
        statement_timeout_seconds: float = 10.0,
    ) -> None:
        self._lock_timeout = _milliseconds(lock_timeout_seconds)
        self._statement_timeout_seconds = statement_timeout_seconds
        self._url = url
        self._engine = _engine(url, pool_size, pool_timeout_seconds, application_name)
        self._shared: ContextVar[Transaction | None] = ContextVar("shared", default=None)

    @property
    def engine(self) -> AsyncEngine:
        """The engine, for what needs its own dialect or metadata; work goes through `transaction`."""
        return self._engine

    async def connect(self, wait_seconds: float = 30.0) -> None:
        """Wait until the database answers.

        Raises:
            DatabaseUnavailableError: it did not within `wait_seconds`.
        """
        patience = AsyncRetrying(
            retry=retry_if_exception(is_unavailable),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            stop=stop_after_delay(wait_seconds),
            reraise=True,
        )
        try:
            await patience(self.ping)
        except Exception as error:
            if not is_unavailable(error):
                raise
            raise DatabaseUnavailableError(
                f"{database_failure(error, self._url)} (Waited {wait_seconds:g} s.)"
            ) from error

    async def close(self) -> None:
        """Close every connection; those still in use are closed when they come back."""
        await self._engine.dispose()

    async def ping(self) -> None:
        """One round trip on a pooled connection; raises what went wrong."""
        async with self.transaction() as transaction:
            await transaction.raw.fetchval("SELECT 1")

    @asynccontextmanager
    async def transaction(self, *, statement_timeout_seconds: float | None = None) -> AsyncIterator[Transaction]:
        """The one way to talk to the database: READ COMMITTED, with time-outs, committed when the block ends well.

        It never runs the block again. Inside of `shared` it is that transaction, which ends there and not here.
        `statement_timeout_seconds` widens the limit for an audit or a report.

        Raises:
            Refusal: `OVERLOADED`, every connection of the pool stayed busy.
        """
        if shared := self._shared.get():
            yield shared
            return
        connection = await self._open(statement_timeout_seconds or self._statement_timeout_seconds)
        try:
            try:
                yield Transaction(connection, await _raw(connection))
            except LeavesTrace:
                await connection.commit()
                raise
            await connection.commit()
        finally:
            # Shielded, so that a cancelled caller leaks no connection.
            await asyncio.shield(asyncio.ensure_future(_give_back(connection)))

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[Transaction]:
        """A transaction that every `transaction` in the block, or called from it, takes part in."""
        async with self.transaction() as transaction:
            token = self._shared.set(transaction)
            try:
                yield transaction
            finally:
                self._shared.reset(token)

    async def _open(self, statement_timeout_seconds: float) -> AsyncConnection:
        # After a restart of the server the pool holds dead connections. The first statement finds that out before any
        # work is done, so trying again with a fresh one is safe, and cheaper than a ping at every checkout.
        for attempt in range(1, OPEN_ATTEMPTS + 1):
            connection = await self._checkout()
            try:
                await connection.execute(
                    _LIMITS, {"lock": self._lock_timeout, "statement": _milliseconds(statement_timeout_seconds)}
                )
            except BaseException as error:
                await asyncio.shield(asyncio.ensure_future(_give_back(connection)))
                stale = isinstance(error, DBAPIError) and error.connection_invalidated
                if not stale or attempt == OPEN_ATTEMPTS:
                    raise
            else:
                return connection
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _checkout(self) -> AsyncConnection:
        try:
            return await self._engine.connect()
        except PoolTimeoutError as error:
            raise Refusal("OVERLOADED", "every database connection is busy; send again later") from error
        except TimeoutError as error:
            raise ConnectTimedOut(f"no connection to the database within {CONNECT_TIMEOUT_SECONDS:g} s") from error


def _engine(url: str, pool_size: int, pool_timeout_seconds: float, application_name: str) -> AsyncEngine:
    return create_async_engine(
        engine_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout_seconds,
        isolation_level="READ COMMITTED",
        hide_parameters=True,  # values are personal data, and errors end in logs
        connect_args={
            "dsn": url,
            "timeout": CONNECT_TIMEOUT_SECONDS,
            "prepared_statement_cache_size": STATEMENT_CACHE_SIZE,
            "statement_cache_size": STATEMENT_CACHE_SIZE,
            "server_settings": {
                "application_name": application_name,
                "TimeZone": "UTC",
                "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_SECONDS * 1000),
            },
        },
    )


async def _raw(connection: AsyncConnection) -> "asyncpg.Connection[asyncpg.Record]":
    pooled = await connection.get_raw_connection()
    return cast("asyncpg.Connection[asyncpg.Record]", pooled.driver_connection)


async def _give_back(connection: AsyncConnection) -> None:
    try:
        await connection.close()  # rolls back what is not committed
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not hide why the work failed
        # The connection is of no use any more: discarded here, rolled back by the server.
        get_logger().info("a connection is discarded", error=type(error).__name__)
        if not connection.closed:
            await connection.invalidate()
            await connection.close()


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


class PostgresWork(Generic[R]):
    """Units of work on PostgreSQL: each is one transaction, `factory` builds the repository on it."""

    def __init__(self, database: Database, factory: Callable[[Transaction], R]) -> None:
        self._database = database
        self._factory = factory

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[R]:
        """One transaction and the repository on it."""
        async with self._database.transaction() as transaction:
            yield self._factory(transaction)


async def retrying(operation: Callable[[], Awaitable[T]], *, attempts: int = 5) -> T:
    """Run a whole unit of work, again from its start if the database chose it as the victim of a deadlock.

    Only for operations that have no effect outside their transaction. Other errors pass at once.
    """
    again = AsyncRetrying(
        retry=retry_if_exception(is_contention),
        wait=wait_random_exponential(multiplier=0.02, max=0.5),
        stop=stop_after_attempt(attempts),
        reraise=True,
    )
    async for attempt in again:
        with attempt:
            return await operation()
    raise AssertionError("unreachable: the last attempt returns or raises")
