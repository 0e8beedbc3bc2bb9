"""What a failure of the database is called, and what a line of the log says of it."""

import asyncpg
import pytest

from kit.db_errors import is_full, is_refused, is_unavailable, refusal_for, trouble

AWAY = [ConnectionRefusedError(), asyncpg.CannotConnectNowError("starting up"), asyncpg.DiskFullError("no room")]


@pytest.mark.parametrize("error", AWAY)
def test_what_is_tried_again_until_the_database_is_back_has_no_traceback(error: Exception) -> None:
    assert trouble(error) == {"why": type(error).__name__}


@pytest.mark.parametrize("error", [KeyError("x"), asyncpg.CheckViolationError("x"), asyncpg.DeadlockDetectedError("x")])
def test_any_other_failure_is_told_with_its_traceback(error: Exception) -> None:
    assert trouble(error) == {"exc_info": error}


@pytest.mark.parametrize(
    ("error", "refused", "full"),
    [
        (asyncpg.InvalidPasswordError("x"), True, False),
        (asyncpg.InvalidAuthorizationSpecificationError("x"), True, False),
        (asyncpg.InvalidCatalogNameError("x"), True, False),
        (asyncpg.DiskFullError("x"), False, True),
        (asyncpg.TooManyConnectionsError("x"), False, False),
        (ConnectionRefusedError(), False, False),
    ],
)
def test_who_is_not_let_in_and_who_finds_no_room_is_told_apart(error: Exception, *, refused: bool, full: bool) -> None:
    assert (is_refused(error), is_full(error)) == (refused, full)
    assert is_unavailable(error)
    refusal = refusal_for(error)
    assert refusal is not None
    assert refusal.reason == "UNAVAILABLE"
    assert ("no room left to write" in refusal.message) == full
