"""What identity tells, folded into what settlement knows: the order in which events arrive makes no difference.

One person's events share one sequence, and each tells a part of the person: an enrolment from a day on, or the death.
Each part keeps the sequence that told it, and a newer one of the same part wins.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

from settlement.domain.bill import InstitutionType
from settlement.domain.visit import Designation, InsuranceStatus, InsuranceType


@dataclass(frozen=True, slots=True)
class Verified:
    """A person passed the real-name check, or was corrected; of no consequence here but that the person exists."""

    psn_no: str
    sequence: int
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An enrolment as of `valid_from`; it replaces what was to hold from that day on."""

    psn_no: str
    sequence: int
    as_of: datetime
    valid_from: date
    valid_to: date | None
    insutype: InsuranceType
    insuplc_admdvs: str
    psn_insu_stas: InsuranceStatus
    arrears: bool


@dataclass(frozen=True, slots=True)
class Died:
    """A person died."""

    psn_no: str
    sequence: int
    as_of: datetime
    died_on: date


@dataclass(frozen=True, slots=True)
class InstitutionTold:
    """An institution as it is after a change."""

    fixmedins_code: str
    sequence: int
    as_of: datetime
    fixmedins_type: InstitutionType
    admdvs: str
    designations: tuple[Designation, ...]
    remote_settlement: bool
    suspended: bool


PersonTold = Verified | Enrolled | Died
Told = PersonTold | InstitutionTold


@dataclass(frozen=True, slots=True)
class PersonKnown:
    """All that is known of a person."""

    psn_no: str
    sequence: int
    """The highest that was taken in."""
    as_of: datetime
    """When identity recorded that one."""
    died_on: date | None = None
    died_sequence: int | None = None
    enrolments: tuple[Enrolled, ...] = ()
    """By first day, rising."""


def first_known(told: PersonTold) -> PersonKnown:
    """A person of whom nothing was known before this was told; `learn` takes in what it says."""
    return PersonKnown(told.psn_no, told.sequence, told.as_of)


def learn(person: PersonKnown, told: PersonTold) -> PersonKnown:
    """The person with this taken in; telling it again changes nothing."""
    if told.sequence > person.sequence:
        person = replace(person, sequence=told.sequence, as_of=told.as_of)
    if isinstance(told, Enrolled):
        return replace(person, enrolments=_with_enrolment(person.enrolments, told))
    if isinstance(told, Died) and told.sequence > (person.died_sequence or 0):
        return replace(person, died_on=told.died_on, died_sequence=told.sequence)
    return person


def _with_enrolment(enrolments: tuple[Enrolled, ...], told: Enrolled) -> tuple[Enrolled, ...]:
    # Order-proof: a row falls if and only if a later event covers its first day, whichever of the two came first.
    if any(known.sequence >= told.sequence and known.valid_from <= told.valid_from for known in enrolments):
        return enrolments
    kept = [known for known in enrolments if known.sequence > told.sequence or known.valid_from < told.valid_from]
    return tuple(sorted([*kept, told], key=lambda enrolled: enrolled.valid_from))


def learn_all(people: Mapping[str, PersonKnown], told: Iterable[PersonTold]) -> dict[str, PersonKnown]:
    """The people after all of this; each of them must be in `people`."""
    known = dict(people)
    for one in told:
        known[one.psn_no] = learn(known[one.psn_no], one)
    return known


def newest_institutions(told: Iterable[InstitutionTold]) -> list[InstitutionTold]:
    """The newest word on each institution, by code."""
    newest: dict[str, InstitutionTold] = {}
    for one in told:
        if one.fixmedins_code not in newest or one.sequence > newest[one.fixmedins_code].sequence:
            newest[one.fixmedins_code] = one
    return [newest[code] for code in sorted(newest)]
