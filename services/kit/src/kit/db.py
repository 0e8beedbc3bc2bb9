"""The database: one pool, one transaction helper, and what its errors mean.

A `Transaction` gives both faces of one connection of the pool (`kit.db_pool`): `.sql` for statements built with
SQLAlchemy, `.raw` for asyncpg with `unnest` arrays on the hot paths. They share one transaction.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from kit.backoff import backoff_seconds
from kit.db_errors import is_contention, is_full, is_outdated, is_unavailable, sqlstate_of
from kit.db_pool import Connection, Limits, Pool, engine_url
from kit.failures import OperatorError
from kit.surroundings import database_failure

if TYPE_CHECKING:
    import asyncpg

__all__ = [
    "Database",
    "DatabaseUnavailableError",
    "LeavesTrace",
    "PostgresWork",
    "Transaction",
    "Work",
    "engine_url",
    "retrying",
]

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

_NOT_ALLOWED: Final = "42501"
_WRITE_A_LITTLE: Final = """
CREATE TEMPORARY TABLE room ON COMMIT DROP AS SELECT md5(i::text) AS filling FROM generate_series(1, 16384) AS i
"""
"""One MiB, which the server has to find room for, and gives back at once."""


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
        self._url = url
        limits = Limits(pool_timeout_seconds, lock_timeout_seconds, statement_timeout_seconds)
        self._pool = Pool(url, pool_size, application_name, limits)
        self._shared: ContextVar[Transaction | None] = ContextVar("shared", default=None)
        self._is_full = False

    @property
    def engine(self) -> AsyncEngine:
        """The engine, for what needs its own dialect or metadata; work goes through `transaction`."""
        return self._pool.engine

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
        await self._pool.close()

    async def ping(self) -> datetime:
        """The database's time, after one round trip on a pooled connection; raises what went wrong.

        Where a transaction found no room on the server's disk, it tries whether there is some again: reading alone
        would not tell.
        """
        if self._is_full:
            await self._find_room()
        async with self.transaction() as transaction:
            now: datetime = await transaction.raw.fetchval("SELECT clock_timestamp()")
        return now

    async def _find_room(self) -> None:
        try:
            async with self.transaction() as transaction:
                await transaction.raw.execute(_WRITE_A_LITTLE)
        except Exception as error:
            if sqlstate_of(error) != _NOT_ALLOWED:  # to make temporary tables: then the next transaction tells
                raise
        self._is_full = False

    @asynccontextmanager
    async def transaction(self, *, statement_timeout_seconds: float | None = None) -> AsyncIterator[Transaction]:
        """The one way to talk to the database: READ COMMITTED, with time-outs, committed when the block ends well.

        It never runs the block again. Inside of `shared` it is that transaction, which ends there and not here.
        `statement_timeout_seconds` widens the limit for an audit or a report, which may also read whole tables; other
        statements do so only where there is no index for them.

        Raises:
            Refusal: `OVERLOADED`, every connection of the pool stayed busy.
        """
        if shared := self._shared.get():
            yield shared
            return
        connection = await self._pool.begin(statement_timeout_seconds)
        try:
            yield Transaction(connection.sql, connection.raw)
        except LeavesTrace:
            await self._commit(connection)
            raise
        except BaseException as error:
            if is_outdated(error):
                self._pool.renew()
            self._is_full = self._is_full or is_full(error)
            await self._pool.roll_back(connection)
            raise
        await self._commit(connection)

    async def _commit(self, connection: Connection) -> None:
        try:
            await self._pool.commit(connection)
        except Exception as error:
            self._is_full = self._is_full or is_full(error)
            raise

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[Transaction]:
        """A transaction that every `transaction` in the block, or called from it, takes part in."""
        async with self.transaction() as transaction:
            token = self._shared.set(transaction)
            try:
                yield transaction
            finally:
                self._shared.reset(token)


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
    """Run a whole unit of work, again from its start where others were in its way.

    It was a deadlock's victim, a lock did not come in time, or it lost a race (SQLSTATE 40001, which repositories raise
    themselves).

    Only for operations that have no effect outside their transaction. Other errors pass at once.
    """
    failures = 0
    while True:
        try:
            return await operation()
        except Exception as error:
            failures += 1
            if failures == attempts or not is_contention(error):
                raise
        await asyncio.sleep(backoff_seconds(failures, first_seconds=0.02, most_seconds=0.5))
