"""Corrections of what is on record of a person, and certificates that come later."""

from dataclasses import dataclass, field, replace
from datetime import date

from identity.domain.certificate import Certificate, birth_date_in, is_name, written_name
from identity.domain.identity_number import EARLIEST_BIRTH_YEAR
from identity.domain.person import Person
from identity.domain.refusals import CertificateTaken


class CorrectionImpossible(Exception):
    """A correction contradicts itself or what is on record. Names the field; never says what was sent."""

    def __init__(self, field_name: str, description: str) -> None:
        super().__init__(f"{field_name}: {description}")
        self.field_name = field_name
        self.description = description


@dataclass(frozen=True, slots=True)
class Correction:
    """What is right; None stays as it is."""

    name: str | None = field(default=None, repr=False)
    brdy: date | None = field(default=None, repr=False)
    tel: str | None = field(default=None, repr=False)
    """Empty: none."""
    card_sn: str | None = field(default=None, repr=False)
    """Empty: none."""
    certificate: Certificate | None = None
    """The right number of a certificate whose type is on record."""


def correct(person: Person, correction: Correction, owner: str | None, today: date) -> Person:
    """The person as corrected; the same object if the correction brings nothing new.

    The version counts events: it rises if a birth date changes that was published, on which binding relies (R4).

    Args:
        person: as on record.
        correction: what is right.
        owner: psn_no of whoever holds the correction's certificate, or None.
        today: the Asia/Shanghai date.

    Raises:
        CertificateTaken: the number is another person's.
        CertificateInvalid: it is an identity number and does not follow the standard.
        CorrectionImpossible: a name that is none, a birth date that cannot be or is not that of the identity number, or
            a certificate of a type that is not on record; names the field.
    """
    if correction.certificate is not None:
        _check_certificate(person, correction.certificate, owner)
    corrected = _corrected(person, correction)
    if corrected == person:
        return person
    _check_name(corrected.name)
    _check_birth_date(corrected, today)
    told = person.registration is not None and corrected.brdy != person.brdy
    return replace(corrected, version=person.version + told)


def add_certificate(person: Person, certificate: Certificate, owner: str | None, today: date) -> Person:
    """The person with one more certificate; the same object if it is on record.

    Raises:
        CertificateTaken: the number is another person's.
        CertificateInvalid: it is an identity number and does not follow the standard.
        CorrectionImpossible: another number of this type is on record, or the number carries another birth date.
    """
    if certificate in person.certificates:
        return person
    _check_owner(person, owner)
    if certificate.type in {one.type for one in person.certificates}:
        raise CorrectionImpossible("certificate", "of this type another number is on record; correct that one")
    _check_carried_birth_date(certificate, person.brdy, today, "certificate")
    return replace(person, certificates=ordered((*person.certificates, certificate)))


def changed_fields(before: Person, after: Person) -> tuple[str, ...]:
    """Which fields a correction changed, as the record of corrections names them."""
    changed = {
        "psn_name": before.name != after.name,
        "brdy": before.brdy != after.brdy,
        "tel": before.tel != after.tel,
        "card_sn": before.card_sn != after.card_sn,
        "certificate": before.certificates != after.certificates,
    }
    return tuple(name for name, differs in changed.items() if differs)


def ordered(certificates: tuple[Certificate, ...]) -> tuple[Certificate, ...]:
    """As a person has them: an identity card, which has the lowest code, before all others."""
    return tuple(sorted(certificates, key=lambda one: one.type))


def _corrected(person: Person, correction: Correction) -> Person:
    new = correction.certificate
    certificates = person.certificates
    if new is not None:
        certificates = tuple(new if one.type is new.type else one for one in certificates)
    return replace(
        person,
        name=person.name if correction.name is None else written_name(correction.name),
        brdy=correction.brdy or person.brdy,
        tel=person.tel if correction.tel is None else correction.tel,
        card_sn=person.card_sn if correction.card_sn is None else correction.card_sn,
        certificates=certificates,
    )


def _check_certificate(person: Person, certificate: Certificate, owner: str | None) -> None:
    _check_owner(person, owner)
    if certificate.type not in {one.type for one in person.certificates}:
        raise CorrectionImpossible("certificate", "no certificate of this type is on record; add one")


def _check_owner(person: Person, owner: str | None) -> None:
    if owner not in {None, person.psn_no}:
        raise CertificateTaken


def _check_name(name: str) -> None:
    if not is_name(name):
        raise CorrectionImpossible("psn_name", "is blank or has characters that cannot be read")


def _check_birth_date(person: Person, today: date) -> None:
    latest = min(today, person.died_on or today)
    if person.brdy > latest or person.brdy.year < EARLIEST_BIRTH_YEAR:
        raise CorrectionImpossible("brdy", "cannot be a birth date of this person")
    for certificate in person.certificates:
        _check_carried_birth_date(certificate, person.brdy, today, "brdy")


def _check_carried_birth_date(certificate: Certificate, brdy: date, today: date, blamed: str) -> None:
    if birth_date_in(certificate, today) not in {None, brdy}:
        raise CorrectionImpossible(blamed, "the identity number carries another birth date")
