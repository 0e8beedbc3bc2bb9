from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.domain.attempts import Bound, TooManyAttempts, locked_until
from identity.testing import NOW

HOUR = timedelta(hours=1)
BOUND = Bound(3)


def minutes_ago(*minutes: int) -> list[datetime]:
    return [NOW - timedelta(minutes=minute) for minute in minutes]


@pytest.mark.parametrize("attempts", [(), (1,), (1, 2), (1, 2, 60), (1, 2, 600), (1, 2, -60)])
def test_fewer_than_the_bound_within_the_hour_leave_one_more(attempts: tuple[int, ...]) -> None:
    assert locked_until(minutes_ago(*attempts), BOUND, NOW) is None


def test_as_many_as_the_bound_lock_until_the_oldest_of_them_is_an_hour_old() -> None:
    assert locked_until(minutes_ago(1, 50, 20), BOUND, NOW) == NOW + timedelta(minutes=10)
    assert locked_until(minutes_ago(1, 50, 20, 30), BOUND, NOW) == NOW + timedelta(minutes=30)


def test_attempts_that_another_clock_put_a_little_ahead_count() -> None:
    assert locked_until([NOW + timedelta(seconds=1)] * 3, BOUND, NOW) == NOW + HOUR + timedelta(seconds=1)


def test_the_refusal_tells_whole_seconds_and_never_less_than_are_left() -> None:
    for left, told in [(0.2, "1"), (1.0, "1"), (1.5, "2"), (3600, "3600")]:
        assert TooManyAttempts(NOW + timedelta(seconds=left), NOW).metadata == {"retry_after_seconds": told}


moments = st.lists(st.integers(0, 4 * 3600), max_size=60).map(
    lambda offsets: [datetime(2025, 6, 10, tzinfo=UTC) + timedelta(seconds=offset) for offset in sorted(offsets)]
)


@given(moments, st.integers(1, 6))
def test_whoever_only_tries_when_allowed_never_makes_more_than_the_bound_in_any_hour(
    tries: list[datetime], most: int
) -> None:
    made: list[datetime] = []
    for now in tries:
        if locked_until(made, Bound(most), now) is None:
            made.append(now)
    for first in made:
        assert sum(first <= at < first + HOUR for at in made) <= most


@given(moments.filter(bool), st.integers(1, 6))
def test_a_lock_out_ends_at_the_moment_that_was_told_and_not_before(tries: list[datetime], most: int) -> None:
    now = tries[-1]
    until = locked_until(tries, Bound(most), now)
    if until is not None:
        assert now < until <= now + HOUR
        assert locked_until(tries, Bound(most), until - timedelta(microseconds=1)) == until
        assert locked_until(tries, Bound(most), until) is None
