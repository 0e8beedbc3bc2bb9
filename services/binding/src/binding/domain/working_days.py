"""By when an application is to be decided: a number of working days (工作日) after the day it was handed in."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Protocol

_ONE_DAY = timedelta(days=1)
_SATURDAY = 5


class Calendar(Protocol):
    """Which days are worked: public holidays, and the weekends that make up for them (调休)."""

    def is_working_day(self, day: date) -> bool:
        """Whether the offices are open on a day."""
        ...


@dataclass(frozen=True, slots=True)
class Weekdays:
    """Monday to Friday, without any holiday."""

    def is_working_day(self, day: date) -> bool:
        """See `Calendar.is_working_day`."""
        return day.weekday() < _SATURDAY


@dataclass(frozen=True, slots=True)
class Promise:
    """How fast the office decides, by its own calendar."""

    working_days: int = 5
    calendar: Calendar = field(default_factory=Weekdays)

    def due_on(self, submitted_on: date) -> date:
        """The last day for what was handed in on a day."""
        return due_on(submitted_on, self.working_days, self.calendar)


def due_on(submitted_on: date, working_days: int, calendar: Calendar) -> date:
    """The last day to decide: the n-th working day after the day of handing in, which itself does not count.

    Args:
        submitted_on: Asia/Shanghai date of handing in.
        working_days: n, at least 1.
        calendar: it has working days without end, or this does not return.
    """
    day = submitted_on
    for _ in range(working_days):
        day += _ONE_DAY
        while not calendar.is_working_day(day):
            day += _ONE_DAY
    return day
