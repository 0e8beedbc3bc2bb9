"""Binding as its callers meet it, for tests: a server with certificates and assertions on the fake."""

import base64
import json
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric import ed25519

from binding.access import ACCESS
from binding.config import Settings
from binding.main import assemble
from binding.memory import MemoryRepository
from binding.testing import CHILD, FATHER, NOON, family, named, pdf_file
from gongji.binding.v1 import (
    application_pb2,
    application_pb2_grpc,
    authorization_pb2,
    authorization_pb2_grpc,
    relation_pb2,
    relation_pb2_grpc,
    review_pb2,
    review_pb2_grpc,
)
from kit.clock import FixedClock
from kit.config import load
from kit.errors import reason_of, violations_of
from kit.grpc_client import IdentifyRequests, secure_channel
from kit.grpc_server import GrpcServer
from kit.requests import MemoryOnce
from kit.testing import MemoryWork, refusal_of
from kit.testing_tls import Pki
from kit.timestamps import timestamp

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
        """What a citizen's own call carries."""
        return self.person(f"psn:{psn_no}", "citizen")

    @property
    def applications(self) -> "application_pb2_grpc.ApplicationServiceAsyncStub":
        """As the portal calls it."""
        return application_pb2_grpc.ApplicationServiceStub(self.portal)

    @property
    def reviews(self) -> "review_pb2_grpc.ReviewServiceAsyncStub":
        """As the portal calls it."""
        return review_pb2_grpc.ReviewServiceStub(self.portal)

    @property
    def relations(self) -> "relation_pb2_grpc.RelationServiceAsyncStub":
        """As the portal calls it."""
        return relation_pb2_grpc.RelationServiceStub(self.portal)

    @property
    def authorizations(self) -> "authorization_pb2_grpc.AuthorizationServiceAsyncStub":
        """As settlement calls it."""
        return authorization_pb2_grpc.AuthorizationServiceStub(self.settlement)

    async def draft(self) -> str:
        """An application of the father's for the child; its id."""
        answer = await self.applications.CreateApplication(create_request(), **self.citizen(FATHER))
        return answer.application_id

    async def upload(self, parts: Iterable[application_pb2.UploadProofRequest]) -> application_pb2.UploadProofResponse:
        """Send these messages as the father."""
        return await self.applications.UploadProof(iter(parts), **self.citizen(FATHER))

    async def approved(self) -> str:
        """An application through to its approval; the relation's id."""
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
    """The father's for the child, but for the changes."""
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
    """A birth certificate: the header, and the file in pieces."""
    header = application_pb2.ProofHeader(
        application_id=application_id, kind=application_pb2.PROOF_KIND_BIRTH_CERTIFICATE
    )
    yield application_pb2.UploadProofRequest(header=header)
    for start in range(0, len(content), CHUNK_BYTES):
        yield application_pb2.UploadProofRequest(chunk=content[start : start + CHUNK_BYTES])


def ask(name: str, amount_fen: int, **changes: Any) -> authorization_pb2.AuthorizationRequest:
    """For the child, at noon, but for the changes."""
    stated: dict[str, Any] = {
        "authorization_id": str(named(name)),
        "beneficiary_psn_no": CHILD,
        "amount_fen": amount_fen,
        "occurred_at": timestamp(NOON),
        "requested_at": timestamp(NOON),
    }
    return authorization_pb2.AuthorizationRequest(**(stated | changes))


def _environment(folder: Path, pki: Pki, key: ed25519.Ed25519PrivateKey) -> dict[str, str]:
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
    return reason_of(await refusal_of(call))


async def fields_refused(call: Any) -> set[str]:
    """The fields that a call is refused for, and for nothing else."""
    error = await refusal_of(call)
    if reason_of(error) == "INVALID_FIELDS":
        return {violation.field for violation in violations_of(error)}
    raise AssertionError(reason_of(error))


@asynccontextmanager
async def serving(folder: Path, pki: Pki, work: MemoryWork[MemoryRepository]) -> AsyncIterator[Binding]:
    """Binding on this state while the block runs; `folder` takes its keys."""
    key, clock = ed25519.Ed25519PrivateKey.generate(), FixedClock(NOON)
    settings = load(Settings, _environment(folder, pki, key))
    parts = assemble(settings, work, clock, clock)
    server = GrpcServer(settings, parts.services, ACCESS, clock, service_name="binding", once=MemoryOnce())
    await server.start()
    target = f"127.0.0.1:{server.port}"
    work.repository.known_persons |= family()
    async with (
        secure_channel(target, pki.service("portal"), interceptors=[IdentifyRequests()]) as portal,
        secure_channel(target, pki.service("settlement")) as settlement,
    ):
        yield Binding(work.repository, clock, portal, settlement, key)
    await server.stop(0)
