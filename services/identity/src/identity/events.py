"""What identity tells the others. Events name persons by psn_no alone: no name, number, telephone or voucher."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from gongji.identity.events.v1 import events_pb2
from identity import codec
from identity.domain.institution import KnownInstitution
from identity.domain.person import Person
from identity.domain.verification import Purpose, Verification
from kit.events import Event

PURPOSES: Final = {Purpose.REGISTRATION: events_pb2.VERIFICATION_PURPOSE_REGISTRATION}
"""What a code is for, as the contract numbers it."""


class UntoldFact(Exception):
    """An event was asked for that the person's state does not support; a fault in the code."""


def person_verified(person: Person) -> Event:
    """The person passed the real-name check."""
    if person.registration is None:
        raise UntoldFact("the person is not registered")
    verified_at = person.registration.verified_at
    message = events_pb2.PersonVerified(
        psn_no=person.psn_no,
        brdy=codec.day_text(person.brdy),
        verified_at=codec.timestamp(verified_at),
        sequence=person.version,
    )
    return Event(message, person.psn_no, verified_at)


def person_corrected(person: Person, now: datetime) -> Event:
    """The birth date of a registered person was corrected."""
    message = events_pb2.PersonCorrected(
        psn_no=person.psn_no,
        brdy=codec.day_text(person.brdy),
        corrected_at=codec.timestamp(now),
        sequence=person.version,
    )
    return Event(message, person.psn_no, now)


def enrolment_changed(person: Person, now: datetime) -> Event:
    """The person's newest statement of enrolment changed something."""
    return enrolments_changed([person], now)[0]


def enrolments_changed(persons: Sequence[Person], now: datetime) -> list[Event]:
    """The same for many; few enrolments differ among half a million persons, so each is written once."""
    changed_at, written = codec.timestamp(now), dict[int, events_pb2.EnrolmentChanged]()
    told = []
    for person in persons:
        newest = person.enrolments[-1]
        if (stated := written.get(id(newest))) is None:
            enrolment = codec.enrolment_message(newest)
            stated = written[id(newest)] = events_pb2.EnrolmentChanged(enrolment=enrolment, changed_at=changed_at)
        message = events_pb2.EnrolmentChanged()
        message.CopyFrom(stated)  # a third of the time of building it up
        message.psn_no, message.sequence = person.psn_no, person.version
        told.append(Event(message, person.psn_no, now))
    return told


def person_died(person: Person, now: datetime) -> Event:
    """A day of death was recorded or corrected."""
    message = events_pb2.PersonDied(
        psn_no=person.psn_no,
        died_on=codec.day_text(person.died_on),
        recorded_at=codec.timestamp(now),
        sequence=person.version,
    )
    return Event(message, person.psn_no, now)


def institution_changed(known: KnownInstitution, now: datetime) -> Event:
    """An institution was registered or changed."""
    message = events_pb2.InstitutionChanged(
        institution=codec.institution_message(known.institution),
        changed_at=codec.timestamp(now),
        sequence=known.version,
    )
    return Event(message, known.institution.fixmedins_code, now)


def verification_code_issued(verification: Verification, sealed: bytes, now: datetime) -> Event:
    """A code is to be delivered; telephone and code are sealed."""
    message = events_pb2.VerificationCodeIssued(
        psn_no=verification.psn_no,
        verification_id=str(verification.verification_id),
        purpose=PURPOSES[verification.purpose],
        expires_at=codec.timestamp(verification.expires_at),
        sealed=sealed,
        sequence=1,
    )
    return Event(message, str(verification.verification_id), now)
