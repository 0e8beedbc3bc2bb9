"""ApplicationService."""

from collections.abc import AsyncGenerator, AsyncIterator
from uuid import UUID

from binding import codec
from binding import codec_history as history
from binding.domain.applications import Application, Asked
from binding.domain.proofs import refuse_too_large
from binding.repository import Place
from binding.service.applications import Applications
from binding.service.proofs import Proofs
from binding.servicer.calling import Context, caller, signed_consent
from gongji.binding.v1 import application_pb2, application_pb2_grpc
from kit.days import stated_day
from kit.errors import FieldViolation, InvalidFields
from kit.timestamps import timestamp

CHUNK_BYTES = 64 * 1024


class ApplicationServicer(application_pb2_grpc.ApplicationServiceServicer):
    """Applications for mutual aid: from a draft to the clerk's desk."""

    def __init__(self, applications: Applications, proofs: Proofs) -> None:
        self._applications = applications
        self._proofs = proofs

    async def CreateApplication(  # noqa: N802 - the contract's name
        self, request: application_pb2.CreateApplicationRequest, _context: Context
    ) -> application_pb2.CreateApplicationResponse:
        """Draft an application."""
        payer, beneficiary = request.payer_psn_no, request.beneficiary_psn_no
        made = await self._applications.create(caller(), payer, beneficiary, _asked(request))
        return application_pb2.CreateApplicationResponse(application_id=str(made.application_id))

    async def UpdateApplication(  # noqa: N802
        self, request: application_pb2.UpdateApplicationRequest, _context: Context
    ) -> application_pb2.UpdateApplicationResponse:
        """Ask for something else."""
        updated = await self._applications.update(caller(), UUID(request.application_id), _asked(request))
        return application_pb2.UpdateApplicationResponse(application=_shown(updated))

    async def UploadProof(  # noqa: N802
        self, requests: AsyncIterator[application_pb2.UploadProofRequest], _context: Context
    ) -> application_pb2.UploadProofResponse:
        """Upload one proof: header first, then chunks."""
        header = await _header(requests)
        who, application_id = caller(), UUID(header.application_id)
        await self._proofs.expect(who, application_id)
        content = await _content(requests)
        proof = await self._proofs.add(who, application_id, codec.proof_kind_of(header.kind), content)
        return application_pb2.UploadProofResponse(
            proof_id=str(proof.proof_id), sha256=proof.sha256, size_bytes=proof.size_bytes
        )

    async def DownloadProof(  # noqa: N802
        self, request: application_pb2.DownloadProofRequest, _context: Context
    ) -> AsyncGenerator[application_pb2.DownloadProofResponse, None]:
        """One proof: what it is first, then its bytes."""
        file = await self._proofs.download(caller(), UUID(request.application_id), UUID(request.proof_id))
        yield application_pb2.DownloadProofResponse(proof=codec.proof_message(file.proof))
        for start in range(0, len(file.content), CHUNK_BYTES):
            yield application_pb2.DownloadProofResponse(chunk=file.content[start : start + CHUNK_BYTES])

    async def ListProofViews(  # noqa: N802
        self, request: application_pb2.ListProofViewsRequest, _context: Context
    ) -> application_pb2.ListProofViewsResponse:
        """Who of the staff looked at proofs, the latest first."""
        size, after = codec.page_size_of(request.page_size), codec.place_of(request.page_token)
        found = await self._proofs.views(UUID(request.application_id), after, size + 1)
        page = found[:size]
        answer = application_pb2.ListProofViewsResponse(views=[history.view_message(view) for view in page])
        if len(found) > size:
            answer.next_page_token = codec.page_token(Place(page[-1].at, page[-1].view_id))
        return answer

    async def RemoveProof(  # noqa: N802
        self, request: application_pb2.RemoveProofRequest, _context: Context
    ) -> application_pb2.RemoveProofResponse:
        """Remove one proof."""
        changed = await self._proofs.remove(caller(), UUID(request.application_id), UUID(request.proof_id))
        return application_pb2.RemoveProofResponse(application=_shown(changed))

    async def GetPledge(  # noqa: N802
        self, request: application_pb2.GetPledgeRequest, _context: Context
    ) -> application_pb2.GetPledgeResponse:
        """The text of the pledge."""
        pledge = self._applications.pledge(request.version)
        return application_pb2.GetPledgeResponse(version=pledge.version, text=pledge.text, sha256=pledge.sha256)

    async def GiveConsent(  # noqa: N802
        self, request: application_pb2.GiveConsentRequest, _context: Context
    ) -> application_pb2.GiveConsentResponse:
        """Consent, as the adult beneficiary."""
        at = await self._applications.consent(caller(), UUID(request.application_id), signed_consent())
        return application_pb2.GiveConsentResponse(consented_at=timestamp(at))

    async def SubmitApplication(  # noqa: N802
        self, request: application_pb2.SubmitApplicationRequest, _context: Context
    ) -> application_pb2.SubmitApplicationResponse:
        """Hand in."""
        application = await self._applications.submit(caller(), UUID(request.application_id))
        return application_pb2.SubmitApplicationResponse(state=codec.application_state_value(application.state))

    async def WithdrawApplication(  # noqa: N802
        self, request: application_pb2.WithdrawApplicationRequest, _context: Context
    ) -> application_pb2.WithdrawApplicationResponse:
        """Take back."""
        reason = codec.text_of(request.reason, "reason")
        application = await self._applications.withdraw(caller(), UUID(request.application_id), reason)
        return application_pb2.WithdrawApplicationResponse(state=codec.application_state_value(application.state))

    async def ListApplications(  # noqa: N802
        self, request: application_pb2.ListApplicationsRequest, _context: Context
    ) -> application_pb2.ListApplicationsResponse:
        """A person's applications, newest first."""
        who, size = caller(), codec.page_size_of(request.page_size)
        after = codec.place_of(request.page_token)
        found = await self._applications.list(who, request.psn_no, after, size + 1)
        page = found[:size]
        answer = application_pb2.ListApplicationsResponse(
            applications=[codec.application_message(application, for_staff=who.is_staff) for application in page]
        )
        if len(found) > size:
            answer.next_page_token = codec.page_token(Place(page[-1].created_at, page[-1].application_id))
        return answer

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


def _shown(application: Application) -> application_pb2.Application:
    return codec.application_message(application, for_staff=False)


def _asked(request: application_pb2.CreateApplicationRequest | application_pb2.UpdateApplicationRequest) -> Asked:
    return Asked(
        relationship=codec.relationship_of(request.relationship),
        limits=codec.limits_of(request.limits),
        valid_from=stated_day(request.valid_from, "valid_from") if request.valid_from else None,
        valid_to=stated_day(request.valid_to, "valid_to"),
        priority=request.priority,
        pledge_version=request.pledge_version,
        pledge_sha256="",  # the use case knows the texts
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
