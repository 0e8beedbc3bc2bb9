"""Binding as its callers meet it: real gRPC with certificates and assertions, on the fake."""

import base64
import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from binding.access import ACCESS
from binding.codec import timestamp
from binding.config import Settings
from binding.main import assemble
from binding.memory import MemoryRepository
from binding.testing import CHILD, FATHER, MOTHER, NOON, family, named, pdf_file, png_file, relation
from gongji.binding.v1 import (
    application_pb2,
    application_pb2_grpc,
    authorization_pb2,
    authorization_pb2_grpc,
    decision_reason_pb2,
    relation_pb2,
    relation_pb2_grpc,
    review_pb2,
    review_pb2_grpc,
)
from gongji.common.v1 import reason_pb2
from kit.clock import FixedClock
from kit.config import load
from kit.errors import reason_of, violations_of
from kit.grpc_client import IdentifyRequests, secure_channel
from kit.grpc_server import GrpcServer
from kit.requests import MemoryOnce
from kit.testing import MemoryWork
from kit.testing_tls import Pki

TIMEOUT_SECONDS = 10.0
CHUNK_BYTES = 64 * 1024


@dataclass
class Binding:
    """The server, its state, and ways to call it."""

    state: MemoryRepository
    clock: FixedClock
    portal: grpc.aio.Channel
    settlement: grpc.aio.Channel
    key: ed25519.Ed25519PrivateKey

    def person(self, subject: str, *roles: str, **claimed: Any) -> dict[str, Any]:
        """What a call for this person carries."""
        now = self.clock.now()
        claims = {
            "iss": "gongji-portal",
            "aud": "binding",
            "sub": subject,
            "roles": list(roles),
            "jti": uuid.uuid4().hex,
            "iat": now.timestamp(),
            "exp": (now + timedelta(minutes=2)).timestamp(),
            **claimed,
        }
        if subject.startswith("psn:"):
            claims["psn_no"] = subject.removeprefix("psn:")
        token = jwt.encode(claims, self.key, algorithm="EdDSA", headers={"kid": "p1"})
        return {"timeout": TIMEOUT_SECONDS, "metadata": (("x-gongji-assertion", token),)}

    def citizen(self, psn_no: str) -> dict[str, Any]:
        return self.person(f"psn:{psn_no}", "citizen")

    @property
    def applications(self) -> "application_pb2_grpc.ApplicationServiceAsyncStub":
        return application_pb2_grpc.ApplicationServiceStub(self.portal)

    @property
    def reviews(self) -> "review_pb2_grpc.ReviewServiceAsyncStub":
        return review_pb2_grpc.ReviewServiceStub(self.portal)

    @property
    def relations(self) -> "relation_pb2_grpc.RelationServiceAsyncStub":
        return relation_pb2_grpc.RelationServiceStub(self.portal)

    @property
    def authorizations(self) -> "authorization_pb2_grpc.AuthorizationServiceAsyncStub":
        return authorization_pb2_grpc.AuthorizationServiceStub(self.settlement)

    async def draft(self) -> str:
        answer = await self.applications.CreateApplication(create_request(), **self.citizen(FATHER))
        return answer.application_id

    async def upload(self, parts: Iterable[application_pb2.UploadProofRequest]) -> application_pb2.UploadProofResponse:
        return await self.applications.UploadProof(iter(parts), **self.citizen(FATHER))

    async def approved(self) -> str:
        application_id = await self.draft()
        await self.upload(upload_parts(application_id, pdf_file()))
        submit = application_pb2.SubmitApplicationRequest(application_id=application_id)
        await self.applications.SubmitApplication(submit, **self.citizen(FATHER))
        claim = review_pb2.ClaimApplicationRequest(application_id=application_id)
        await self.reviews.ClaimApplication(claim, **self.person("clerk:wang", "handler"))
        decide = review_pb2.DecideApplicationRequest(
            application_id=application_id, decision=review_pb2.DECISION_APPROVE
        )
        answer = await self.reviews.DecideApplication(decide, **self.person("clerk:li", "decider"))
        return answer.application.relation_id


def create_request(**changes: Any) -> application_pb2.CreateApplicationRequest:
    stated: dict[str, Any] = {
        "request_id": str(uuid.uuid4()),
        "payer_psn_no": FATHER,
        "beneficiary_psn_no": CHILD,
        "relationship": relation_pb2.RELATIONSHIP_CHILD,
        "limits": relation_pb2.Limits(settlement_fen=6_000, year_fen=50_000),
        "valid_to": "2026-12-31",
        "pledge_version": "2025.1",
    }
    return application_pb2.CreateApplicationRequest(**(stated | changes))


def upload_parts(application_id: str, content: bytes) -> Iterator[application_pb2.UploadProofRequest]:
    header = application_pb2.ProofHeader(
        application_id=application_id, kind=application_pb2.PROOF_KIND_BIRTH_CERTIFICATE
    )
    yield application_pb2.UploadProofRequest(header=header)
    for start in range(0, len(content), CHUNK_BYTES):
        yield application_pb2.UploadProofRequest(chunk=content[start : start + CHUNK_BYTES])


def ask(name: str, amount_fen: int, **changes: Any) -> authorization_pb2.AuthorizationRequest:
    stated: dict[str, Any] = {
        "authorization_id": str(named(name)),
        "beneficiary_psn_no": CHILD,
        "amount_fen": amount_fen,
        "occurred_at": timestamp(NOON),
        "requested_at": timestamp(NOON),
    }
    return authorization_pb2.AuthorizationRequest(**(stated | changes))


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def binding(tmp_path: Path, pki: Pki, memory_work: MemoryWork[MemoryRepository]) -> AsyncIterator[Binding]:
    key, clock = ed25519.Ed25519PrivateKey.generate(), FixedClock(NOON)
    settings = load(Settings, environment(tmp_path, pki, key))
    parts = assemble(settings, memory_work, clock, clock)
    server = GrpcServer(settings, parts.services, ACCESS, clock, service_name="binding", once=MemoryOnce())
    await server.start()
    target = f"127.0.0.1:{server.port}"
    memory_work.repository.known_persons |= family()
    async with (
        secure_channel(target, pki.service("portal"), interceptors=[IdentifyRequests()]) as portal,
        secure_channel(target, pki.service("settlement")) as settlement,
    ):
        yield Binding(memory_work.repository, clock, portal, settlement, key)
    await server.stop(0)


def environment(folder: Path, pki: Pki, key: ed25519.Ed25519PrivateKey) -> dict[str, str]:
    tls = pki.service("binding")
    secret = base64.b64encode(b"k" * 32).decode()
    ring = {"active": "k1", "keys": {"k1": {"algorithm": "AES-256-GCM", "key": secret}}, "blind_index_key": secret}
    public = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).rstrip(b"=").decode()
    jwk = {"kty": "OKP", "crv": "Ed25519", "kid": "p1", "x": public}
    roles = ["citizen", "handler", "decider", "operator", "auditor"]
    issuers = {"issuers": {"gongji-portal": {"roles": roles, "caller": "service/portal", "jwks": {"keys": [jwk]}}}}
    files = {"keyring": ring, "jwks": issuers}
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return {
        "GONGJI_ENVIRONMENT": "test",
        "GONGJI_TRUST_DOMAIN": "gongji-test",
        "GONGJI_GRPC_ADDRESS": "127.0.0.1:0",
        "GONGJI_HTTP_ADDRESS": "127.0.0.1:0",
        "GONGJI_DATABASE_URL": "postgresql://nobody:none@127.0.0.1:1/none",
        "GONGJI_KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "GONGJI_TLS_CERT_FILE": str(tls.cert),
        "GONGJI_TLS_KEY_FILE": str(tls.key),
        "GONGJI_INSTITUTION_CA_FILE": str(pki.institution_ca_file),
        "GONGJI_SERVICE_CA_FILE": str(pki.service_ca_file),
        "GONGJI_JWKS_FILE": str(folder / "jwks.json"),
        "GONGJI_KEYRING_FILE": str(folder / "keyring.json"),
    }


async def refused(call: Any) -> str | None:
    """The reason with which a call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return reason_of(error.value)


async def fields_refused(call: Any) -> set[str]:
    """The fields that a call is refused for."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    assert reason_of(error.value) == "INVALID_FIELDS"
    return {violation.field for violation in violations_of(error.value)}


async def test_from_application_to_a_captured_hold(binding: Binding) -> None:
    relation_id = await binding.approved()
    asked = authorization_pb2.AuthorizeRequest(requests=[ask("a", 9_000)])
    (result,) = (await binding.authorizations.Authorize(asked, timeout=TIMEOUT_SECONDS)).results
    (grant,) = result.grants
    assert (grant.payer_psn_no, grant.relation_id, grant.granted_fen) == (FATHER, relation_id, 6_000)
    assert (grant.reason, grant.window) == (reason_pb2.REASON_LIMIT_REACHED, relation_pb2.LIMIT_WINDOW_SETTLEMENT)

    paid = authorization_pb2.Outcome(
        authorization_id=str(named("a")),
        state=authorization_pb2.OUTCOME_STATE_CAPTURED,
        lines=[authorization_pb2.OutcomeLine(relation_id=relation_id, amount_fen=4_500)],
        occurred_at=timestamp(NOON),
    )
    preview = authorization_pb2.PreviewAuthorizationRequest(requests=[ask("b", 50_000, outcomes=[paid])])
    (shown,) = (await binding.authorizations.PreviewAuthorization(preview, timeout=TIMEOUT_SECONDS)).results
    assert shown.grants[0].granted_fen == 6_000

    get = relation_pb2.GetRelationRequest(relation_id=relation_id)
    seen = (await binding.relations.GetRelation(get, **binding.citizen(CHILD))).relation
    assert seen.state == relation_pb2.RELATION_STATE_ACTIVE
    assert (seen.valid_from, seen.valid_to, seen.priority) == ("2025-06-10", "2026-12-31", 1)
    assert seen.limits == relation_pb2.Limits(settlement_fen=6_000, year_fen=50_000)
    uses = {use.window: (use.used_fen, use.held_fen, use.HasField("limit_fen") and use.limit_fen) for use in seen.use}
    assert uses == {
        relation_pb2.LIMIT_WINDOW_DAY: (4_500, 0, False),
        relation_pb2.LIMIT_WINDOW_MONTH: (4_500, 0, False),
        relation_pb2.LIMIT_WINDOW_YEAR: (4_500, 0, 50_000),
        relation_pb2.LIMIT_WINDOW_TOTAL: (4_500, 0, False),
    }


async def test_refusals_of_one_request_are_told_in_its_place(binding: Binding) -> None:
    binding.clock.advance(timedelta(minutes=11))
    young = {"requested_at": timestamp(binding.clock.now())}
    asked = authorization_pb2.AuthorizeRequest(
        requests=[ask("a", 1), ask("b", 1, beneficiary_psn_no=MOTHER, **young), ask("b", 1, **young)]
    )
    results = (await binding.authorizations.Authorize(asked, timeout=TIMEOUT_SECONDS)).results
    assert [reason_pb2.Reason.Name(result.refusal) for result in results] == [
        "REASON_REQUEST_TOO_OLD",
        "REASON_UNSPECIFIED",
        "REASON_INVALID_FIELDS",
    ]


async def test_what_is_held_is_told_in_pages_and_by_id(binding: Binding) -> None:
    relation_id = await binding.approved()
    for name in ("a", "b", "c"):
        asked = authorization_pb2.AuthorizeRequest(requests=[ask(name, 100)])
        await binding.authorizations.Authorize(asked, timeout=TIMEOUT_SECONDS)
    first = await held(binding, "")
    second = await held(binding, first.next_page_token)
    told = [*first.authorizations, *second.authorizations]
    assert [it.authorization_id for it in told] == [str(named(name)) for name in ("a", "b", "c")]
    assert [len(first.authorizations), second.next_page_token] == [2, ""]
    assert told[0].state == authorization_pb2.AUTHORIZATION_STATE_HELD
    assert (told[0].beneficiary_psn_no, told[0].occurred_at) == (CHILD, timestamp(NOON))
    assert list(told[0].lines) == [authorization_pb2.ChargedLine(relation_id=relation_id, held_fen=100)]

    wanted = authorization_pb2.GetAuthorizationsRequest(authorization_ids=[str(named("c")), str(named("unknown"))])
    found = await binding.authorizations.GetAuthorizations(wanted, timeout=TIMEOUT_SECONDS)
    assert list(found.authorizations) == [told[2]]


async def held(binding: Binding, page_token: str) -> authorization_pb2.ListHeldResponse:
    request = authorization_pb2.ListHeldRequest(page_size=2, page_token=page_token)
    return await binding.authorizations.ListHeld(request, timeout=TIMEOUT_SECONDS)


async def test_a_page_token_that_is_none_of_ours_is_refused(binding: Binding) -> None:
    assert await fields_refused(held(binding, "nonsense")) == {"page_token"}


async def test_only_settlement_asks_for_holds(binding: Binding) -> None:
    stub = authorization_pb2_grpc.AuthorizationServiceStub(binding.portal)
    asked = authorization_pb2.AuthorizeRequest(requests=[ask("a", 1)])
    assert await refused(stub.Authorize(asked, timeout=TIMEOUT_SECONDS)) == "FORBIDDEN"
    assert await refused(stub.Authorize(asked, **binding.citizen(FATHER))) == "FORBIDDEN"
    listed = authorization_pb2.ListHeldRequest(page_size=1)
    wanted = authorization_pb2.GetAuthorizationsRequest(authorization_ids=[str(named("a"))])
    for who in ({"timeout": TIMEOUT_SECONDS}, binding.citizen(FATHER), binding.person("clerk:root", "operator")):
        assert await refused(stub.ListHeld(listed, **who)) == "FORBIDDEN"
    for who in ({"timeout": TIMEOUT_SECONDS}, binding.citizen(FATHER), binding.person("clerk:root", "operator")):
        assert await refused(stub.GetAuthorizations(wanted, **who)) == "FORBIDDEN"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"valid_from": "2025-02-30"}, "valid_from"),
        ({"valid_to": "2025-13-01"}, "valid_to"),
        ({"valid_to": "2025-06-09"}, "valid_to"),
        ({"valid_to": "soon"}, "valid_to"),
        ({"request_id": "1"}, "request_id"),
        ({"relationship": 0}, "relationship"),
        ({"relationship": 9}, "relationship"),
        ({"limits": relation_pb2.Limits()}, "limits"),
        ({"limits": relation_pb2.Limits(day_fen=0)}, "limits.day_fen"),
        ({"limits": relation_pb2.Limits(day_fen=10_000_000_001)}, "limits.day_fen"),
        ({"priority": 100}, "priority"),
        ({"pledge_version": ""}, "pledge_version"),
        ({"payer_psn_no": "张三"}, "payer_psn_no"),
    ],
)
async def test_a_malformed_application_is_refused_by_field(
    binding: Binding, changes: dict[str, Any], field: str
) -> None:
    call = binding.applications.CreateApplication(create_request(**changes), **binding.citizen(FATHER))
    assert await fields_refused(call) == {field}
    assert binding.state.applications == {}


async def test_a_file_of_ten_mebibytes_and_one_byte_is_refused(binding: Binding) -> None:
    application_id = await binding.draft()
    content = pdf_file(10 * 1024 * 1024 + 1 - len(pdf_file()))
    assert len(content) > 10 * 1024 * 1024
    assert await refused(binding.upload(upload_parts(application_id, content))) == "PROOF_UNACCEPTABLE"
    assert binding.state.contents == {}


async def test_a_large_proof_arrives_whole(binding: Binding) -> None:
    application_id = await binding.draft()
    content = pdf_file(3 * 1024 * 1024)
    answer = await binding.upload(upload_parts(application_id, content))
    assert answer.size_bytes == len(content)
    get = application_pb2.GetApplicationRequest(application_id=application_id)
    seen = (await binding.applications.GetApplication(get, **binding.citizen(FATHER))).application
    assert [(proof.media_type, proof.size_bytes) for proof in seen.proofs] == [("application/pdf", len(content))]


async def test_an_upload_begins_with_its_header_and_has_a_file(binding: Binding) -> None:
    application_id = await binding.draft()
    header, *chunks = upload_parts(application_id, png_file())
    for parts in (chunks, [], [header, header, *chunks], [header], [header, *chunks, header]):
        assert await fields_refused(binding.upload(parts)) <= {"header", "chunk"}
    assert binding.state.contents == {}


async def test_a_proof_comes_down_as_it_is_kept_with_its_checksum(binding: Binding) -> None:
    application_id = await binding.draft()
    content = pdf_file(200_000)
    proof_id = (await binding.upload(upload_parts(application_id, content))).proof_id
    ask_for = application_pb2.DownloadProofRequest(application_id=application_id, proof_id=proof_id)
    clerk = binding.person("clerk:wang", "handler")
    first, *chunks = [part async for part in binding.applications.DownloadProof(ask_for, **clerk)]
    assert first.WhichOneof("part") == "proof"
    assert (first.proof.size_bytes, first.proof.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert b"".join(part.chunk for part in chunks) == content
    with pytest.raises(grpc.aio.AioRpcError) as stranger:
        _ = [part async for part in binding.applications.DownloadProof(ask_for, **binding.citizen(MOTHER))]
    assert reason_of(stranger.value) == "FORBIDDEN"
    listing = application_pb2.ListProofViewsRequest(application_id=application_id)
    auditor = binding.person("clerk:audit", "auditor")
    (view,) = (await binding.applications.ListProofViews(listing, **auditor)).views
    assert (view.proof_id, view.who, view.role) == (proof_id, "clerk:wang", "handler")
    assert await refused(binding.applications.ListProofViews(listing, **binding.citizen(FATHER))) == "FORBIDDEN"


async def test_a_picture_is_kept_without_what_else_was_in_it(binding: Binding) -> None:
    application_id = await binding.draft()
    sent = png_file() + b"home address"
    assert await refused(binding.upload(upload_parts(application_id, b"\x89PNG" + sent))) == "PROOF_UNACCEPTABLE"
    answer = await binding.upload(upload_parts(application_id, sent))
    assert answer.sha256 == hashlib.sha256(sent).hexdigest()
    again = await binding.upload(upload_parts(application_id, sent))
    assert again == answer
    ask_for = application_pb2.DownloadProofRequest(application_id=application_id, proof_id=answer.proof_id)
    parts = [part async for part in binding.applications.DownloadProof(ask_for, **binding.citizen(FATHER))]
    kept = b"".join(part.chunk for part in parts)
    assert b"home address" not in kept
    assert parts[0].proof.sha256 == hashlib.sha256(kept).hexdigest()


async def test_somebody_elses_application_takes_no_proof(binding: Binding) -> None:
    application_id = await binding.draft()
    upload = binding.applications.UploadProof(upload_parts(application_id, png_file()), **binding.citizen(MOTHER))
    assert await refused(upload) == "FORBIDDEN"


async def test_citizens_are_not_told_which_clerk_has_it(binding: Binding) -> None:
    await binding.approved()
    (application_id,) = binding.state.applications
    get = application_pb2.GetApplicationRequest(application_id=str(application_id))
    as_father = (await binding.applications.GetApplication(get, **binding.citizen(FATHER))).application
    as_clerk = (await binding.applications.GetApplication(get, **binding.person("clerk:x", "auditor"))).application
    assert (as_father.handler, as_clerk.handler) == ("", "clerk:wang")
    assert as_father.state == application_pb2.APPLICATION_STATE_APPROVED


async def test_consent_is_the_beneficiarys(binding: Binding) -> None:
    request = create_request(beneficiary_psn_no=MOTHER, relationship=relation_pb2.RELATIONSHIP_SPOUSE)
    created = await binding.applications.CreateApplication(request, **binding.citizen(FATHER))
    give = application_pb2.GiveConsentRequest(application_id=created.application_id)
    assert await refused(binding.applications.GiveConsent(give, **binding.citizen(FATHER))) == "FORBIDDEN"
    assert await refused(binding.applications.GiveConsent(give, **binding.citizen(MOTHER))) == "CONSENT_UNSIGNED"
    get = application_pb2.GetApplicationRequest(application_id=created.application_id)
    shown = (await binding.applications.GetApplication(get, **binding.citizen(MOTHER))).application
    pledge = await binding.applications.GetPledge(application_pb2.GetPledgeRequest(), **binding.citizen(MOTHER))
    assert shown.pledge_sha256 == pledge.sha256 == hashlib.sha256(pledge.text.encode()).hexdigest()
    agreed = {"application_id": created.application_id, "pledge_sha256": pledge.sha256}
    signing = binding.person(f"psn:{MOTHER}", "citizen", consent=agreed)
    answer = await binding.applications.GiveConsent(give, **signing)
    (kept,) = binding.state.consents
    assert (kept.psn_no, kept.pledge_sha256, kept.issuer) == (MOTHER, pledge.sha256, "gongji-portal")
    assert kept.assertion == dict(signing["metadata"])["x-gongji-assertion"]
    assert answer.consented_at.ToDatetime(tzinfo=UTC) == NOON


async def test_lists_are_paged_by_opaque_tokens(binding: Binding) -> None:
    for number in range(5):
        made = relation(f"r{number}", beneficiary_psn_no=f"B{number}", approved_at=NOON + timedelta(days=number))
        binding.state.relations[made.relation_id] = made
    found: list[str] = []
    token = ""
    for _ in range(3):
        request = relation_pb2.ListRelationsRequest(psn_no=FATHER, page_size=2, page_token=token)
        page = await binding.relations.ListRelations(request, **binding.citizen(FATHER))
        found += [it.beneficiary_psn_no for it in page.relations]
        token = page.next_page_token
    assert found == ["B4", "B3", "B2", "B1", "B0"]
    assert token == ""


@pytest.mark.parametrize(
    "token",
    [
        "garbage!",
        base64.urlsafe_b64encode(b"2025-06-10T00:00:00 no-uuid").decode(),
        base64.urlsafe_b64encode(f"2025-06-10T00:00:00 {uuid.uuid4()}".encode()).decode(),
        base64.urlsafe_b64encode("张三".encode()).decode(),
    ],
)
async def test_a_token_that_is_none_of_ours_is_refused(binding: Binding, token: str) -> None:
    waiting = binding.reviews.ListWaiting(
        review_pb2.ListWaitingRequest(page_token=token), **binding.person("clerk:wang", "handler")
    )
    assert await fields_refused(waiting) == {"page_token"}
    listed = binding.relations.ListRelations(
        relation_pb2.ListRelationsRequest(psn_no=FATHER, page_token=token), **binding.citizen(FATHER)
    )
    assert await fields_refused(listed) == {"page_token"}


async def test_the_queue_and_the_steps_of_a_relation(binding: Binding) -> None:
    relation_id = await binding.approved()
    empty = await binding.reviews.ListWaiting(
        review_pb2.ListWaitingRequest(), **binding.person("clerk:wang", "handler")
    )
    assert list(empty.applications) == []
    operator = binding.person("clerk:ops", "operator")
    suspend = relation_pb2.SuspendRelationRequest(relation_id=relation_id, reason="checking")
    assert await refused(binding.relations.SuspendRelation(suspend, **binding.citizen(FATHER))) == "FORBIDDEN"
    suspended = (await binding.relations.SuspendRelation(suspend, **operator)).relation
    assert (suspended.state, suspended.state_reason) == (relation_pb2.RELATION_STATE_SUSPENDED, "checking")
    resume = relation_pb2.ResumeRelationRequest(relation_id=relation_id, reason="checked")
    assert (await binding.relations.ResumeRelation(resume, **operator)).relation.state_reason == ""
    change = relation_pb2.ChangeLimitsRequest(relation_id=relation_id, limits=relation_pb2.Limits(day_fen=7))
    changed = (await binding.relations.ChangeLimits(change, **binding.citizen(FATHER))).relation
    assert changed.limits == relation_pb2.Limits(day_fen=7)
    unbind = relation_pb2.UnbindRelationRequest(relation_id=relation_id)
    ended = (await binding.relations.UnbindRelation(unbind, **binding.citizen(FATHER))).relation
    assert ended.state == relation_pb2.RELATION_STATE_ENDED


@pytest.mark.parametrize("reason", ["\x00", "a\x00b", "\x1b[2J", "a\x7f"])
async def test_a_reason_with_control_characters_is_refused(binding: Binding, reason: str) -> None:
    relation_id = str(uuid.uuid4())
    unbind = relation_pb2.UnbindRelationRequest(relation_id=relation_id, reason=reason)
    suspend = relation_pb2.SuspendRelationRequest(relation_id=relation_id, reason=reason)
    decide = review_pb2.DecideApplicationRequest(
        application_id=relation_id,
        decision=review_pb2.DECISION_REJECT,
        reason=reason,
        reason_code=decision_reason_pb2.DECISION_REASON_DUPLICATE,
    )
    calls = (
        binding.relations.UnbindRelation(unbind, **binding.citizen(FATHER)),
        binding.relations.SuspendRelation(suspend, **binding.person("clerk:ops", "operator")),
        binding.reviews.DecideApplication(decide, **binding.person("clerk:li", "decider")),
    )
    for call in calls:
        assert await fields_refused(call) == {"reason"}


async def test_time_is_the_injected_clocks(binding: Binding) -> None:
    binding.clock.set(datetime(2026, 1, 1, 0, 0, tzinfo=UTC))
    relation_id = await binding.approved()
    assert binding.state.relations[uuid.UUID(relation_id)].valid_from == date(2026, 1, 1)
