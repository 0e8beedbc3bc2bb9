"""Months of Asia/Shanghai, by which tables are cut, and where each begins: as an instant, and as the least UUIDv7.

Business days, statements and policy are of Asia/Shanghai, so its months are what somebody asks for; the cuts themselves
are instants, written in UTC. Every instant, and every UUIDv7, is in just one month.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from kit.clock import SHANGHAI, shanghai_date

_MONTHS = 12
_SUFFIX: Final = re.compile(r"_(\d{4})_(\d{2})$")
_ID_RANDOM_BITS: Final = 80
"""Behind the milliseconds of a UUIDv7."""


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month of Asia/Shanghai."""

    year: int
    number: int
    """From 1 to 12."""

    @property
    def begins_at(self) -> datetime:
        """Its first instant, in UTC."""
        return datetime(self.year, self.number, 1, tzinfo=SHANGHAI).astimezone(UTC)

    @property
    def first_id(self) -> UUID:
        """Not above any UUIDv7 that is made in it, and above all that were made before."""
        return UUID(int=int(self.begins_at.timestamp()) * 1000 << _ID_RANDOM_BITS)

    @property
    def next(self) -> "Month":
        """The one that follows."""
        return self.later(1)

    def later(self, months: int) -> "Month":
        """So many months later."""
        year, number = divmod(self.year * _MONTHS + self.number - 1 + months, _MONTHS)
        return Month(year, number + 1)

    def partition_of(self, table: str) -> str:
        """The name of the partition that holds it, such as `inbox_2026_11`."""
        return f"{table}_{self.year:04}_{self.number:02}"

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"


def month_of(at: datetime) -> Month:
    """The month of an instant.

    Raises:
        kit.clock.ClockError: it has no zone.
    """
    day = shanghai_date(at)
    return Month(day.year, day.month)


def instant_of_id(made: UUID) -> datetime:
    """When a UUIDv7 was made, to the millisecond.

    Raises:
        OverflowError, ValueError: it is none, and spells a time that no calendar has.
    """
    return datetime.fromtimestamp((made.int >> _ID_RANDOM_BITS) / 1000, UTC)


def month_of_id(made: UUID) -> Month:
    """The month in which a UUIDv7 was made."""
    return month_of(instant_of_id(made))


def month_of_partition(name: str) -> Month | None:
    """The month that a partition's name, or a constraint's, ends with; None if it ends with none."""
    found = _SUFFIX.search(name)
    return Month(int(found[1]), int(found[2])) if found else None


def begins_between(after: datetime, until: datetime) -> list[Month]:
    """The months that begin after one instant and not after another, in order."""
    found, month = [], month_of(after).next
    while month.begins_at <= until:
        found.append(month)
        month = month.next
    return found
