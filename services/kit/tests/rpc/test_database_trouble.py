"""A database that is away, or others in the way, is no fault of ours to report: the caller may send the same again."""

from typing import Any

import asyncpg
import grpc
import pytest
from sqlalchemy.exc import DBAPIError

from kit.errors import reason_of


class Gone(Exception):
    """Any driver's error, wrapped by SQLAlchemy after the connection was lost."""


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (ConnectionRefusedError("connect failed"), "UNAVAILABLE"),
        (asyncpg.CannotConnectNowError("the database system is starting up"), "UNAVAILABLE"),
        (asyncpg.AdminShutdownError("terminating connection"), "UNAVAILABLE"),
        (DBAPIError("SELECT 1", None, Gone(), connection_invalidated=True), "UNAVAILABLE"),
        (asyncpg.LockNotAvailableError("canceling statement due to lock timeout"), "UNAVAILABLE"),
        (asyncpg.DeadlockDetectedError("deadlock detected"), "UNAVAILABLE"),
        (asyncpg.UniqueViolationError("duplicate key"), "INTERNAL"),
        (asyncpg.QueryCanceledError("canceling statement due to statement timeout"), "INTERNAL"),
        (FileNotFoundError("a file"), "INTERNAL"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
async def test_trouble_with_the_database_says_whether_to_send_the_same_again(
    serve: Any, trouble: Exception, reason: str
) -> None:
    async def fail(_request: Any, _context: Any) -> None:
        raise trouble

    async with serve() as running, running.channel() as channel:
        running.echo.do = fail
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.method(channel, "One")(running.messages.EchoRequest(), timeout=5)
    assert reason_of(caught.value) == reason
    assert str(trouble) not in (caught.value.details() or "")
