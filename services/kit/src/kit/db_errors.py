"""What an error of the database says about trying again: down, in each other's way, or wrong."""

import socket
from collections.abc import Mapping

import asyncpg
from sqlalchemy.exc import DBAPIError

from kit.errors import HasReason, Refusal

# https://www.postgresql.org/docs/17/errcodes-appendix.html
_UNAVAILABLE_CLASSES = ("08", "53", "58")
_UNAVAILABLE_STATES = frozenset(
    {
        "25006",  # read only: the server has become a replica, the primary is elsewhere
        "25P03",  # idle in transaction too long: this process was stalled
        "28000",  # not let in: credentials or server are being changed
        "28P01",
        "3D000",  # the database is not there (yet): a restore is under way
        "57P01",  # shutting down
        "57P02",
        "57P03",  # starting up
        "57P05",
    }
)
LOCK_NOT_AVAILABLE = "55P03"
"""A lock did not come within `lock_timeout`."""
CHECK_VIOLATION = "23514"
_CONTENTION_STATES = frozenset(
    {
        "40001",  # could not serialize
        "40P01",  # deadlock
        LOCK_NOT_AVAILABLE,
    }
)
_REFUSED_STATES = frozenset({"28000", "28P01", "3D000"})
"""Not let in: right for a moment while passwords or servers are changed, else a setting is wrong."""
_DISK_FULL = "53100"
_CHAIN_LIMIT = 10


class ConnectTimedOut(ConnectionError):
    """No connection to the database came about in time; a bare TimeoutError could be anybody's."""


def chain_of(error: BaseException) -> list[BaseException]:
    """The error and what caused it, outermost first."""
    # SQLAlchemy wraps its dialect's error, which wraps asyncpg's: each link may be the one that knows.
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and len(links) < _CHAIN_LIMIT:
        links.append(link)
        link = (link.orig if isinstance(link, DBAPIError) else None) or link.__cause__
    return links


def sqlstate_of(error: BaseException) -> str | None:
    """The SQLSTATE in an exception of asyncpg or SQLAlchemy, or None."""
    for link in chain_of(error):
        state = getattr(link, "sqlstate", None)
        if isinstance(state, str):
            return state
    return None


def is_unavailable(error: BaseException) -> bool:
    """Whether the database could not be reached or cannot work at all now: the same will succeed when it is back."""
    state = sqlstate_of(error)
    if state is not None:
        return state in _UNAVAILABLE_STATES or state.startswith(_UNAVAILABLE_CLASSES)
    return any(_no_connection(link) for link in chain_of(error))


def is_refused(error: BaseException) -> bool:
    """Whether the server answers and does not let this role in: only a correction helps, or a change under way."""
    return sqlstate_of(error) in _REFUSED_STATES


def is_full(error: BaseException) -> bool:
    """Whether the server has no room left on its disk: it reads, and writes nothing."""
    return sqlstate_of(error) == _DISK_FULL


def trouble(error: BaseException) -> Mapping[str, object]:
    """What a line of the log says of a failure that is tried again: a database that is away or full needs no traceback.

    It would be the same one again and again; that the database is not well is told once, by whoever watches it.
    """
    if is_unavailable(error):
        return {"why": type(error).__name__}
    return {"exc_info": error}


def _no_connection(error: BaseException) -> bool:
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    if isinstance(error, asyncpg.InternalClientError):  # the server's farewell came while nothing was asked
        return True
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error) or "released" in str(error)
    # A connection that fails on each of several addresses is a plain OSError; its other subclasses are about files.
    return isinstance(error, ConnectionError | socket.gaierror) or type(error) is OSError


def is_outdated(error: BaseException) -> bool:
    """Whether a connection knew a statement's result by a schema that a migration has changed since."""
    return any(
        isinstance(link, asyncpg.InvalidCachedStatementError | asyncpg.OutdatedSchemaCacheError)
        for link in chain_of(error)
    )


def is_contention(error: BaseException) -> bool:
    """Whether transactions, or a migration, were in each other's way: run again from its start the same succeeds."""
    return sqlstate_of(error) in _CONTENTION_STATES or is_outdated(error)


def refusal_for(error: Exception) -> Refusal | None:
    """What a caller is told when the database is at fault and trying again helps; None when it is something else."""
    if isinstance(error, HasReason):
        return None
    if is_full(error):
        return Refusal("UNAVAILABLE", "the database has no room left to write; send the same again later")
    if is_unavailable(error):
        return Refusal("UNAVAILABLE", "the database cannot be reached just now; send the same again in a moment")
    if is_contention(error):
        return Refusal("UNAVAILABLE", "others are changing the same just now; send the same again in a moment")
    return None
