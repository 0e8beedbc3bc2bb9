"""The contract's services: proto ⇄ domain, and who is calling. Who may call what is in `identity.access`."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from gongji.identity.v1 import (
    institution_pb2,
    institution_pb2_grpc,
    person_pb2,
    person_pb2_grpc,
    visit_pb2,
    visit_pb2_grpc,
)
from identity import codec
from identity.domain.certificate import masked_name
from identity.domain.register import Intake
from identity.service import InstitutionService, PersonService, Viewer
from identity.visits import Shown, VisitCertificateType, VisitService
from kit import auth
from kit.errors import FieldViolation, InvalidFields

MAX_REFUSED_ROWS: Final = 1000
"""How many refused rows an import describes; it counts all."""


class PersonServicer(person_pb2_grpc.PersonServiceServicer):
    """Serves `gongji.identity.v1.PersonService`."""

    def __init__(self, persons: PersonService) -> None:
        self._persons = persons

    async def ImportInsured(  # noqa: N802 - the contract's name
        self, request_iterator: Any, context: Any
    ) -> person_pb2.ImportInsuredResponse:
        """See the contract. Each message of the stream is a transaction of its own."""
        del context
        tally = _Tally()
        async for request in request_iterator:
            tally.check_batch(request.batch_id)
            rows = [codec.register_row(row) for row in request.rows]
            tally.count(len(rows), await self._persons.import_insured(rows))
        return tally.answer()

    async def RegisterPerson(  # noqa: N802 - the contract's name
        self, request: person_pb2.RegisterPersonRequest, context: Any
    ) -> person_pb2.RegisterPersonResponse:
        """See the contract."""
        del context
        caller_psn_no = auth.require_assertion().psn_no
        certificate = codec.certificate(request.certificate)
        person = await self._persons.register(request.psn_name, certificate, caller_psn_no)
        verified_at = codec.timestamp(person.registration.verified_at) if person.registration else None
        return person_pb2.RegisterPersonResponse(psn_no=person.psn_no, verified_at=verified_at)

    async def GetPerson(  # noqa: N802 - the contract's name
        self, request: person_pb2.GetPersonRequest, context: Any
    ) -> person_pb2.GetPersonResponse:
        """See the contract."""
        del context
        person, today = await self._persons.view(request.psn_no, _viewer())
        return codec.person_message(person, today)

    async def RecordEnrolment(  # noqa: N802 - the contract's name
        self, request: person_pb2.RecordEnrolmentRequest, context: Any
    ) -> person_pb2.RecordEnrolmentResponse:
        """See the contract."""
        del context
        changed = await self._persons.record_enrolment(request.psn_no, codec.enrolment(request.enrolment))
        return person_pb2.RecordEnrolmentResponse(changed=changed)

    async def RecordDeath(  # noqa: N802 - the contract's name
        self, request: person_pb2.RecordDeathRequest, context: Any
    ) -> person_pb2.RecordDeathResponse:
        """See the contract."""
        del context
        changed = await self._persons.record_death(request.psn_no, codec.day(request.died_on, "died_on"))
        return person_pb2.RecordDeathResponse(changed=changed)

    async def FileRemoteCare(  # noqa: N802 - the contract's name
        self, request: person_pb2.FileRemoteCareRequest, context: Any
    ) -> person_pb2.FileRemoteCareResponse:
        """See the contract."""
        del context
        first, last = codec.period(request.valid_from, request.valid_to)
        filing = await self._persons.file_remote_care(request.psn_no, request.admdvs, first, last)
        return person_pb2.FileRemoteCareResponse(filing_id=str(filing.filing_id))

    async def IssueVoucher(  # noqa: N802 - the contract's name
        self, request: person_pb2.IssueVoucherRequest, context: Any
    ) -> person_pb2.IssueVoucherResponse:
        """See the contract."""
        del context
        lifetime = timedelta(seconds=request.lifetime_seconds)
        caller_psn_no = auth.require_assertion().psn_no
        token, expires_at = await self._persons.issue_voucher(request.psn_no, caller_psn_no, lifetime)
        return person_pb2.IssueVoucherResponse(voucher=token, expires_at=codec.timestamp(expires_at))


class InstitutionServicer(institution_pb2_grpc.InstitutionServiceServicer):
    """Serves `gongji.identity.v1.InstitutionService`."""

    def __init__(self, institutions: InstitutionService) -> None:
        self._institutions = institutions

    async def RegisterInstitution(  # noqa: N802 - the contract's name
        self, request: institution_pb2.RegisterInstitutionRequest, context: Any
    ) -> institution_pb2.RegisterInstitutionResponse:
        """See the contract."""
        del context
        changed = await self._institutions.register(codec.institution(request.institution))
        return institution_pb2.RegisterInstitutionResponse(changed=changed)

    async def GetInstitution(  # noqa: N802 - the contract's name
        self, request: institution_pb2.GetInstitutionRequest, context: Any
    ) -> institution_pb2.GetInstitutionResponse:
        """See the contract."""
        del context
        known = await self._institutions.get(request.fixmedins_code)
        return institution_pb2.GetInstitutionResponse(institution=codec.institution_message(known))


class VisitServicer(visit_pb2_grpc.VisitServiceServicer):
    """Serves `gongji.identity.v1.VisitService`."""

    def __init__(self, visits: VisitService) -> None:
        self._visits = visits

    async def Identify(  # noqa: N802 - the contract's name
        self, request: visit_pb2.IdentifyRequest, context: Any
    ) -> visit_pb2.IdentifyResponse:
        """See the contract."""
        del context
        identified = await self._visits.identify(_shown(request))
        visit = identified.visit
        return visit_pb2.IdentifyResponse(
            psn_no=visit.person.psn_no,
            masked_name=masked_name(visit.person.name),
            enrolment=codec.enrolment_message(visit.enrolment),
            visit_credential=identified.credential,
            expires_at=codec.timestamp(visit.expires_at),
            findings=codec.finding_numbers(identified.findings),
        )


def _shown(request: visit_pb2.IdentifyRequest) -> Shown:
    kind = codec.visit_certificate_type(request.mdtrt_cert_type)
    # Letters of a card's number are printed in upper case and typed in either; a token's case matters.
    number = request.mdtrt_cert_no
    return Shown(
        caller_code=auth.require_institution(),
        fixmedins_code=request.fixmedins_code,
        mdtrt_cert_type=kind,
        number=number if kind is VisitCertificateType.E_VOUCHER else number.upper(),
        name=request.psn_name,
        card_sn=request.card_sn.upper(),
        request_id=auth.current().request_id,
    )


def _viewer() -> Viewer:
    call = auth.current()
    if call.assertion is None:
        return Viewer(str(call.principal), None, call.request_id)
    caller = f"{call.principal} {call.assertion.subject}"
    # Somebody without a psn_no of their own is nobody's viewer: empty matches no person.
    return Viewer(caller, call.assertion.psn_no or "", call.request_id)


@dataclass(slots=True)
class _Tally:
    """What an import has come to so far."""

    batch_id: str = ""
    received_count: int = 0
    changed_count: int = 0
    unchanged_count: int = 0
    refused_count: int = 0
    refused: list[person_pb2.RefusedRow] = field(default_factory=list)

    def check_batch(self, batch_id: str) -> None:
        if self.batch_id not in {"", batch_id}:
            raise InvalidFields([FieldViolation("batch_id", "must be the same in every message of a stream")])
        self.batch_id = batch_id

    def count(self, row_count: int, intake: Intake) -> None:
        first = self.received_count + 1
        self.received_count += row_count
        self.changed_count += intake.changed_count
        self.unchanged_count += intake.unchanged_count
        self.refused_count += len(intake.refused)
        told = [
            person_pb2.RefusedRow(row_number=first + position, description=why)
            for position, why in sorted(intake.refused.items())
        ]
        self.refused.extend(told[: MAX_REFUSED_ROWS - len(self.refused)])

    def answer(self) -> person_pb2.ImportInsuredResponse:
        return person_pb2.ImportInsuredResponse(
            received_count=self.received_count,
            changed_count=self.changed_count,
            unchanged_count=self.unchanged_count,
            refused=self.refused,
            refused_count=self.refused_count,
        )
