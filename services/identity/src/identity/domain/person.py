"""An insured person, and who may act for them."""

from dataclasses import dataclass, field, replace
from datetime import date, datetime

from identity.domain import enrolment as enrolments
from identity.domain.certificate import Certificate
from identity.domain.enrolment import Enrolment
from identity.domain.refusals import Deceased, NotEntitled

AGE_OF_MAJORITY_YEARS = 18
"""R4: from this birthday on a person consents and registers for themself."""


@dataclass(frozen=True, slots=True)
class Registration:
    """That the real-name check was passed."""

    verified_at: datetime
    """When first; aware."""
    registered_by: str
    """psn_no of who did it: the person, or for a minor the one who registered them."""


@dataclass(frozen=True, slots=True)
class Person:
    """A row of the register of insured persons and what followed. What identifies the person is never printed."""

    psn_no: str
    name: str = field(repr=False)
    certificates: tuple[Certificate, ...]
    """At most one of each type; a newborn has a birth certificate first and an identity number later."""
    brdy: date = field(repr=False)
    tel: str = field(default="", repr=False)
    """Empty: none on file."""
    card_sn: str = field(default="", repr=False)
    """Of the social security card; empty: none."""
    died_on: date | None = None
    enrolments: tuple[Enrolment, ...] = ()
    """In the order in which they were recorded; nothing is ever taken out."""
    registration: Registration | None = None
    guardians: frozenset[str] = frozenset()
    """psn_no of everybody who registered this person as a minor: both parents may."""
    version: int = 0
    """Counts the person's events, without a gap."""

    def enrolment_on(self, day: date) -> Enrolment | None:
        """The enrolment in force on that day, or None."""
        return enrolments.in_force(self.enrolments, day)

    def is_minor(self, today: date) -> bool:
        """Whether under 18 (R4). Born on 29 February, one comes of age on 1 March."""
        return age_years(self.brdy, today) < AGE_OF_MAJORITY_YEARS


def age_years(brdy: date, today: date) -> int:
    """Completed years of life."""
    before_birthday = (today.month, today.day) < (brdy.month, brdy.day)
    return today.year - brdy.year - before_birthday


def record_enrolment(person: Person, new: Enrolment) -> Person:
    """The person with one more statement; the same object if it changes nothing."""
    return _enrolled(person, new) if enrolments.changes(person.enrolments, new) else person


def take_enrolment_from_register(person: Person, row: Enrolment) -> Person:
    """The same for a register's row, which says how it is as of a day."""
    return person if enrolments.is_known(person.enrolments, row) else _enrolled(person, row)


def _enrolled(person: Person, new: Enrolment) -> Person:
    return replace(person, enrolments=(*person.enrolments, new), version=person.version + 1)


def only_enrolled(before: Person, after: Person) -> bool:
    """Whether nothing but statements of enrolment came to the person: what identifies them need not be kept anew."""
    return replace(before, enrolments=after.enrolments, version=after.version) == after


def record_death(person: Person, died_on: date) -> Person:
    """The person with the day of death; the same object if that day is on record. Another day corrects it."""
    return person if person.died_on == died_on else replace(person, died_on=died_on, version=person.version + 1)


def may_act_for(caller_psn_no: str | None, person: Person, today: date) -> bool:
    """Whether the caller is the person, or registered them and they are still a minor (R4)."""
    return caller_psn_no == person.psn_no or (caller_psn_no in person.guardians and person.is_minor(today))


def register(person: Person, caller: Person | None, now: datetime, today: date) -> Person:
    """The person once the real-name check has passed; the same object if registering again brings nothing new.

    Args:
        person: whom name and certificate belong to.
        caller: who asks, if already known as a person; None at somebody's own first registration.
        now: the moment of the check, aware.
        today: its Asia/Shanghai date.

    Raises:
        NotEntitled: an adult is registered by another, or a minor by somebody who is not a registered adult.
        Deceased: a death is on record and there was no registration before it.
    """
    if caller is not None and caller.psn_no == person.psn_no:
        return _verified(person, person.psn_no, now)
    if caller is None and not person.is_minor(today):
        return _verified(person, person.psn_no, now)
    if caller is None or not _may_register_minor(caller, today) or not person.is_minor(today):
        raise NotEntitled("an adult registers in person; a minor is registered by a registered adult")
    verified = _verified(person, caller.psn_no, now)
    known = caller.psn_no in person.guardians
    return verified if known else replace(verified, guardians=person.guardians | {caller.psn_no})


def _may_register_minor(caller: Person, today: date) -> bool:
    return caller.registration is not None and caller.died_on is None and not caller.is_minor(today)


def _verified(person: Person, registered_by: str, now: datetime) -> Person:
    if person.registration is not None:
        return person
    if person.died_on is not None:
        raise Deceased
    return replace(person, registration=Registration(now, registered_by), version=person.version + 1)
