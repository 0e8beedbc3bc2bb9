"""The operators' console: the register of insured persons, institutions, accounts, and what stops a relation."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final

from gongji.binding.v1 import relation_pb2, relation_pb2_grpc
from gongji.identity.v1 import institution_pb2, institution_pb2_grpc, person_pb2, person_pb2_grpc
from gongji.settlement.v1 import account_pb2, account_pb2_grpc, premium_pb2, premium_pb2_grpc
from gongji_local.client.connections import Caller, Connections
from gongji_local.client.paging import gathered

ROWS_A_MESSAGE: Final = 500
AUTHORITY: Final = "博州医疗保障局"
"""By whose order this console changes accounts."""


class Operator:
    """An operator: most steps are the console's own (`service/operator`), some need the person (`clerk:<name>`)."""

    def __init__(self, connections: Connections, name: str = "operator") -> None:
        self.console = Caller(connections, title="operator", principal="service/operator")
        self.feed = Caller(connections, title="register", principal="service/registry")
        self.name = name
        self.person_at_portal = Caller(
            connections,
            title=f"operator {name}",
            principal="service/portal",
            subject=f"clerk:{name}",
            roles=("operator",),
        )

    @property
    def persons(self) -> "person_pb2_grpc.PersonServiceAsyncStub":
        """The stub, for a request that the methods here do not build."""
        return person_pb2_grpc.PersonServiceStub(self.console.channel("identity"))

    @property
    def institutions(self) -> "institution_pb2_grpc.InstitutionServiceAsyncStub":
        """The stub of the console, for a request that the methods here do not build."""
        return institution_pb2_grpc.InstitutionServiceStub(self.console.channel("identity"))

    @property
    def institution_changes(self) -> "institution_pb2_grpc.InstitutionServiceAsyncStub":
        """The stub of the person at the portal: changes are proposed and confirmed by people."""
        return institution_pb2_grpc.InstitutionServiceStub(self.person_at_portal.channel("identity"))

    @property
    def accounts(self) -> "account_pb2_grpc.AccountServiceAsyncStub":
        """The stub, for a request that the methods here do not build."""
        return account_pb2_grpc.AccountServiceStub(self.console.channel("settlement"))

    @property
    def premiums(self) -> "premium_pb2_grpc.PremiumServiceAsyncStub":
        """The stub, for a request that the methods here do not build."""
        return premium_pb2_grpc.PremiumServiceStub(self.console.channel("settlement"))

    @property
    def relations(self) -> "relation_pb2_grpc.RelationServiceAsyncStub":
        """The stub, for a request that the methods here do not build."""
        return relation_pb2_grpc.RelationServiceStub(self.person_at_portal.channel("binding"))

    async def set_premium(self, year: int, amount_fen: int, collect_from: str, collect_to: str) -> None:
        """States what the premium of a year is and from when to when it is collected (YYYY-MM-DD)."""
        request = premium_pb2.SetPremiumRequest(
            year=year, amount=amount_fen, collect_from=collect_from, collect_to=collect_to
        )
        await self.console.call(self.premiums.SetPremium, request)

    async def import_insured(
        self, batch_id: str, rows: Sequence[person_pb2.InsuredRow]
    ) -> person_pb2.ImportInsuredResponse:
        """Loads rows of the register of insured persons."""
        return await self.console.stream(
            self.persons.ImportInsured, person_pb2.ImportInsuredRequest, _import_messages(batch_id, rows)
        )

    async def record_enrolment(self, psn_no: str, enrolment: person_pb2.Enrolment) -> bool:
        """Records an enrolment; whether anything changed."""
        request = person_pb2.RecordEnrolmentRequest(psn_no=psn_no, enrolment=enrolment)
        return (await self.console.call(self.persons.RecordEnrolment, request)).changed

    async def record_death(self, psn_no: str, died_on: str) -> bool:
        """Records a death (YYYY-MM-DD); whether anything changed."""
        request = person_pb2.RecordDeathRequest(psn_no=psn_no, died_on=died_on)
        return (await self.console.call(self.persons.RecordDeath, request)).changed

    async def file_remote_care(self, psn_no: str, admdvs: str, valid_from: str, valid_to: str = "") -> str:
        """Files care elsewhere (异地就医备案), days YYYY-MM-DD; the filing's id."""
        request = person_pb2.FileRemoteCareRequest(
            psn_no=psn_no, admdvs=admdvs, valid_from=valid_from, valid_to=valid_to
        )
        return (await self.console.call(self.persons.FileRemoteCare, request)).filing_id

    async def correct_person(self, request: person_pb2.CorrectPersonRequest) -> bool:
        """Corrects what is on record of a person; whether anything changed."""
        return (await self.console.call(self.persons.CorrectPerson, request)).changed

    async def add_certificate(self, psn_no: str, certificate: person_pb2.PersonCertificate) -> bool:
        """Adds a certificate of another type; whether it is new."""
        request = person_pb2.AddCertificateRequest(psn_no=psn_no, certificate=certificate)
        return (await self.console.call(self.persons.AddCertificate, request)).changed

    async def find_person(
        self, certificate: person_pb2.PersonCertificate, reason: str
    ) -> person_pb2.FindPersonByCertificateResponse:
        """Whose certificate it is."""
        request = person_pb2.FindPersonByCertificateRequest(certificate=certificate, reason=reason)
        return await self.console.call(self.persons.FindPersonByCertificate, request)

    async def person(self, psn_no: str) -> person_pb2.GetPersonResponse:
        """One person, masked."""
        return await self.console.call(self.persons.GetPerson, person_pb2.GetPersonRequest(psn_no=psn_no))

    async def register_institution(self, institution: institution_pb2.Institution) -> bool:
        """Registers or changes an institution, as the machine feed of their register; whether anything changed."""
        request = institution_pb2.RegisterInstitutionRequest(institution=institution)
        feed: institution_pb2_grpc.InstitutionServiceAsyncStub = institution_pb2_grpc.InstitutionServiceStub(
            self.feed.channel("identity")
        )
        return (await self.feed.call(feed.RegisterInstitution, request)).changed

    async def propose_institution_change(
        self, institution: institution_pb2.Institution, reason: str
    ) -> institution_pb2.InstitutionChange:
        """Proposes how an institution shall be; another operator confirms it."""
        request = institution_pb2.ProposeInstitutionChangeRequest(institution=institution, reason=reason)
        method = self.institution_changes.ProposeInstitutionChange
        return (await self.person_at_portal.call(method, request)).change

    async def confirm_institution_change(self, change_id: str) -> institution_pb2.InstitutionChange:
        """Confirms what another operator has proposed."""
        request = institution_pb2.ConfirmInstitutionChangeRequest(change_id=change_id)
        method = self.institution_changes.ConfirmInstitutionChange
        return (await self.person_at_portal.call(method, request)).change

    async def reject_institution_change(self, change_id: str, reason: str) -> institution_pb2.InstitutionChange:
        """Rejects a proposal, or withdraws one's own."""
        request = institution_pb2.RejectInstitutionChangeRequest(change_id=change_id, reason=reason)
        method = self.institution_changes.RejectInstitutionChange
        return (await self.person_at_portal.call(method, request)).change

    async def institution(self, fixmedins_code: str) -> institution_pb2.Institution:
        """One institution."""
        request = institution_pb2.GetInstitutionRequest(fixmedins_code=fixmedins_code)
        return (await self.console.call(self.institutions.GetInstitution, request)).institution

    async def open_account(self, psn_no: str) -> account_pb2.Account:
        """Opens a personal account (个人账户)."""
        request = account_pb2.OpenAccountRequest(psn_no=psn_no)
        return (await self.console.call(self.accounts.OpenAccount, request)).account

    async def record_contribution(self, psn_no: str, contribution_id: str, amount_fen: int) -> int:
        """Credits a contribution; the balance after it, fen."""
        request = account_pb2.RecordContributionRequest(
            psn_no=psn_no, contribution_id=contribution_id, amount=amount_fen
        )
        return (await self.console.call(self.accounts.RecordContribution, request)).balance_after

    async def import_contributions(
        self, *messages: Sequence[account_pb2.ContributionRow]
    ) -> account_pb2.ImportContributionsResponse:
        """Credits many contributions by one stream, these rows a message."""
        sent = _contribution_messages(messages)
        return await self.console.stream(
            self.accounts.ImportContributions, account_pb2.ImportContributionsRequest, sent
        )

    async def freeze_account(self, psn_no: str, reason: str) -> account_pb2.Account:
        """Freezes an account."""
        request = account_pb2.FreezeAccountRequest(psn_no=psn_no, reason=reason, authority=AUTHORITY)
        return (await self.console.call(self.accounts.FreezeAccount, request)).account

    async def unfreeze_account(self, psn_no: str, reason: str) -> account_pb2.Account:
        """Releases a frozen account."""
        request = account_pb2.UnfreezeAccountRequest(psn_no=psn_no, reason=reason, authority=AUTHORITY)
        return (await self.console.call(self.accounts.UnfreezeAccount, request)).account

    async def account(self, psn_no: str) -> account_pb2.Account:
        """One account."""
        request = account_pb2.GetAccountRequest(psn_no=psn_no)
        return (await self.console.call(self.accounts.GetAccount, request)).account

    async def entries(self, psn_no: str) -> list[account_pb2.Entry]:
        """All entries of an account, newest first."""

        async def page(token: str) -> tuple[list[account_pb2.Entry], str]:
            request = account_pb2.ListEntriesRequest(psn_no=psn_no, page_size=500, page_token=token)
            answer = await self.console.call(self.accounts.ListEntries, request)
            return list(answer.entries), answer.next_page_token

        return await gathered(page)

    async def suspend_relation(self, relation_id: str, reason: str) -> relation_pb2.Relation:
        """Suspends a relation."""
        request = relation_pb2.SuspendRelationRequest(relation_id=relation_id, reason=reason)
        return (await self.person_at_portal.call(self.relations.SuspendRelation, request)).relation

    async def resume_relation(self, relation_id: str, reason: str = "checked") -> relation_pb2.Relation:
        """Resumes a suspended relation."""
        request = relation_pb2.ResumeRelationRequest(relation_id=relation_id, reason=reason)
        return (await self.person_at_portal.call(self.relations.ResumeRelation, request)).relation


async def _import_messages(
    batch_id: str, rows: Sequence[person_pb2.InsuredRow]
) -> AsyncIterator[person_pb2.ImportInsuredRequest]:
    for start in range(0, len(rows), ROWS_A_MESSAGE):
        yield person_pb2.ImportInsuredRequest(batch_id=batch_id, rows=rows[start : start + ROWS_A_MESSAGE])


async def _contribution_messages(
    messages: Iterable[Sequence[account_pb2.ContributionRow]],
) -> AsyncIterator[account_pb2.ImportContributionsRequest]:
    for rows in messages:
        yield account_pb2.ImportContributionsRequest(rows=rows)
