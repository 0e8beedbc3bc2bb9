"""Why a PostgreSQL that somebody named cannot be used: it is silent, or it answers and refuses."""

from typing import Final
from urllib.parse import unquote, urlsplit

import asyncpg

from gongji_local.blocking import run_blocking
from gongji_local.errors import StackError
from gongji_local.postgres.server import address_of, select_one

NAMED_BY: Final = "DATABASE_URL or --postgres-url"
OWN_ONE: Final = "without one, the stack starts its own."
CORRECT: Final = f"Correct the URL; {OWN_ONE}"


def require_answer(url: str) -> None:
    """Raises StackError, which says what is true of that server and never its password."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in {"postgresql", "postgres"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        is_one = False
    if not is_one:
        raise StackError(
            f"What {NAMED_BY} says is no URL of a PostgreSQL: postgresql://ACCOUNT:PASSWORD@HOST:PORT/DATABASE.",
            CORRECT,
        )
    try:
        run_blocking(lambda: select_one(url))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise _refusal(url, error) from error


def _refusal(url: str, error: Exception) -> StackError:
    parts, where = urlsplit(url), f"The PostgreSQL at {address_of(url)}, which {NAMED_BY} names,"
    if isinstance(error, asyncpg.InvalidPasswordError):
        return StackError(f"{where} answers and refuses the password of {unquote(parts.username or '')}.", CORRECT)
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return StackError(f"{where} answers and has no database {unquote(parts.path.lstrip('/'))}.", CORRECT)
    if isinstance(error, asyncpg.PostgresError):
        return StackError(f"{where} answers and refuses: {error}.", CORRECT)
    if isinstance(error, asyncpg.InterfaceError):
        return StackError(f"What {NAMED_BY} says cannot be used: {error}.", CORRECT)
    return StackError(f"{where} does not answer.", f"Start it or correct the URL; {OWN_ONE}")
