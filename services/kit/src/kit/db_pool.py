"""The connections of one service to its database, each with both faces: SQLAlchemy's and asyncpg's.

Connections are made by SQLAlchemy in its AUTOCOMMIT mode, so it never opens or ends a transaction by itself; that is
done here on the asyncpg connection, by one `BEGIN` and one `COMMIT`, nothing else. Time-outs are the connection's own.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from kit.clock import Elapsed
from kit.db_errors import ConnectTimedOut, is_unavailable
from kit.db_login import connect
from kit.errors import Refusal
from kit.observability import get_logger
from kit.pool_metrics import CONNECTIONS, REFUSED, SIZE, WAIT, WAITING

if TYPE_CHECKING:
    import asyncpg

CONNECT_TIMEOUT_SECONDS = 5.0
ROLLBACK_TIMEOUT_SECONDS = 5.0
IDLE_IN_TRANSACTION_SECONDS = 60
STATEMENT_CACHE_SIZE = 256

_FOR_A_REPORT = "SET LOCAL statement_timeout = {}; SET LOCAL enable_seqscan = on"


@dataclass(frozen=True, slots=True)
class Limits:
    """What every connection of a pool is limited to."""

    pool_timeout_seconds: float
    """How long a checkout waits before it is refused."""
    lock_timeout_seconds: float
    statement_timeout_seconds: float


class Connection:
    """One connection, seen through either library, and the transaction in which it is."""

    __slots__ = ("_under_way", "generation", "raw", "sql")

    def __init__(self, sql: AsyncConnection, raw: "asyncpg.Connection[asyncpg.Record]", generation: int) -> None:
        self.sql = sql
        self.raw = raw
        self.generation = generation
        self._under_way = raw.transaction()

    async def begin(self, statement_timeout_seconds: float | None) -> None:
        """`BEGIN`, by asyncpg's own object for it, so that `raw.transaction()` inside is a savepoint."""
        self._under_way = self.raw.transaction()
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):  # a connection that was cut in silence answers nothing
            await self._under_way.start()
        if statement_timeout_seconds is not None:  # a report: it may well read whole tables
            await self.raw.execute(_FOR_A_REPORT.format(milliseconds(statement_timeout_seconds)))

    async def commit(self) -> None:
        """`COMMIT`."""
        await self._under_way.commit()
        await self._told_sqlalchemy()

    async def roll_back(self) -> None:
        """`ROLLBACK`."""
        async with asyncio.timeout(ROLLBACK_TIMEOUT_SECONDS):
            await self._under_way.rollback()
        await self._told_sqlalchemy()

    async def discard(self) -> None:
        """End it at once and without a farewell: it is dead, or nobody knows what it is doing."""
        self.raw.terminate()
        await self.sql.invalidate()
        await self.sql.close()

    async def close(self) -> None:
        """End it, out of use."""
        await self.sql.close()

    async def _told_sqlalchemy(self) -> None:
        # It believes that it is in a transaction from its first statement on; nothing is sent in AUTOCOMMIT mode.
        if self.sql.in_transaction():
            await self.sql.rollback()


def engine_url(url: str) -> URL:
    """The URL as SQLAlchemy wants it, on the asyncpg driver; pass the original as `dsn` in `connect_args` as well.

    What follows the question mark (`sslmode`, `sslrootcert`) is in asyncpg's vocabulary, not in SQLAlchemy's, so it
    travels with the `dsn`.
    """
    return make_url(url).set(drivername="postgresql+asyncpg", query={})


def milliseconds(seconds: float) -> str:
    """A time-out as PostgreSQL takes it; never 0, which would be none."""
    return str(max(1, round(seconds * 1000)))


class Pool:
    """At most `size` connections, made when they are needed; the one that was used last is used first."""

    def __init__(self, url: str, size: int, application_name: str, limits: Limits) -> None:
        self.engine = _engine(url, application_name, limits)
        self._timeout_seconds = limits.pool_timeout_seconds
        self._places = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._in_use = 0
        self._waiting = 0
        self._closed = False
        self._generation = 0
        SIZE.set(size)
        CONNECTIONS.labels("in_use").set_function(lambda: self._in_use)
        CONNECTIONS.labels("idle").set_function(lambda: len(self._idle))
        WAITING.set_function(lambda: self._waiting)

    def renew(self) -> None:
        """Use no connection again that there is now: a migration has changed what their statements were prepared for.

        Each would fail once for each such statement; whoever is tried again must not meet the next of them.
        """
        self._generation += 1

    async def begin(self, statement_timeout_seconds: float | None = None) -> Connection:
        """A connection with a transaction under way, to be handed to `commit` or `roll_back`.

        After a restart of the server the pool holds dead connections. `BEGIN` finds that out before any work is done,
        so another one is taken unseen, which is cheaper than a ping at every checkout.

        Raises:
            Refusal: `OVERLOADED`, every connection stayed busy.
            ConnectTimedOut: the server did not answer.
        """
        await self._take_place()
        try:
            return await self._begun(statement_timeout_seconds)
        except BaseException:
            self._leave_place()
            raise

    async def commit(self, connection: Connection) -> None:
        """End its transaction; if that fails or is cancelled, its outcome is unknown, and the connection goes."""
        try:
            await connection.commit()
        except BaseException:
            await self.roll_back(connection)  # which no longer can, and discards
            raise
        await self._give_back(connection)

    async def roll_back(self, connection: Connection) -> None:
        """Undo its transaction. Shielded, so that a cancelled caller leaks no connection; raises nothing of its own."""
        await asyncio.shield(asyncio.ensure_future(self._roll_back(connection)))

    async def close(self) -> None:
        """Close every connection; those still in use are closed when they come back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()
        await self.engine.dispose()

    async def _take_place(self) -> None:
        if self._places.locked():
            await self._wait_for_place()
        else:
            await self._places.acquire()  # at once
        self._in_use += 1

    async def _wait_for_place(self) -> None:
        self._waiting += 1
        waited = Elapsed()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._places.acquire()
        except TimeoutError as error:
            REFUSED.inc()
            raise Refusal("OVERLOADED", "every database connection is busy; send again later") from error
        finally:
            self._waiting -= 1
            WAIT.observe(waited.seconds)

    def _leave_place(self) -> None:
        self._in_use -= 1
        self._places.release()

    async def _begun(self, statement_timeout_seconds: float | None) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.generation != self._generation:
                await connection.close()
                continue
            try:
                await connection.begin(statement_timeout_seconds)
            except BaseException as error:
                await connection.discard()
                if not isinstance(error, Exception) or not (isinstance(error, TimeoutError) or is_unavailable(error)):
                    raise
            else:
                return connection
        return await self._begun_anew(statement_timeout_seconds)

    async def _begun_anew(self, statement_timeout_seconds: float | None) -> Connection:
        connection = await self._connected()
        try:
            await connection.begin(statement_timeout_seconds)
        except BaseException:
            await connection.discard()
            raise
        return connection

    async def _connected(self) -> Connection:
        generation = self._generation
        try:
            sql = await self.engine.connect()
        except TimeoutError as error:
            raise ConnectTimedOut(f"no connection to the database within {CONNECT_TIMEOUT_SECONDS:g} s") from error
        pooled = await sql.get_raw_connection()
        return Connection(sql, cast("asyncpg.Connection[asyncpg.Record]", pooled.driver_connection), generation)

    async def _roll_back(self, connection: Connection) -> None:
        try:
            await connection.roll_back()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not hide why the work failed
            # The connection is of no use any more: discarded here, rolled back by the server.
            get_logger().info("a connection is discarded", error=type(error).__name__)
            try:
                await connection.discard()
            finally:
                self._leave_place()
        else:
            await self._give_back(connection)

    async def _give_back(self, connection: Connection) -> None:
        if self._closed or connection.generation != self._generation:
            await connection.close()
        else:
            self._idle.append(connection)
        self._leave_place()


def _engine(url: str, application_name: str, limits: Limits) -> AsyncEngine:
    return create_async_engine(
        engine_url(url),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,  # values are personal data, and errors end in logs
        connect_args={
            "dsn": url,
            "async_creator_fn": connect,
            "timeout": CONNECT_TIMEOUT_SECONDS,
            "prepared_statement_cache_size": STATEMENT_CACHE_SIZE,
            "statement_cache_size": STATEMENT_CACHE_SIZE,
            "server_settings": {
                "application_name": application_name,
                "TimeZone": "UTC",
                "default_transaction_isolation": "read committed",
                "lock_timeout": milliseconds(limits.lock_timeout_seconds),
                "statement_timeout": milliseconds(limits.statement_timeout_seconds),
                "idle_in_transaction_session_timeout": milliseconds(IDLE_IN_TRANSACTION_SECONDS),
                # A statement is planned within its first calls and keeps its plan. Made while a table was small, that
                # would read the whole of it ever after, until the table is analysed.
                "enable_seqscan": "off",
                "jit": "off",
            },
        },
    )
