"""The one place of the local stack that reads a clock, and the file that moves the services' clock."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

POLL_SECONDS = 0.05


def real_now() -> datetime:
    """The computer's time, aware, UTC; certificates are judged by it, business never is."""
    return datetime.now(UTC)


class Stopwatch:
    """Seconds since it was made, unaffected by changes of the computer's clock."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def seconds(self) -> float:
        """Elapsed seconds."""
        return time.monotonic() - self._started


def wait_until(condition: Callable[[], bool], timeout_seconds: float, poll_seconds: float = POLL_SECONDS) -> bool:
    """Asks `condition` until it holds; False when `timeout_seconds` passed first."""
    stopwatch = Stopwatch()
    while not condition():
        if stopwatch.seconds() > timeout_seconds:
            return False
        time.sleep(poll_seconds)
    return True


class MovableClock:
    """The clock that all local services share: the computer's time plus the seconds in a file."""

    def __init__(self, offset_file: Path) -> None:
        self._offset_file = offset_file

    def offset_seconds(self) -> float:
        """What the file says; an absent file moves nothing."""
        try:
            return float(self._offset_file.read_text() or "0")
        except FileNotFoundError:
            return 0.0

    def now(self) -> datetime:
        """The services' present, aware, UTC."""
        return real_now() + timedelta(seconds=self.offset_seconds())

    def move(self, to: datetime) -> None:
        """Lets the services' present be `to` (aware); a reader sees the old offset or the new one, never half."""
        offset = (to - real_now()).total_seconds()
        draft = self._offset_file.with_name(f"{self._offset_file.name}.{os.getpid()}")
        draft.write_text(f"{offset:.6f}\n")
        draft.replace(self._offset_file)
