"""A circuit breaker: what keeps failing is left alone for a while, then tried by one call before all come back."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kit.clock import Elapsed

FAILURES: int = 5
REST_SECONDS: float = 10.0


class CircuitOpen(Exception):
    """The other side has failed too often in a row and is left alone."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(f"left alone for {retry_after_seconds:.1f} s more")
        self.retry_after_seconds = retry_after_seconds


class CircuitBreaker:
    """Counts failures in a row of one dependency, for one process.

    Args:
        failures: how many in a row open the circuit.
        rest_seconds: how long it stays open; then one call may try.
        ticks: seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        rest_seconds: float = REST_SECONDS,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_failures = failures
        self._rest_seconds = rest_seconds
        self._ticks = ticks
        self._failures = 0
        self._resting: Elapsed | None = None
        self._trying = False

    @contextmanager
    def guard(self, failure: type[Exception]) -> Iterator[None]:
        """Around one call; an exception of type `failure` counts, another (such as being cancelled) says nothing.

        Raises:
            CircuitOpen: the call is not to be made now.
        """
        trying = self._admit()
        try:
            yield
        except failure:
            self._failed(trying)
            raise
        else:
            self._failures, self._resting = 0, None
        finally:
            self._trying = self._trying and not trying

    def _admit(self) -> bool:
        """Whether the call is the one that tries whether the other side is back."""
        if self._resting is None:
            return False
        left_seconds = self._rest_seconds - self._resting.seconds
        if left_seconds > 0 or self._trying:
            raise CircuitOpen(max(left_seconds, 1.0))
        self._trying = True
        return True

    def _failed(self, trying: bool) -> None:  # noqa: FBT001 - called here only
        self._failures += 1
        if trying or self._failures >= self._most_failures:
            self._resting = Elapsed(self._ticks)
