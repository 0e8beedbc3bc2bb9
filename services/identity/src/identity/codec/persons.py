"""Persons, their certificates and enrolments."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from typing import Final

from gongji.identity.v1 import person_pb2
from identity.codec.codes import inverted
from identity.codec.days import day_or_none, day_text, period
from identity.disclosure import Item
from identity.domain.certificate import Certificate, CertificateType, masked_name, masked_number, written_name
from identity.domain.correction import Correction
from identity.domain.enrolment import Enrolment, InsuranceStatus, InsuranceType
from identity.domain.person import Person
from identity.domain.register import RegisterRow, RowRefused, birth_date
from identity.repository import RecordedEnrolment
from kit.days import stated_day
from kit.errors import InvalidFields
from kit.timestamps import timestamp

# The national codes of certificates are the contract's numbers.
_CERTIFICATE_TYPES: Final = {int(one): one for one in CertificateType}
_CERTIFICATE_TYPE_NUMBERS: Final = {
    one: person_pb2.PersonCertificateType.ValueType(int(one)) for one in CertificateType
}
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
_INSURANCE_TYPE_NUMBERS: Final = inverted(_INSURANCE_TYPES)
_STATUS_NUMBERS: Final = inverted(_STATUSES)


def certificate(message: person_pb2.PersonCertificate) -> Certificate:
    """The certificate in a message."""
    return Certificate(_CERTIFICATE_TYPES[message.psn_cert_type], message.certno)


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
        shown = certificate(row.certificate)
        return RegisterRow(
            psn_no=row.psn_no,
            name=written_name(row.psn_name),
            certificate=shown,
            brdy=birth_date(day_or_none(row.brdy, "brdy"), shown),
            enrolment=enrolment(row.enrolment),
            tel=row.tel,
            card_sn=row.card_sn.upper(),
        )
    except RowRefused as refusal:
        return refusal
    except InvalidFields as invalid:
        return RowRefused(f"{invalid.violations[0].field} {invalid.violations[0].description}")


def person_message(person: Person, today: date, disclosed: AbstractSet[Item]) -> person_pb2.GetPersonResponse:
    """A person, masked but for what is disclosed to the caller."""
    return person_pb2.GetPersonResponse(
        psn_no=person.psn_no,
        masked_name=masked_name(person.name),
        masked_certno=masked_number(_foremost(person.certificates).number),
        brdy=day_text(person.brdy),
        enrolment=enrolment_message(person.enrolment_on(today)),
        died_on=day_text(person.died_on),
        psn_name=disclosed_name(person, disclosed),
        certificates=[_held(one, disclosed) for one in person.certificates],
    )


def disclosed_name(person: Person, disclosed: AbstractSet[Item]) -> str:
    """The whole name, or nothing."""
    return person.name if Item.NAME in disclosed else ""


def found_message(person: Person, disclosed: AbstractSet[Item]) -> person_pb2.FindPersonByCertificateResponse:
    """Whose certificate it is."""
    return person_pb2.FindPersonByCertificateResponse(
        psn_no=person.psn_no, masked_name=masked_name(person.name), psn_name=disclosed_name(person, disclosed)
    )


def _held(one: Certificate, disclosed: AbstractSet[Item]) -> person_pb2.HeldCertificate:
    return person_pb2.HeldCertificate(
        psn_cert_type=_CERTIFICATE_TYPE_NUMBERS[one.type],
        masked_certno=masked_number(one.number),
        certno=one.number if Item.CERTIFICATE_NUMBER in disclosed else "",
    )


def correction(request: person_pb2.CorrectPersonRequest) -> Correction:
    """What a request corrects; a field that is absent stays."""
    return Correction(
        name=request.psn_name if request.HasField("psn_name") else None,
        brdy=stated_day(request.brdy, "brdy") if request.HasField("brdy") else None,
        tel=request.tel if request.HasField("tel") else None,
        card_sn=request.card_sn.upper() if request.HasField("card_sn") else None,
        certificate=certificate(request.certificate) if request.HasField("certificate") else None,
    )


def recorded_enrolment_message(recorded: RecordedEnrolment) -> person_pb2.RecordedEnrolment:
    """A statement as it was recorded."""
    return person_pb2.RecordedEnrolment(
        position=recorded.position,
        enrolment=enrolment_message(recorded.enrolment),
        recorded_at=timestamp(recorded.recorded_at),
    )


def _foremost(certificates: Sequence[Certificate]) -> Certificate:
    # An identity card before all others; it has the lowest code.
    return min(certificates, key=lambda one: one.type)
