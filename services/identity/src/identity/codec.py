"""Between the contract's messages and the domain, both ways; days are checked to be days of the calendar here."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Final, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from gongji.common.v1 import reason_pb2
from gongji.identity.v1 import institution_pb2, person_pb2, visit_pb2
from identity.domain.certificate import Certificate, CertificateType, masked_name, masked_number, written_name
from identity.domain.enrolment import Enrolment, InsuranceStatus, InsuranceType
from identity.domain.institution import Institution, InstitutionType
from identity.domain.person import Person
from identity.domain.register import RegisterRow, RowRefused
from identity.domain.visit import AUDIENCE, Finding, Visit
from identity.visits import VisitCertificateType
from kit.errors import FieldViolation, InvalidFields

K = TypeVar("K")
V = TypeVar("V")

# The national codes of certificates are the contract's numbers.
_CERTIFICATE_TYPES: Final = {int(one): one for one in CertificateType}
_VISIT_CERTIFICATE_TYPES: Final = {int(one): one for one in VisitCertificateType}
_INSURANCE_TYPES: Final = {
    person_pb2.INSURANCE_TYPE_EMPLOYEE: InsuranceType.EMPLOYEE,
    person_pb2.INSURANCE_TYPE_RESIDENT: InsuranceType.RESIDENT,
}
_STATUSES: Final = {
    person_pb2.INSURANCE_STATUS_NORMAL: InsuranceStatus.NORMAL,
    person_pb2.INSURANCE_STATUS_SUSPENDED: InsuranceStatus.SUSPENDED,
    person_pb2.INSURANCE_STATUS_INVALID: InsuranceStatus.INVALID,
    person_pb2.INSURANCE_STATUS_ENDED: InsuranceStatus.ENDED,
    person_pb2.INSURANCE_STATUS_NOT_INSURED: InsuranceStatus.NOT_INSURED,
}
_INSTITUTION_TYPES: Final = {
    institution_pb2.INSTITUTION_TYPE_MEDICAL: InstitutionType.MEDICAL,
    institution_pb2.INSTITUTION_TYPE_PHARMACY: InstitutionType.PHARMACY,
}


def _inverted(table: Mapping[K, V]) -> dict[V, K]:
    return {value: key for key, value in table.items()}


_INSURANCE_TYPE_NUMBERS: Final = _inverted(_INSURANCE_TYPES)
_STATUS_NUMBERS: Final = _inverted(_STATUSES)
_INSTITUTION_TYPE_NUMBERS: Final = _inverted(_INSTITUTION_TYPES)


def day(text: str, field: str) -> date:
    """The day that a field states.

    Raises:
        InvalidFields: there is no such day in the calendar.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidFields([FieldViolation(field, "is not a day of the calendar (YYYY-MM-DD)")]) from None


def day_or_none(text: str, field: str) -> date | None:
    """The day that a field states, or None if it is empty."""
    return day(text, field) if text else None


def period(valid_from: str, valid_to: str, prefix: str = "") -> tuple[date, date | None]:
    """The first and the last day of a message that has `valid_from` and `valid_to`.

    Raises:
        InvalidFields: one is no day, or they are in the wrong order.
    """
    first, last = day(valid_from, f"{prefix}valid_from"), day_or_none(valid_to, f"{prefix}valid_to")
    _check_order(first, last, f"{prefix}valid_to", "valid_from")
    return first, last


def _check_order(first: date, last: date | None, field: str, other: str) -> None:
    if last is not None and last < first:
        raise InvalidFields([FieldViolation(field, f"is before {other}")])


def day_text(value: date | None) -> str:
    """A day as the contract writes it; empty for None."""
    return value.isoformat() if value is not None else ""


def timestamp(moment: datetime) -> Timestamp:
    """A moment as the contract has it."""
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def certificate(message: person_pb2.PersonCertificate) -> Certificate:
    """The certificate in a message."""
    return Certificate(_CERTIFICATE_TYPES[message.psn_cert_type], message.certno)


def visit_certificate_type(number: int) -> VisitCertificateType:
    """mdtrt_cert_type."""
    return _VISIT_CERTIFICATE_TYPES[number]


def enrolment(message: person_pb2.Enrolment) -> Enrolment:
    """The enrolment in a message whose field is called `enrolment`."""
    valid_from, valid_to = period(message.valid_from, message.valid_to, "enrolment.")
    return Enrolment(
        _INSURANCE_TYPES[message.insutype],
        message.insuplc_admdvs,
        _STATUSES[message.psn_insu_stas],
        message.arrears,
        valid_from,
        valid_to,
    )


def enrolment_message(stated: Enrolment | None) -> person_pb2.Enrolment | None:
    """The message of an enrolment; None stays absent."""
    if stated is None:
        return None
    return person_pb2.Enrolment(
        insutype=_INSURANCE_TYPE_NUMBERS[stated.insutype],
        insuplc_admdvs=stated.insuplc_admdvs,
        psn_insu_stas=_STATUS_NUMBERS[stated.psn_insu_stas],
        arrears=stated.arrears,
        valid_from=day_text(stated.valid_from),
        valid_to=day_text(stated.valid_to),
    )


def register_row(row: person_pb2.InsuredRow) -> RegisterRow | RowRefused:
    """A row of the register, or why it cannot be read: one bad row does not stop the others."""
    try:
        return RegisterRow(
            psn_no=row.psn_no,
            name=written_name(row.psn_name),
            certificate=certificate(row.certificate),
            brdy=day(row.brdy, "brdy"),
            enrolment=enrolment(row.enrolment),
            tel=row.tel,
            card_sn=row.card_sn.upper(),
        )
    except InvalidFields as invalid:
        return RowRefused(f"{invalid.violations[0].field} {invalid.violations[0].description}")


def person_message(person: Person, today: date) -> person_pb2.GetPersonResponse:
    """A person, masked."""
    return person_pb2.GetPersonResponse(
        psn_no=person.psn_no,
        masked_name=masked_name(person.name),
        masked_certno=masked_number(_foremost(person.certificates).number),
        brdy=day_text(person.brdy),
        enrolment=enrolment_message(person.enrolment_on(today)),
        died_on=day_text(person.died_on),
    )


def _foremost(certificates: Sequence[Certificate]) -> Certificate:
    # An identity card before all others; it has the lowest code.
    return min(certificates, key=lambda one: one.type)


def institution(message: institution_pb2.Institution) -> Institution:
    """The institution in a message whose field is called `institution`."""
    first = day_or_none(message.designated_from, "institution.designated_from")
    last = day_or_none(message.designated_to, "institution.designated_to")
    if first is None and last is not None:
        raise InvalidFields([FieldViolation("institution.designated_to", "needs designated_from")])
    if first is not None:
        _check_order(first, last, "institution.designated_to", "designated_from")
    return Institution(
        message.fixmedins_code,
        message.fixmedins_name,
        _INSTITUTION_TYPES[message.fixmedins_type],
        message.admdvs,
        first,
        last,
        message.remote_settlement,
        message.suspended,
    )


def institution_message(known: Institution) -> institution_pb2.Institution:
    """The message of an institution."""
    return institution_pb2.Institution(
        fixmedins_code=known.fixmedins_code,
        fixmedins_name=known.fixmedins_name,
        fixmedins_type=_INSTITUTION_TYPE_NUMBERS[known.fixmedins_type],
        admdvs=known.admdvs,
        designated_from=day_text(known.designated_from),
        designated_to=day_text(known.designated_to),
        remote_settlement=known.remote_settlement,
        suspended=known.suspended,
    )


def visit_facts(visit: Visit) -> visit_pb2.VisitFacts:
    """What a visit credential carries."""
    return visit_pb2.VisitFacts(
        jti=str(visit.jti),
        psn_no=visit.person.psn_no,
        fixmedins_code=visit.institution.fixmedins_code,
        fixmedins_type=_INSTITUTION_TYPE_NUMBERS[visit.institution.fixmedins_type],
        mdtrtarea_admvs=visit.institution.admdvs,
        designated=visit.designated,
        remote_settlement=visit.institution.remote_settlement,
        enrolment=enrolment_message(visit.enrolment),
        deceased=visit.deceased,
        filed_admdvs=visit.filed_admdvs,
        issued_at=timestamp(visit.issued_at),
        expires_at=timestamp(visit.expires_at),
        audience=AUDIENCE,
    )


def finding_numbers(found: Sequence[Finding]) -> "list[reason_pb2.Reason.ValueType]":
    """The reasons of the vocabulary for these findings."""
    return [reason_pb2.Reason.Value(f"REASON_{finding}") for finding in found]
