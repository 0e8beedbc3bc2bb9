"""Taking in rows of the register of insured persons (参保人员名册), in order, each by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from identity.domain.certificate import Certificate, birth_date_in, is_name
from identity.domain.enrolment import Enrolment
from identity.domain.identity_number import EARLIEST_BIRTH_YEAR
from identity.domain.person import Person, take_enrolment_from_register
from identity.domain.refusals import CertificateInvalid


class RowRefused(Exception):
    """A row cannot be taken. The text names no personal data: it goes back to the sender and into logs."""


@dataclass(frozen=True, slots=True)
class RegisterRow:
    """What the register says of one person."""

    psn_no: str
    name: str = field(repr=False)
    certificate: Certificate
    brdy: date = field(repr=False)
    enrolment: Enrolment
    tel: str = field(default="", repr=False)
    card_sn: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Intake:
    """What some rows come to."""

    persons: Mapping[str, Person]
    """By psn_no, those that are new or changed, as they are afterwards."""
    enrolled: Sequence[Person]
    """In the order of the rows, the person as of each change of enrolment: its newest statement is the change."""
    changed_count: int
    unchanged_count: int
    refused: Mapping[int, str]
    """By position in the sequence, from 0: why."""


def take_in(
    rows: Sequence[RegisterRow | RowRefused],
    known: Mapping[str, Person],
    owners: Mapping[Certificate, str],
    today: date,
) -> Intake:
    """Fold the rows over what is known.

    Args:
        rows: in order; a row that could not even be read comes as its refusal.
        known: the persons of these rows that exist, by psn_no.
        owners: psn_no by certificate, for those certificates of the rows that are on record.
        today: the Asia/Shanghai date, before which everybody was born.
    """
    return fold([checked(row, today) for row in rows], known, owners)


def fold(
    rows: Sequence[RegisterRow | RowRefused], known: Mapping[str, Person], owners: Mapping[Certificate, str]
) -> Intake:
    """The same for rows that were `checked` before."""
    book = _Book(dict(known), dict(owners))
    for position, row in enumerate(rows):
        book.take(position, row)
    return Intake(
        {psn_no: book.persons[psn_no] for psn_no in book.touched},
        book.enrolled,
        book.changed_count,
        len(rows) - book.changed_count - len(book.refused),
        book.refused,
    )


@dataclass(slots=True)
class _Book:
    persons: dict[str, Person]
    owners: dict[Certificate, str]
    touched: dict[str, None] = field(default_factory=dict)
    enrolled: list[Person] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    changed_count: int = 0

    def take(self, position: int, row: RegisterRow | RowRefused) -> None:
        try:
            if isinstance(row, RowRefused):
                raise row
            before = self.persons.get(row.psn_no)
            after = apply_row(before, self.owners.get(row.certificate), row)
        except RowRefused as refusal:
            self.refused[position] = str(refusal)
        else:
            if after is not before and after != before:
                self._keep(before, after)

    def _keep(self, before: Person | None, after: Person) -> None:
        self.changed_count += 1
        self.touched[after.psn_no] = None
        self.persons[after.psn_no] = after
        for certificate in before.certificates if before else ():
            self.owners.pop(certificate, None)
        for certificate in after.certificates:
            self.owners[certificate] = after.psn_no
        if before is None or after.version > before.version:
            self.enrolled.append(after)


def checked(row: RegisterRow | RowRefused, today: date) -> RegisterRow | RowRefused:
    """The row if it is right in itself, whatever is on record; else why it is refused."""
    if isinstance(row, RowRefused):
        return row
    try:
        _check(row, today)
    except RowRefused as refusal:
        return refusal
    return row


def _check(row: RegisterRow, today: date) -> None:
    if not is_name(row.name):
        raise RowRefused("psn_name is blank or has characters that cannot be read")
    if row.brdy > today or row.brdy.year < EARLIEST_BIRTH_YEAR:
        raise RowRefused("brdy cannot be a birth date")
    if row.enrolment.valid_to is not None and row.enrolment.valid_to < row.enrolment.valid_from:
        raise RowRefused("enrolment.valid_to is before valid_from")
    _check_certificate(row, today)


def birth_date(stated: date | None, certificate: Certificate) -> date:
    """The birth date that a row states, or else the one that its number carries; `checked` compares the two.

    Raises:
        RowRefused: none is stated, and the number carries none or does not follow the standard.
    """
    if stated is not None:
        return stated
    try:
        carried = birth_date_in(certificate, date.max)
    except CertificateInvalid as invalid:
        raise RowRefused(str(invalid)) from None
    if carried is None:
        raise RowRefused("brdy is required: numbers of this type carry no birth date")
    return carried


def _check_certificate(row: RegisterRow, today: date) -> None:
    try:
        born = birth_date_in(row.certificate, today)
    except CertificateInvalid as invalid:
        raise RowRefused(str(invalid)) from None
    if born is not None and born != row.brdy:
        raise RowRefused("brdy is not the birth date in the identity number")


def apply_row(known: Person | None, owner: str | None, row: RegisterRow) -> Person:
    """The person as the row makes them; equal to `known` if the row brings nothing new.

    Args:
        known: the person on record under the row's psn_no, or None.
        owner: psn_no of whoever holds the row's certificate, or None.
        row: a row that is right in itself.

    Raises:
        RowRefused: the certificate is another person's, or the birth date of a registered person would change:
            binding tells minors from adults by the one that was published.
    """
    if owner not in {None, row.psn_no}:
        raise RowRefused("the certificate is on record for another psn_no")
    if known is None:
        return _newcomer(row)
    if known.brdy != row.brdy:
        _check_new_birth_date(known, row)
    return take_enrolment_from_register(_identified(known, row), row.enrolment)


def _identified(known: Person, row: RegisterRow) -> Person:
    said = (row.name, row.brdy, row.tel, row.card_sn)
    if row.certificate in known.certificates and said == (known.name, known.brdy, known.tel, known.card_sn):
        return known
    certificates = _with(known.certificates, row.certificate)
    return replace(known, name=row.name, certificates=certificates, brdy=row.brdy, tel=row.tel, card_sn=row.card_sn)


def _newcomer(row: RegisterRow) -> Person:
    # Whatever is said first of somebody's enrolment is news, and their first event.
    return Person(
        row.psn_no,
        row.name,
        (row.certificate,),
        row.brdy,
        row.tel,
        row.card_sn,
        enrolments=(row.enrolment,),
        version=1,
    )


def _check_new_birth_date(known: Person, row: RegisterRow) -> None:
    if known.registration is not None:
        raise RowRefused("brdy differs from that of the registered person")
    if known.died_on is not None and row.brdy > known.died_on:
        raise RowRefused("brdy is after the day of death on record")
    for certificate in _with(known.certificates, row.certificate):
        if birth_date_in(certificate, date.max) not in {None, row.brdy}:
            raise RowRefused("brdy is not the birth date in the identity number on record")


def _with(certificates: tuple[Certificate, ...], new: Certificate) -> tuple[Certificate, ...]:
    others = [one for one in certificates if one.type is not new.type]
    return tuple(sorted([*others, new], key=lambda one: one.type))
