import asyncio

import pytest

from kit.circuit import CircuitBreaker, CircuitOpen


class Down(Exception):
    """The other side failed."""


class Ticks:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def breaker(ticks: Ticks) -> CircuitBreaker:
    return CircuitBreaker(failures=3, rest_seconds=10, ticks=ticks)


def call(breaker: CircuitBreaker, error: BaseException | None = None) -> str:
    with breaker.guard(Down):
        if error is not None:
            raise error
        return "answered"


def fails(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(Down):
            call(breaker, Down())


def test_failures_in_a_row_open_it_and_the_time_left_is_told(breaker: CircuitBreaker, ticks: Ticks) -> None:
    fails(breaker, 3)
    ticks.seconds += 4
    with pytest.raises(CircuitOpen) as refused:
        call(breaker)
    assert refused.value.retry_after_seconds == 6


def test_a_success_in_between_starts_the_count_anew(breaker: CircuitBreaker) -> None:
    for _ in range(2):
        fails(breaker, 2)
        assert call(breaker) == "answered"


def test_after_the_rest_one_call_tries_and_its_success_closes_it(breaker: CircuitBreaker, ticks: Ticks) -> None:
    fails(breaker, 3)
    ticks.seconds += 10
    with breaker.guard(Down), pytest.raises(CircuitOpen):
        call(breaker)  # while the first one tries, nobody else does
    fails(breaker, 2)
    assert call(breaker) == "answered"


def test_the_one_that_tries_opens_it_again_by_one_failure(breaker: CircuitBreaker, ticks: Ticks) -> None:
    fails(breaker, 3)
    ticks.seconds += 10
    fails(breaker, 1)
    with pytest.raises(CircuitOpen):
        call(breaker)
    ticks.seconds += 10
    call(breaker)


@pytest.mark.parametrize("other", [ValueError("a fault of ours"), asyncio.CancelledError()])
def test_what_says_nothing_about_the_other_side_does_not_count(
    breaker: CircuitBreaker, ticks: Ticks, other: BaseException
) -> None:
    for _ in range(5):
        with pytest.raises(type(other)):
            call(breaker, other)
    fails(breaker, 3)
    ticks.seconds += 10
    with pytest.raises(type(other)):
        call(breaker, other)
    call(breaker)  # the place of the one that tries is free again
