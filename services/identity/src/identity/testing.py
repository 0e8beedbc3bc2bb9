"""What this service's tests share: callers and builders of what the rules speak about.

Not imported by anything that serves.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from gongji.identity.events.v1 import events_pb2, sealed_pb2
from identity.credential import VisitCredentials
from identity.domain.attempts import Bound, Bounds
from identity.domain.certificate import Certificate, CertificateType
from identity.domain.enrolment import Enrolment, InsuranceStatus, InsuranceType
from identity.domain.identity_number import check_character
from identity.domain.institution import Designation, Institution, InstitutionType, KnownInstitution
from identity.domain.person import Person
from identity.domain.register import RegisterRow, RowRefused
from identity.domain.register_import import Chunk, Taken
from identity.domain.visit import CredentialLifetimes
from identity.main import Registering, person_services
from identity.memory import MemoryRepository
from identity.registry import ImportedRegister
from identity.repository import Repository
from identity.sealing import CodeSealer
from identity.service import AccessLogService, ImportService, InstitutionChangeService, InstitutionService, VisitService
from identity.servicer import AccessLogServicer, InstitutionServicer, PersonServicer, VisitServicer
from identity.vault import Vault
from kit import auth
from kit.clock import FixedClock, shanghai_date
from kit.crypto import KeyRing
from kit.db import Work
from kit.ids import uuid7
from kit.signing import TokenSigner
from kit.testing import MemoryWork

NOW = datetime(2025, 6, 10, 2, tzinfo=UTC)
"""10:00 in Shanghai."""
TODAY = shanghai_date(NOW)
HOSPITAL = "H65270100001"
NAME = "买买提·艾力"
TEL = "13999990000"
CARD_SN = "X12345678"
SINCE_2020 = Designation(date(2020, 1, 1))
"""A designation that has no end."""
ADULT = date(1985, 3, 2)
CHILD = date(2015, 9, 1)


class Bench:
    """The three servicers on a repository in memory and a clock that stands still."""

    def __init__(self, credential_keyring_file: Path, now: datetime = NOW) -> None:
        self.clock = FixedClock(now)
        self.repository = MemoryRepository()
        self.work = MemoryWork(self.repository)
        self.signer = TokenSigner(credential_keyring_file)
        self.serve(self.registering())
        self.institutions = InstitutionServicer(
            InstitutionService(self.work, self.clock), InstitutionChangeService(self.work, self.clock)
        )
        self.access_log = AccessLogServicer(AccessLogService(self.work, self.clock))
        self.visits = VisitServicer(
            VisitService(
                self.work,
                VisitCredentials(self.signer),
                self.clock,
                lifetimes=CredentialLifetimes(visit=timedelta(minutes=15), inpatient=timedelta(days=14)),
                home_prefix="65",
            )
        )

    def serve(self, registering: Registering) -> None:
        """Serve with this way of registering."""
        self.persons = PersonServicer(person_services(self.work, registering, self.clock, vault()))

    def registering(self) -> Registering:
        """How the bench registers unless a test says otherwise."""
        return registering(self.work)

    def sent_codes(self) -> list[tuple[str, str]]:
        """What notify would deliver: telephones and codes, oldest first."""
        issued = [one for one in self.repository.outbox.messages if isinstance(one, events_pb2.VerificationCodeIssued)]
        return [opened(one) for one in issued]

    def keep(self, *persons: Person) -> None:
        """Have these persons on record."""
        self.repository.persons.update({person.psn_no: person for person in persons})

    def keep_institution(self, known: Institution) -> None:
        """Have this institution on record."""
        self.repository.institutions[known.fixmedins_code] = KnownInstitution(known, 1)


def vault() -> Vault:
    """Seals with keys that are the same in every test."""
    return _vault("k1")


def vault_of_another_key() -> Vault:
    """Finds what `vault` hashed and opens nothing that it sealed."""
    return _vault("k2")


def _vault(key_id: str) -> Vault:
    key = base64.b64encode(bytes(range(32))).decode()
    keys = {key_id: {"algorithm": "AES-256-GCM", "key": key}}
    return Vault(KeyRing.from_json({"active": key_id, "keys": keys, "blind_index_key": key}))


def credential_keyring(folder: Path) -> Path:
    """A key ring file for visit credentials."""
    key = base64.b64encode(bytes(32)).decode()
    path = folder / "credential-keyring.json"
    path.write_text(json.dumps({"active": "c1", "keys": {"c1": {"algorithm": "HMAC-SHA256", "key": key}}}))
    return path


def code_ring() -> KeyRing:
    """The ring that identity and notify share."""
    key = base64.b64encode(b"s" * 32).decode()
    keys = {"s1": {"algorithm": "AES-256-GCM", "key": key}}
    return KeyRing.from_json({"active": "s1", "keys": keys, "blind_index_key": key})


def opened(event: events_pb2.VerificationCodeIssued, ring: KeyRing | None = None) -> tuple[str, str]:
    """Telephone and code in an event, by the words of the contract."""
    facts = (event.verification_id, event.psn_no, str(event.purpose), str(event.expires_at.seconds))
    context = " ".join((event.DESCRIPTOR.full_name, *facts))
    sealed = (ring or code_ring()).decrypt(event.sealed, context.encode())
    message = sealed_pb2.SealedVerificationCode.FromString(sealed)
    return message.tel, message.code


def keyring(folder: Path) -> Path:
    """A key ring file for personal data."""
    key = base64.b64encode(bytes(range(32))).decode()
    path = folder / "keyring.json"
    keys = {"k1": {"algorithm": "AES-256-GCM", "key": key}}
    path.write_text(json.dumps({"active": "k1", "keys": keys, "blind_index_key": key}))
    return path


async def load(imports: ImportService, rows: Sequence[RegisterRow | RowRefused], batch_id: str = "") -> Taken:
    """Take rows of the register in one chunk, under a batch of their own if none is named."""
    chunk = Chunk(batch_id or uuid7().hex, 1, rows)
    return await imports.take(await imports.prepare(chunk), "test")


def registering(work: Work[Repository]) -> Registering:
    """The imported register, codes that are required, and the bounds by default."""
    return Registering(ImportedRegister(work), CodeSealer(code_ring()), Bounds(Bound(5), Bound(20)), code_required=True)


def call_as_citizen(psn_no: str | None, newcomer: str = "new:1") -> None:
    """Let the running task serve a citizen's call; None is somebody at their own first registration."""
    subject = f"psn:{psn_no}" if psn_no else newcomer
    assertion = auth.Assertion(subject, frozenset({"citizen"}), psn_no, "gongji-portal", "j1", NOW)
    _enter(auth.Principal("service", "portal"), assertion)


def call_as_operator() -> None:
    """Let the running task serve the operators' console."""
    _enter(auth.Principal("service", "operator"), None)


def call_as_registry() -> None:
    """Let the running task serve the machine feed of the register."""
    _enter(auth.Principal("service", "registry"), None)


def call_as_clerk(name: str, *roles: str) -> None:
    """Let the running task serve a clerk at the portal."""
    assertion = auth.Assertion(f"clerk:{name}", frozenset(roles), None, "gongji-portal", "j1", NOW)
    _enter(auth.Principal("service", "portal"), assertion)


def call_as_institution(fixmedins_code: str = HOSPITAL) -> None:
    """Let the running task serve an institution."""
    _enter(auth.Principal("institution", fixmedins_code), None)


def _enter(principal: auth.Principal, assertion: auth.Assertion | None) -> None:
    auth.enter(auth.CallContext("/test", principal, assertion, "request-1", auth.Deadline(5.0)))


def identity_number(brdy: date = ADULT, sequence: int = 1, region: str = "652701") -> str:
    """A number that follows the standard."""
    body = f"{region}{brdy:%Y%m%d}{sequence:03d}"
    return body + check_character(body)


def identity_card(brdy: date = ADULT, sequence: int = 1) -> Certificate:
    """An identity card."""
    return Certificate(CertificateType.IDENTITY_CARD, identity_number(brdy, sequence))


def enrolment(valid_from: date = date(2025, 1, 1), valid_to: date | None = None, **changed: Any) -> Enrolment:
    """A 310 member in normal standing, in Bole; `changed` names what is otherwise."""
    usual = Enrolment(InsuranceType.EMPLOYEE, "652701", InsuranceStatus.NORMAL, False, valid_from, valid_to)
    return replace(usual, **changed)


def person(psn_no: str = "P1", brdy: date = ADULT, sequence: int = 1, **changed: Any) -> Person:
    """An insured person who has not registered; `changed` names what is otherwise."""
    card = identity_card(brdy, sequence)
    usual = Person(psn_no, NAME, (card,), brdy, TEL, f"{CARD_SN}{sequence}", None, (enrolment(),), version=1)
    return replace(usual, **changed)


def register_row(psn_no: str = "P1", brdy: date = ADULT, sequence: int = 1, **changed: Any) -> RegisterRow:
    """What the register says of `person(psn_no, brdy, sequence)`."""
    usual = RegisterRow(psn_no, NAME, identity_card(brdy, sequence), brdy, enrolment(), TEL, f"{CARD_SN}{sequence}")
    return replace(usual, **changed)


def institution(fixmedins_code: str = HOSPITAL, **changed: Any) -> Institution:
    """A designated hospital in Bole that settles for persons insured elsewhere."""
    usual = Institution(fixmedins_code, "博乐市医院", InstitutionType.MEDICAL, "652701", (SINCE_2020,), True)
    return replace(usual, **changed)
