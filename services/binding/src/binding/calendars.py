"""The working days of China (工作日), as the State Council's yearly notice sets them, and a region's own.

The library `holidays` has the statutory holidays of every year and, once a year's notice is out, the weekends that are
worked in exchange (调休). A year without a notice is counted by its statutory holidays, and said to be.
"""

import json
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import holidays

from binding.metrics import UNANNOUNCED
from kit.observability import get_logger


class BadWorkingDaysFile(Exception):
    """The file of a region's own days is not what it has to be; the message says where."""


@dataclass(frozen=True, slots=True)
class RegionalDays:
    """What a region adds to the national calendar, such as 古尔邦节; and years that it states itself, in full."""

    off: frozenset[date] = frozenset()
    worked: frozenset[date] = frozenset()
    years: frozenset[int] = frozenset()

    @classmethod
    def load(cls, path: Path | None) -> "RegionalDays":
        """Read `{"off": ["2026-05-27"], "worked": [], "years": []}`.

        Raises:
            BadWorkingDaysFile: it is not that.
        """
        if path is None:
            return cls()
        try:
            stated = json.loads(path.read_text(encoding="utf-8"))
            if unknown := set(stated) - {"off", "worked", "years"}:
                raise ValueError(f"unknown: {', '.join(sorted(unknown))}")  # noqa: TRY301 - one place says which file
            days = cls(_dates(stated, "off"), _dates(stated, "worked"), frozenset(map(int, stated.get("years", []))))
        except (ValueError, TypeError, AttributeError) as error:
            raise BadWorkingDaysFile(f"{path}: {error}") from None
        if days.off & days.worked:
            raise BadWorkingDaysFile(f"{path}: {min(days.off & days.worked)} is both off and worked")
        return days


def _dates(stated: dict[str, list[str]], name: str) -> frozenset[date]:
    return frozenset(date.fromisoformat(day) for day in stated.get(name, []))


class ChineseCalendar:
    """See `binding.domain.working_days.Calendar`."""

    def __init__(self, regional: RegionalDays = RegionalDays()) -> None:
        self._regional = regional
        self._national = holidays.country_holidays("CN")

    def is_working_day(self, day: date) -> bool:
        """Whether the offices are open on a day; a region's own word goes first."""
        self._say_if_unannounced(day.year)
        if day in self._regional.off:
            return False
        return day in self._regional.worked or self._national.is_working_day(day)

    def _say_if_unannounced(self, year: int) -> None:
        if year in self._regional.years or is_announced(year):
            return
        UNANNOUNCED.labels(str(year)).inc()
        _warn_once(year)


@cache
def is_announced(year: int) -> bool:
    """Whether the library has the notice for a year: every notice so far has made up for some holiday on a weekend."""
    days = holidays.country_holidays("CN", years=year)
    return any(day.year == year for day in days.weekend_workdays)


@cache
def _warn_once(year: int) -> None:
    get_logger().warning("due days are counted without the notice of the year", year=year)
