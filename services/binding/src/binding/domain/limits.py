"""Limits and the windows they are counted in (限额, R6): integer fen, Asia/Shanghai dates."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID


class LimitWindow(StrEnum):
    """A window of a limit, in the order in which a tie between equally tight windows is told."""

    SETTLEMENT = "SETTLEMENT"
    DAY = "DAY"
    MONTH = "MONTH"
    YEAR = "YEAR"
    TOTAL = "TOTAL"


COUNTED_WINDOWS = (LimitWindow.DAY, LimitWindow.MONTH, LimitWindow.YEAR, LimitWindow.TOTAL)
"""Windows that keep a counter for every relation, limited or not: a limit added later counts from the first fen."""

TOTAL_START = date(1970, 1, 1)
"""The start of the one window that never closes; any fixed day would do."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a relation may spend per window, fen; None means no limit of that window."""

    settlement_fen: int | None = None
    day_fen: int | None = None
    month_fen: int | None = None
    year_fen: int | None = None
    total_fen: int | None = None

    def of(self, window: LimitWindow) -> int | None:
        """The limit of one window, fen."""
        limit_fen: int | None = getattr(self, _LIMITS[window])
        return limit_fen


_LIMITS = {window: f"{window.lower()}_fen" for window in LimitWindow}


@dataclass(frozen=True, slots=True)
class Use:
    """What of a window is captured, and held by settlements under way, fen; as a change, either may be negative."""

    used_fen: int = 0
    held_fen: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(self.used_fen + other.used_fen, self.held_fen + other.held_fen)

    def __sub__(self, other: "Use") -> "Use":
        return Use(self.used_fen - other.used_fen, self.held_fen - other.held_fen)

    def __bool__(self) -> bool:
        """Whether there is anything to count."""
        return self.used_fen != 0 or self.held_fen != 0

    @property
    def taken_fen(self) -> int:
        """What nobody else may have, fen."""
        return self.used_fen + self.held_fen


NO_USE = Use()


class CounterKey(NamedTuple):
    """One counter: a relation, a window and the day the window began on."""

    relation_id: UUID
    window: LimitWindow
    start: date


@dataclass(frozen=True, slots=True)
class Left:
    """What the tightest window has left, fen; negative after a limit was lowered below what is used."""

    left_fen: int
    window: LimitWindow


def window_start(window: LimitWindow, day: date) -> date:
    """The first day of the window that `day` falls into."""
    match window:
        case LimitWindow.MONTH:
            return day.replace(day=1)
        case LimitWindow.YEAR:
            return day.replace(month=1, day=1)
        case LimitWindow.TOTAL:
            return TOTAL_START
        case _:
            return day


@lru_cache(maxsize=1024)
def window_starts(day: date) -> tuple[tuple[LimitWindow, date], ...]:
    """The counted windows that `day` falls into, with their first days."""
    return tuple((window, window_start(window, day)) for window in COUNTED_WINDOWS)


def counter_keys(relation_id: UUID, day: date) -> tuple[CounterKey, ...]:
    """The counters that spending on `day` moves."""
    return tuple(CounterKey(relation_id, window, start) for window, start in window_starts(day))


def tightest(limits: Limits, relation_id: UUID, day: date, uses: Mapping[CounterKey, Use]) -> Left | None:
    """The window with the least left on `day`, on a tie the first of `LimitWindow`; None when nothing is limited."""
    tightest = None if limits.settlement_fen is None else Left(limits.settlement_fen, LimitWindow.SETTLEMENT)
    for window, start in window_starts(day):
        limit_fen = limits.of(window)
        if limit_fen is None:
            continue
        left_fen = limit_fen - uses.get(CounterKey(relation_id, window, start), NO_USE).taken_fen
        if tightest is None or left_fen < tightest.left_fen:  # on a tie the first stays
            tightest = Left(left_fen, window)
    return tightest
