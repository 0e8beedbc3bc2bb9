"""Notices ahead of time: a relation that will run out, a minor who will be of age (R4). Each is told once.

A notice may be late, after a stop of all replicas, and says the day that it is about; so it is told until that day.
When the day is over there is nothing left to warn of: the end itself is told, and the coming of age has happened.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import NamedTuple

from binding.domain.persons import latest_birth


class NoticeKind(StrEnum):
    """What was told ahead."""

    EXPIRING = "EXPIRING"
    COMES_OF_AGE = "COMES_OF_AGE"


class Days(NamedTuple):
    """From the first to the last day, both included."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class NoticeRules:
    """How long ahead people are told."""

    ahead: timedelta = timedelta(days=30)
    adult_age_years: int = 18


def expiring_between(today: date, rules: NoticeRules) -> Days:
    """The last days of those relations that are told today; one whose last day is over has ended."""
    return Days(today, today + rules.ahead)


def coming_of_age_between(today: date, rules: NoticeRules) -> Days:
    """The days of birth of those who are told today: minors still, and of age so many days from now."""
    of_age_already = latest_birth(today, rules.adult_age_years)
    return Days(of_age_already + timedelta(days=1), latest_birth(today + rules.ahead, rules.adult_age_years))
