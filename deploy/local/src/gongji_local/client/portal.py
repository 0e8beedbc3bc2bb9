"""The portal as a family uses it: register, apply, look after relations, read one's account and messages."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Final

from gongji.binding.v1 import application_pb2, application_pb2_grpc, relation_pb2, relation_pb2_grpc
from gongji.identity.v1 import person_pb2, person_pb2_grpc
from gongji.notify.v1 import contact_pb2_grpc, inbox_pb2, inbox_pb2_grpc
from gongji.settlement.v1 import account_pb2, account_pb2_grpc, premium_pb2, premium_pb2_grpc
from gongji_local.client.connections import Caller, Connections
from gongji_local.client.paging import gathered

CHUNK_BYTES: Final = 64 * 1024
VOUCHER_LIFETIME_SECONDS: Final = 300
STATEMENT_SECONDS: Final = 60.0
WATCH_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class ProofFile:
    """A proof to upload."""

    kind: application_pb2.ProofKind.ValueType
    content: bytes
    """A PDF, JPEG or PNG file."""


class Portal(Caller):
    """The portal with one citizen in front of it; without `psn_no` somebody who is not registered yet."""

    def __init__(self, connections: Connections, psn_no: str | None = None) -> None:
        super().__init__(
            connections,
            title=f"portal, person …{psn_no[-4:]}" if psn_no else "portal",
            principal="service/portal",
            subject=f"psn:{psn_no}" if psn_no else f"new:{uuid.uuid4().hex}",
            roles=("citizen",),
        )
        self.psn_no = psn_no or ""

    @property
    def persons(self) -> "person_pb2_grpc.PersonServiceAsyncStub":
        """The stub, for a request that the methods here do not build."""
        return person_pb2_grpc.PersonServiceStub(self.channel("identity"))

    @property
    def applications(self) -> "application_pb2_grpc.ApplicationServiceAsyncStub":
        """The stub, for a request that the methods here do not build."""
        return application_pb2_grpc.ApplicationServiceStub(self.channel("binding"))

    @property
    def relation_service(self) -> "relation_pb2_grpc.RelationServiceAsyncStub":
        """The stub, for a request that the methods here do not build."""
        return relation_pb2_grpc.RelationServiceStub(self.channel("binding"))

    @property
    def accounts(self) -> "account_pb2_grpc.AccountServiceAsyncStub":
        """The stub, for a request that the methods here do not build."""
        return account_pb2_grpc.AccountServiceStub(self.channel("settlement"))

    @property
    def premiums(self) -> "premium_pb2_grpc.PremiumServiceAsyncStub":
        """The stub, for a request that the methods here do not build."""
        return premium_pb2_grpc.PremiumServiceStub(self.channel("settlement"))

    @property
    def inbox(self) -> "inbox_pb2_grpc.InboxServiceAsyncStub":
        """The stub, for a request that the methods here do not build."""
        return inbox_pb2_grpc.InboxServiceStub(self.channel("notify"))

    async def watch(
        self, resume_token: str = "", timeout_seconds: float = WATCH_SECONDS
    ) -> AsyncGenerator[inbox_pb2.WatchMessagesResponse, None]:
        """Messages as they arrive, from the place of an earlier answer on; the first answer has none."""
        request = inbox_pb2.WatchMessagesRequest(psn_no=self.psn_no, resume_token=resume_token)
        metadata = self._metadata(type(request))
        call = self.inbox.WatchMessages(request, timeout=timeout_seconds, metadata=metadata, wait_for_ready=True)
        try:
            async for answer in call:
                yield answer
        finally:
            call.cancel()

    @property
    def contacts(self) -> "contact_pb2_grpc.ContactServiceAsyncStub":
        """The stub, for a request that the methods here do not build."""
        return contact_pb2_grpc.ContactServiceStub(self.channel("notify"))

    async def pay_premium(self, insured_psn_no: str, year: int, payment_id: str) -> premium_pb2.Premium:
        """Pays somebody's resident premium from one's own account."""
        request = premium_pb2.PayPremiumRequest(
            payment_id=payment_id, payer_psn_no=self.psn_no, insured_psn_no=insured_psn_no, year=year
        )
        return (await self.call(self.premiums.PayPremium, request)).premium

    async def refund_premium(self, premium_id: str) -> premium_pb2.Premium:
        """Has a premium given back before its year."""
        request = premium_pb2.RefundPremiumRequest(premium_id=premium_id)
        return (await self.call(self.premiums.RefundPremium, request)).premium

    async def register(self, psn_name: str, certificate: person_pb2.PersonCertificate) -> str:
        """Registers a minor of one's own, or hears one's own psn_no again; after the real-name check, the psn_no."""
        request = person_pb2.RegisterPersonRequest(psn_name=psn_name, certificate=certificate)
        return (await self.call(self.persons.RegisterPerson, request)).psn_no

    async def start_verification(
        self, psn_name: str, certificate: person_pb2.PersonCertificate
    ) -> person_pb2.StartVerificationResponse:
        """Has a one-time code sent to the telephone on file."""
        request = person_pb2.StartVerificationRequest(psn_name=psn_name, certificate=certificate)
        return await self.call(self.persons.StartVerification, request)

    async def register_with_code(
        self, psn_name: str, certificate: person_pb2.PersonCertificate, verification_id: str, code: str
    ) -> str:
        """Registers oneself with the code that came; the psn_no."""
        request = person_pb2.RegisterPersonRequest(
            psn_name=psn_name, certificate=certificate, verification_id=verification_id, code=code
        )
        return (await self.call(self.persons.RegisterPerson, request)).psn_no

    async def register_in_person(self, psn_name: str, certificate: person_pb2.PersonCertificate) -> str:
        """Registers oneself, an adult: asks for a code, reads it off the telephone, shows it; the psn_no."""
        verification_id = (await self.start_verification(psn_name, certificate)).verification_id
        code = await asyncio.to_thread(self.stack.code_of, verification_id)
        return await self.register_with_code(psn_name, certificate, verification_id, code)

    async def person(self) -> person_pb2.GetPersonResponse:
        """What is known of oneself, masked."""
        return await self.call(self.persons.GetPerson, person_pb2.GetPersonRequest(psn_no=self.psn_no))

    async def issue_voucher(self, psn_no: str, lifetime_seconds: int = VOUCHER_LIFETIME_SECONDS) -> str:
        """An e-voucher (医保电子凭证) for oneself or a minor that one registered."""
        request = person_pb2.IssueVoucherRequest(psn_no=psn_no, lifetime_seconds=lifetime_seconds)
        return (await self.call(self.persons.IssueVoucher, request)).voucher

    async def apply(self, request: application_pb2.CreateApplicationRequest, *proofs: ProofFile) -> str:
        """Drafts, uploads and submits in one go; the application's id."""
        application_id = await self.create_application(request)
        for proof in proofs:
            await self.upload_proof(application_id, proof)
        await self.submit(application_id)
        return application_id

    async def create_application(self, request: application_pb2.CreateApplicationRequest) -> str:
        """Drafts an application (a new request_id unless one is given); its id."""
        return (await self.call(self.applications.CreateApplication, request)).application_id

    async def upload_proof(self, application_id: str, proof: ProofFile) -> application_pb2.UploadProofResponse:
        """Uploads one proof."""
        return await self.stream(
            self.applications.UploadProof,
            application_pb2.UploadProofRequest,
            _upload_messages(application_id, proof),
        )

    async def give_consent(self, application_id: str) -> None:
        """Agrees, as an adult beneficiary (R4): signs the application and the pledge that was shown with it."""
        application = await self.application(application_id)
        signed = {"application_id": application_id, "pledge_sha256": application.pledge_sha256}
        request = application_pb2.GiveConsentRequest(application_id=application_id)
        await self.call(self.applications.GiveConsent, request, consent=signed)

    async def submit(self, application_id: str) -> application_pb2.ApplicationState.ValueType:
        """Hands a draft in."""
        request = application_pb2.SubmitApplicationRequest(application_id=application_id)
        return (await self.call(self.applications.SubmitApplication, request)).state

    async def application(self, application_id: str) -> application_pb2.Application:
        """One application."""
        request = application_pb2.GetApplicationRequest(application_id=application_id)
        return (await self.call(self.applications.GetApplication, request)).application

    async def relation(self, relation_id: str) -> relation_pb2.Relation:
        """One relation with its use in today's windows."""
        request = relation_pb2.GetRelationRequest(relation_id=relation_id)
        return (await self.call(self.relation_service.GetRelation, request)).relation

    async def relations(self) -> list[relation_pb2.Relation]:
        """All of one's relations, newest first."""

        async def page(token: str) -> tuple[list[relation_pb2.Relation], str]:
            request = relation_pb2.ListRelationsRequest(psn_no=self.psn_no, page_size=200, page_token=token)
            answer = await self.call(self.relation_service.ListRelations, request)
            return list(answer.relations), answer.next_page_token

        return await gathered(page)

    async def change_limits(self, relation_id: str, limits: relation_pb2.Limits) -> relation_pb2.Relation:
        """Replaces the limits of a relation, as its payer."""
        request = relation_pb2.ChangeLimitsRequest(relation_id=relation_id, limits=limits)
        return (await self.call(self.relation_service.ChangeLimits, request)).relation

    async def unbind(self, relation_id: str, reason: str = "") -> relation_pb2.Relation:
        """Unbinds at once for new settlements (R13)."""
        request = relation_pb2.UnbindRelationRequest(relation_id=relation_id, reason=reason)
        return (await self.call(self.relation_service.UnbindRelation, request)).relation

    async def account(self) -> account_pb2.Account:
        """One's own account."""
        request = account_pb2.GetAccountRequest(psn_no=self.psn_no)
        return (await self.call(self.accounts.GetAccount, request)).account

    async def entries(self) -> list[account_pb2.Entry]:
        """One's own statement: all entries, newest first."""

        async def page(token: str) -> tuple[list[account_pb2.Entry], str]:
            request = account_pb2.ListEntriesRequest(psn_no=self.psn_no, page_size=500, page_token=token)
            answer = await self.call(self.accounts.ListEntries, request)
            return list(answer.entries), answer.next_page_token

        return await gathered(page)

    async def statement_pdf(self, from_day: str, to_day: str) -> bytes:
        """One's own statement (对账单) of a period to print; days are YYYY-MM-DD."""
        request = account_pb2.ExportStatementRequest(
            psn_no=self.psn_no,
            from_day=from_day,
            to_day=to_day,
            format=account_pb2.STATEMENT_FORMAT_PDF,
            holder_name=(await self.person()).masked_name,
        )
        metadata = self._metadata(account_pb2.ExportStatementRequest)
        parts = self.accounts.ExportStatement(request, timeout=STATEMENT_SECONDS, metadata=metadata)
        return b"".join([part.chunk async for part in parts])

    async def messages(self) -> list[inbox_pb2.Message]:
        """All of one's messages, newest first."""

        async def page(token: str) -> tuple[list[inbox_pb2.Message], str]:
            request = inbox_pb2.ListMessagesRequest(psn_no=self.psn_no, page_size=200, page_token=token)
            answer = await self.call(self.inbox.ListMessages, request)
            return list(answer.messages), answer.next_page_token

        return await gathered(page)


async def _upload_messages(application_id: str, proof: ProofFile) -> AsyncIterator[application_pb2.UploadProofRequest]:
    yield application_pb2.UploadProofRequest(
        header=application_pb2.ProofHeader(application_id=application_id, kind=proof.kind)
    )
    for start in range(0, len(proof.content), CHUNK_BYTES):
        yield application_pb2.UploadProofRequest(chunk=proof.content[start : start + CHUNK_BYTES])
