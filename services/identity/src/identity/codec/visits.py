"""Visits: what a patient shows, and what a visit credential carries."""

from collections.abc import Sequence
from typing import Final

from gongji.common.v1 import reason_pb2
from gongji.identity.v1 import visit_pb2
from identity.codec.days import day_text
from identity.codec.institutions import INSTITUTION_TYPE_NUMBERS
from identity.codec.persons import enrolment_message
from identity.domain.visit import AUDIENCE, Finding, Visit
from identity.service.visits import VisitCertificateType
from kit.timestamps import timestamp

_VISIT_CERTIFICATE_TYPES: Final = {int(one): one for one in VisitCertificateType}


def visit_certificate_type(number: int) -> VisitCertificateType:
    """mdtrt_cert_type."""
    return _VISIT_CERTIFICATE_TYPES[number]


def visit_facts(visit: Visit) -> visit_pb2.VisitFacts:
    """What a visit credential carries."""
    return visit_pb2.VisitFacts(
        jti=str(visit.jti),
        psn_no=visit.person.psn_no,
        fixmedins_code=visit.institution.fixmedins_code,
        fixmedins_type=INSTITUTION_TYPE_NUMBERS[visit.institution.fixmedins_type],
        mdtrtarea_admvs=visit.institution.admdvs,
        designated=visit.designated,
        remote_settlement=visit.institution.remote_settlement,
        enrolment=enrolment_message(visit.enrolment),
        deceased=visit.deceased,
        filed_admdvs=visit.filed_admdvs,
        issued_at=timestamp(visit.issued_at),
        expires_at=timestamp(visit.expires_at),
        audience=AUDIENCE,
        inpatient=visit.inpatient,
        filed=[visit_pb2.FiledCare(admdvs=one.admdvs, valid_to=day_text(one.valid_to)) for one in visit.filings],
    )


def finding_numbers(found: Sequence[Finding]) -> "list[reason_pb2.Reason.ValueType]":
    """The reasons of the vocabulary for these findings."""
    return [reason_pb2.Reason.Value(f"REASON_{finding}") for finding in found]
