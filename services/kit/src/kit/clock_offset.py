"""How far this computer's clock is from the database's, and when that is too much.

Windows, validity, assertions and certificates are judged by this computer's clock; leases and ages by the database's.
Both are kept by NTP and differ by milliseconds. Assertions live for at most five minutes: a clock that is further off
takes what has long expired, or refuses what is new.
"""

from datetime import datetime
from typing import Final

from kit.health import NotWell
from kit.metrics import EVERY

WARN_SECONDS: Final = 30.0
"""Further apart is told; calls are answered."""
MOST_SECONDS: Final = 300.0
"""Further apart, calls are not sent here."""

OFFSET: Final = EVERY.gauge(
    "gongji_clock_offset_seconds",
    "How far this computer's clock is ahead of the database's, below 0 behind; as little as the time for the question"
    " allows.",
    unit="s",
)


class ClockOffset:
    """What the last comparison said."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def compared(self, before: datetime, there: datetime, after: datetime) -> None:
        """The database's clock said `there` at some time between `before` and `after` of this computer's."""
        self._seconds = apart_seconds(before, there, after)
        OFFSET.set(self._seconds)

    async def look(self) -> None:
        """Judge the last comparison.

        Raises:
            NotWell: the clocks are too far apart.
        """
        if abs(self._seconds) > WARN_SECONDS:
            raise NotWell(in_words(self._seconds), serving=abs(self._seconds) > MOST_SECONDS)


def apart_seconds(before: datetime, there: datetime, after: datetime) -> float:
    """How far this computer's clock is ahead for certain: the question may have waited for a connection."""
    least, most = (before - there).total_seconds(), (after - there).total_seconds()
    if least > 0:
        return least
    return min(most, 0.0)


def in_words(seconds: float) -> str:
    """What to do about clocks that are apart."""
    way = "ahead of" if seconds > 0 else "behind"
    return f"this computer's clock is {abs(seconds):.0f} s {way} the database's; set right whichever is wrong (NTP)"
