"""ApplicationService."""

from collections.abc import AsyncIterator
from uuid import UUID

from binding import codec
from binding import codec_history as history
from binding.domain.applications import Application
from binding.domain.proofs import refuse_too_large
from binding.service.applications import Applications
from binding.servicer.calling import Context, caller
from gongji.binding.v1 import application_pb2, application_pb2_grpc
from kit.errors import FieldViolation, InvalidFields
from kit.ids import uuid7


class ApplicationServicer(application_pb2_grpc.ApplicationServiceServicer):
    """Applications for mutual aid: from a draft to the clerk's desk."""

    def __init__(self, applications: Applications) -> None:
        self._applications = applications

    async def CreateApplication(  # noqa: N802 - the contract's name
        self, request: application_pb2.CreateApplicationRequest, _context: Context
    ) -> application_pb2.CreateApplicationResponse:
        """Draft an application."""
        who = caller()
        application_id = await self._applications.create(who, _draft(request, who.subject), UUID(request.request_id))
        return application_pb2.CreateApplicationResponse(application_id=str(application_id))

    async def UploadProof(  # noqa: N802
        self, requests: AsyncIterator[application_pb2.UploadProofRequest], _context: Context
    ) -> application_pb2.UploadProofResponse:
        """Upload one proof: header first, then chunks."""
        header = await _header(requests)
        who, application_id = caller(), UUID(header.application_id)
        await self._applications.expect_proof(who, application_id)
        content = await _content(requests)
        kind = codec.proof_kind_of(header.kind)
        proof = await self._applications.add_proof(who, application_id, kind, content)
        return application_pb2.UploadProofResponse(
            proof_id=str(proof.proof_id), sha256=proof.sha256, size_bytes=proof.size_bytes
        )

    async def GiveConsent(  # noqa: N802
        self, request: application_pb2.GiveConsentRequest, _context: Context
    ) -> application_pb2.GiveConsentResponse:
        """Consent, as the adult beneficiary."""
        at = await self._applications.consent(caller(), UUID(request.application_id))
        return application_pb2.GiveConsentResponse(consented_at=codec.timestamp(at))

    async def SubmitApplication(  # noqa: N802
        self, request: application_pb2.SubmitApplicationRequest, _context: Context
    ) -> application_pb2.SubmitApplicationResponse:
        """Hand in."""
        application = await self._applications.submit(caller(), UUID(request.application_id))
        return application_pb2.SubmitApplicationResponse(state=codec.application_state_value(application.state))

    async def GetApplication(  # noqa: N802
        self, request: application_pb2.GetApplicationRequest, _context: Context
    ) -> application_pb2.GetApplicationResponse:
        """One application."""
        who = caller()
        application = await self._applications.get(who, UUID(request.application_id))
        return application_pb2.GetApplicationResponse(
            application=codec.application_message(application, for_staff=who.is_staff)
        )

    async def ListHistory(  # noqa: N802
        self, request: application_pb2.ApplicationServiceListHistoryRequest, _context: Context
    ) -> application_pb2.ApplicationServiceListHistoryResponse:
        """What was done with it, oldest first."""
        size, after = codec.page_size_of(request.page_size), history.position_of(request.page_token)
        found = await self._applications.history(caller(), UUID(request.application_id), after, size + 1)
        page = history.page_of(found, size)
        return application_pb2.ApplicationServiceListHistoryResponse(
            entries=page.entries, next_page_token=page.next_page_token
        )


def _draft(request: application_pb2.CreateApplicationRequest, applicant: str) -> Application:
    return Application(
        application_id=uuid7(),
        applicant=applicant,
        payer_psn_no=request.payer_psn_no,
        beneficiary_psn_no=request.beneficiary_psn_no,
        relationship=codec.relationship_of(request.relationship),
        limits=codec.limits_of(request.limits),
        valid_from=codec.date_of(request.valid_from, "valid_from") if request.valid_from else None,
        valid_to=codec.date_of(request.valid_to, "valid_to"),
        priority=request.priority,
        pledge_version=request.pledge_version,
    )


async def _header(requests: AsyncIterator[application_pb2.UploadProofRequest]) -> application_pb2.ProofHeader:
    async for request in requests:
        if request.WhichOneof("part") == "header":
            return request.header
        break
    raise InvalidFields([FieldViolation("header", "must be the first message of an upload")])


async def _content(requests: AsyncIterator[application_pb2.UploadProofRequest]) -> bytes:
    content = bytearray()
    async for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise InvalidFields([FieldViolation("header", "must come once, first")])
        content += request.chunk
        refuse_too_large(len(content))
    if not content:
        raise InvalidFields([FieldViolation("chunk", "must follow the header; an empty file proves nothing")])
    return bytes(content)
