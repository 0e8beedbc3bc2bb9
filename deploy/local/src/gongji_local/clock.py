"""Waiting by real time, and the file that moves the clock which the local services share."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gongji_local.errors import StackError
from gongji_local.files import write_private
from kit.clock import ClockError, Elapsed, OffsetClock, SystemClock

POLL_SECONDS: Final = 0.05


def real_now() -> datetime:
    """The computer's time, aware, UTC; certificates are judged by it, business never is."""
    return SystemClock().now()


def wait_until(condition: Callable[[], bool], timeout_seconds: float, poll_seconds: float = POLL_SECONDS) -> bool:
    """Asks `condition` until it holds; False when `timeout_seconds` passed first."""
    elapsed = Elapsed()
    while not condition():
        if elapsed.seconds > timeout_seconds:
            return False
        time.sleep(poll_seconds)
    return True


class MovableClock:
    """The clock that all local services share: the computer's time plus the seconds in a file."""

    def __init__(self, offset_file: Path) -> None:
        self._offset_file = offset_file

    def now(self) -> datetime:
        """The services' present, aware, UTC."""
        try:
            return OffsetClock(self._offset_file).now()
        except ClockError as error:
            raise StackError(
                f"The services' clock is damaged: {error}.", "Run `gongji-local clock --reset`."
            ) from error

    def move(self, to: datetime) -> None:
        """Lets the services' present be `to` (aware); a reader sees the old offset or the new one, never half."""
        offset_seconds = (to.astimezone(UTC) - real_now()).total_seconds()
        write_private(self._offset_file, f"{offset_seconds:.6f}\n")

    def reset(self) -> None:
        """Lets the services' present be the computer's again."""
        self._offset_file.unlink(missing_ok=True)
