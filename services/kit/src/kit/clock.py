"""Time, injected: the one module that asks the machine what time it is.

Business rules receive a `Clock` and judge by `clock.now()`; timeouts, leases and ages inside a process use `Elapsed`,
which nobody can move.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")


class ClockError(Exception):
    """The clock cannot say what time it is, or was asked about a time without a zone."""


class Clock(Protocol):
    """What tells the time to everything that policy depends on."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...


class HasClockOffsetFile(Protocol):
    """The settings that decide which clock a process runs on."""

    @property
    def clock_offset_file(self) -> Path | None:
        """The file with the offset in seconds, or None for real time."""
        ...


def shanghai_date(at: datetime) -> date:
    """The Asia/Shanghai calendar date of a moment: what windows, validity and ages are counted in (R6).

    Raises:
        ClockError: the moment has no zone, so it has no date anywhere.
    """
    if at.tzinfo is None:
        raise ClockError(f"{at.isoformat()} has no time zone; pass an aware datetime")
    return at.astimezone(SHANGHAI).date()


class SystemClock:
    """Real time."""

    def now(self) -> datetime:
        """The machine's time in UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Reading:
    stamp: tuple[int, int, int]
    offset: timedelta


_NO_OFFSET = _Reading((-1, -1, -1), timedelta())


class OffsetClock:
    """Real time plus the number of seconds that a file holds, looked at on every call.

    All local services read the same file, so moving it moves them together. An absent file means no offset. An empty
    one is being written just now: the last offset stays in force.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading = _NO_OFFSET

    def now(self) -> datetime:
        """The shifted time in UTC.

        Raises:
            ClockError: the file holds something else than a number of seconds.
        """
        return datetime.now(UTC) + self._offset()

    def _offset(self) -> timedelta:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._reading = _NO_OFFSET
            return _NO_OFFSET.offset
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._reading.stamp:
            self._reading = self._read(stamp)
        return self._reading.offset

    def _read(self, stamp: tuple[int, int, int]) -> _Reading:
        text = self._path.read_text(encoding="utf-8").strip()
        if not text:
            return self._reading
        try:
            return _Reading(stamp, timedelta(seconds=float(text)))
        except (ValueError, OverflowError) as error:
            raise ClockError(f"{self._path} holds {text[:40]!r}; it must hold a number of seconds") from error


class FixedClock:
    """A clock that stands still until it is told otherwise; for tests."""

    def __init__(self, now: datetime) -> None:
        self._now = _aware(now)

    def now(self) -> datetime:
        """The moment it was last set to, in UTC."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Move on by this much (back, if negative)."""
        self._now += by

    def set(self, now: datetime) -> None:
        """Jump to this moment."""
        self._now = _aware(now)


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ClockError(f"{at.isoformat()} has no time zone; pass an aware datetime")
    return at.astimezone(UTC)


def clock_from(settings: HasClockOffsetFile) -> Clock:
    """The clock that the settings ask for: real time, unless an offset file is named (refused in production)."""
    if settings.clock_offset_file is None:
        return SystemClock()
    return OffsetClock(settings.clock_offset_file)


class Elapsed:
    """Seconds since it was made, on a clock that only goes forward; for time-outs and ages inside a process."""

    __slots__ = ("_started", "_ticks")

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks = ticks
        self._started = ticks()

    @property
    def seconds(self) -> float:
        """How long it has been, in seconds."""
        return self._ticks() - self._started

    def restart(self) -> None:
        """Count from now."""
        self._started = self._ticks()
