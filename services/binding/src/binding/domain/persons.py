"""What binding knows of persons, from identity's events: birth, enrolments by day, death."""

from dataclasses import dataclass
from datetime import date

EMPLOYEE = "310"
"""insutype of employee insurance (职工医保)."""
RESIDENT = "390"
"""insutype of resident insurance (居民医保)."""
NORMAL = 1
"""psn_insu_stas of a normal standing."""
INSURANCE_ENDED = 4
"""psn_insu_stas of an insurance that has ended."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One statement about a person's insurance, in force from a day on until a later statement replaces it."""

    insutype: str
    insuplc_admdvs: str
    psn_insu_stas: int
    arrears: bool
    valid_from: date
    valid_to: date | None
    sequence: int
    """The statement's place among the person's events: of two, the greater one is the newer."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person as identity's events have told so far."""

    psn_no: str
    brdy: date | None = None
    died_on: date | None = None
    enrolments: tuple[Enrolment, ...] = ()

    def enrolment_on(self, day: date) -> Enrolment | None:
        """The enrolment in force on a day, or None.

        The newest statement that has begun replaces all before it, also where it has run out since.
        """
        newest = self.statement_on(day)
        if newest is None or (newest.valid_to is not None and newest.valid_to < day):
            return None
        return newest

    def statement_on(self, day: date) -> Enrolment | None:
        """The newest statement that has begun by a day, also where it has run out since, or None."""
        begun = [enrolment for enrolment in self.enrolments if enrolment.valid_from <= day]
        return max(begun, key=lambda enrolment: enrolment.sequence, default=None)

    def in_arrears_on(self, day: date) -> bool:
        """Whether contributions are in arrears on a day (R8)."""
        enrolment = self.enrolment_on(day)
        return enrolment is not None and enrolment.arrears


def age_on(brdy: date, day: date) -> int:
    """Completed years on a day; who is born on 29 February turns a year older on 1 March of a common year."""
    return day.year - brdy.year - ((day.month, day.day) < (brdy.month, brdy.day))


def birthday_of(brdy: date, years: int) -> date:
    """The first day on which so many years are completed; the same 1 March as in `age_on`."""
    try:
        return brdy.replace(year=brdy.year + years)
    except ValueError:
        return date(brdy.year + years, 3, 1)


def latest_birth(day: date, years: int) -> date:
    """The last day of birth of those who have completed so many years by a day."""
    try:
        return day.replace(year=day.year - years)
    except ValueError:  # 29 February, where the year of birth had none
        return date(day.year - years, 2, 28)
