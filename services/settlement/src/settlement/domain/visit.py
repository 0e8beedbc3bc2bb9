"""Facts about a visit: what the credential carries, what identity has told by events, and which of the two is newer.

A fact becomes true when identity records it or when its first (or the day after its last) day begins, whichever is
later. That moment decides which of two sources is newer, so a credential of yesterday evening does not outlive an
enrolment that ended at midnight.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import IntEnum
from zoneinfo import ZoneInfo

from settlement.domain.bill import InstitutionType

SHANGHAI = ZoneInfo("Asia/Shanghai")
"""Where the days are counted that policy speaks of."""


class InsuranceType(IntEnum):
    """insutype, by national code."""

    EMPLOYEE = 310
    RESIDENT = 390


class InsuranceStatus(IntEnum):
    """psn_insu_stas as the contract numbers it."""

    NORMAL = 1
    SUSPENDED = 2
    INVALID = 3
    ENDED = 4
    NOT_INSURED = 10


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What insurance a person holds from a day on."""

    insutype: InsuranceType
    psn_insu_stas: InsuranceStatus
    valid_from: date
    valid_to: date | None = None


@dataclass(frozen=True, slots=True)
class Filed:
    """A filing of care elsewhere."""

    admdvs: str
    """xx0000 covers the province, xxxx00 the city."""
    valid_to: date | None = None
    """The last day; None: open-ended, or not known."""

    def holds_on(self, day: date) -> bool:
        """Whether it is still in force on a day after the identification."""
        return self.valid_to is None or day <= self.valid_to


@dataclass(frozen=True, slots=True)
class VisitFacts:
    """What a visit credential (就诊凭证) carries: facts as of `issued_at`."""

    jti: str
    psn_no: str
    fixmedins_code: str
    fixmedins_type: InstitutionType
    mdtrtarea_admvs: str
    """Region of the institution."""
    designated: bool
    remote_settlement: bool
    enrolment: Enrolment | None
    deceased: bool
    filed: tuple[Filed, ...]
    """The filings (异地就医备案) that were in force at the identification."""
    issued_at: datetime
    expires_at: datetime
    inpatient: bool = False
    """Whether it lives for a stay, and is then good for inpatient bills only."""


@dataclass(frozen=True, slots=True)
class EnrolmentFact:
    """An enrolment as an event told it."""

    enrolment: Enrolment
    as_of: datetime


@dataclass(frozen=True, slots=True)
class PersonFacts:
    """What events have told of a person."""

    died_on: date | None = None
    enrolments: tuple[EnrolmentFact, ...] = ()
    """By first day, rising; each replaces the one before from its first day on."""


@dataclass(frozen=True, slots=True)
class Designation:
    """A period in which an institution is designated (定点); first and last day count."""

    valid_from: date
    valid_to: date | None = None
    """None: open-ended."""


@dataclass(frozen=True, slots=True)
class InstitutionFacts:
    """What events have told of an institution."""

    fixmedins_type: InstitutionType
    admdvs: str
    designations: tuple[Designation, ...]
    """In order, without overlap; empty: not designated."""
    remote_settlement: bool
    suspended: bool
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Projection:
    """What settlement itself knows of a visit's patient and institution; None where no event has come yet."""

    person: PersonFacts | None = None
    institution: InstitutionFacts | None = None


def day_of(at: datetime) -> date:
    """The Asia/Shanghai date of a moment."""
    return at.astimezone(SHANGHAI).date()


def freshest(facts: VisitFacts, projection: Projection, now: datetime) -> VisitFacts:
    """The credential's facts with what the projection knows better: the newer of the two wins."""
    if projection.institution is not None:
        facts = _with_institution(facts, projection.institution, now)
    if projection.person is not None:
        facts = _with_person(facts, projection.person, now)
    return facts


def _with_institution(facts: VisitFacts, told: InstitutionFacts, now: datetime) -> VisitFacts:
    since = (_true_since(told.as_of, period.valid_from, period.valid_to, now) for period in told.designations)
    if max(since, default=told.as_of) <= facts.issued_at:
        return facts
    return replace(
        facts,
        fixmedins_type=told.fixmedins_type,
        mdtrtarea_admvs=told.admdvs,
        designated=not told.suspended and _designated_on(told.designations, day_of(now)),
        remote_settlement=told.remote_settlement,
    )


def _designated_on(designations: Iterable[Designation], day: date) -> bool:
    return any(_within(period.valid_from, period.valid_to, day) for period in designations)


def _with_person(facts: VisitFacts, told: PersonFacts, now: datetime) -> VisitFacts:
    facts = replace(facts, deceased=facts.deceased or told.died_on is not None)  # nobody comes back from it
    latest = _latest(told, day_of(now))
    if latest is None:
        return facts
    enrolment = latest.enrolment
    if _true_since(latest.as_of, enrolment.valid_from, enrolment.valid_to, now) <= facts.issued_at:
        return facts
    return replace(facts, enrolment=enrolment_on(told, day_of(now)))


def enrolment_on(person: PersonFacts, day: date) -> Enrolment | None:
    """The enrolment in force on a day: the last that has begun, unless it has ended."""
    latest = _latest(person, day)
    if latest is None or not _within(latest.enrolment.valid_from, latest.enrolment.valid_to, day):
        return None
    return latest.enrolment


def _latest(person: PersonFacts, day: date) -> EnrolmentFact | None:
    begun = [fact for fact in person.enrolments if fact.enrolment.valid_from <= day]
    return begun[-1] if begun else None


def _within(first_day: date, last_day: date | None, day: date) -> bool:
    return first_day <= day and (last_day is None or day <= last_day)


def _true_since(as_of: datetime, first_day: date, last_day: date | None, now: datetime) -> datetime:
    """The last moment, not after `now`, at which the fact began to be as it is."""
    begins = [_midnight(first_day)]
    ends = [_midnight(last_day + timedelta(days=1))] if last_day and last_day < date.max else []
    return max([as_of, *(moment for moment in (*begins, *ends) if moment <= now)])


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=SHANGHAI)
