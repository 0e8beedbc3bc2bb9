"""Builders for tests: people, applications, relations and requests that are good unless a test says otherwise."""

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from binding.domain.applications import Application, Asked, Signed, Step
from binding.domain.authorizations import Outcome, OutcomeLine, OutcomeState
from binding.domain.batch import Request
from binding.domain.decision_reasons import DecisionReason, Verdict
from binding.domain.limits import Limits
from binding.domain.persons import EMPLOYEE, NORMAL, RESIDENT, Enrolment, Person
from binding.domain.relations import Relation, Relationship
from binding.pledges import shipped
from binding.repository import Repository
from binding.service.caller import SignedConsent
from kit.clock import shanghai_date
from kit.crypto import KeyRing
from kit.db import Work
from kit.ids import uuid7

FATHER, MOTHER, CHILD, GRANDMA = "P0001", "P0002", "P0003", "P0004"
APPROVING = Verdict(Step.APPROVE)
LEASE = timedelta(minutes=30)
NOON = datetime(2025, 6, 10, 4, 0, tzinfo=UTC)
"""Noon in Shanghai on 10 June 2025."""
PLEDGES = shipped("2025.1")
PLEDGE = PLEDGES.current
TODAY = date(2025, 6, 10)
_NAMES = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


def ring() -> KeyRing:
    """Keys for proofs."""
    key = base64.b64encode(b"k" * 32).decode()
    return KeyRing.from_json(
        {"active": "k1", "keys": {"k1": {"algorithm": "AES-256-GCM", "key": key}}, "blind_index_key": key}
    )


def named(name: str) -> UUID:
    """The same id for the same name."""
    return uuid5(_NAMES, name)


def enrolment(**changes: Any) -> Enrolment:
    """A normal employee's, since ever."""
    return replace(Enrolment(EMPLOYEE, "652701", NORMAL, arrears=False, **_SINCE_EVER), **changes)


_SINCE_EVER: dict[str, Any] = {"valid_from": date(2020, 1, 1), "valid_to": None, "sequence": 2}


def father(**changes: Any) -> Person:
    """A payer in good standing."""
    return replace(Person(FATHER, date(1985, 3, 2), None, (enrolment(),)), **changes)


def mother(**changes: Any) -> Person:
    """The father's wife, a payer in good standing too."""
    return replace(father(), psn_no=MOTHER, **changes)


def child(**changes: Any) -> Person:
    """Nine years old, resident insurance."""
    return replace(Person(CHILD, date(2015, 9, 1), None, (enrolment(insutype=RESIDENT),)), **changes)


def family() -> dict[str, Person]:
    """Father, mother and child."""
    return {person.psn_no: person for person in (father(), mother(), child())}


def application(**changes: Any) -> Application:
    """The father's draft for his child."""
    draft = Application(
        application_id=uuid7(),
        applicant=f"psn:{FATHER}",
        payer_psn_no=FATHER,
        beneficiary_psn_no=CHILD,
        relationship=Relationship.CHILD,
        limits=Limits(year_fen=100_000),
        valid_from=None,
        valid_to=date(2026, 12, 31),
        priority=0,
        pledge_version=PLEDGE.version,
        pledge_sha256=PLEDGE.sha256,
        created_at=NOON,
    )
    return replace(draft, **changes)


def asked(**changes: Any) -> Asked:
    """What that draft asks for."""
    draft = application(**changes)
    return Asked(**{field.name: getattr(draft, field.name) for field in fields(Asked)})


def signed(application_id: UUID, pledge_sha256: str = "") -> SignedConsent:
    """An assertion that signs an application and its pledge."""
    stated = Signed(str(application_id), pledge_sha256 or PLEDGE.sha256)
    return SignedConsent(stated, "gongji-portal", uuid7().hex, "header.claims.signature")


def relation(name: str = "father-child", **changes: Any) -> Relation:
    """Father pays for child."""
    made = Relation(
        relation_id=named(name),
        application_id=named(f"application of {name}"),
        payer_psn_no=FATHER,
        beneficiary_psn_no=CHILD,
        relationship=Relationship.CHILD,
        priority=1,
        limits=Limits(year_fen=100_000),
        valid_from=date(2025, 1, 5),
        valid_to=date(2026, 12, 31),
        approved_at=datetime(2025, 1, 5, 2, 0, tzinfo=UTC),
    )
    return replace(made, **changes)


def request(name: str = "a", need_fen: int = 10_000, *outcomes: Outcome, **changes: Any) -> Request:
    """The child's bill at noon; `occurred_at` also sets its day."""
    occurred_at = changes.pop("occurred_at", NOON)
    made = Request(named(name), CHILD, need_fen, occurred_at, shanghai_date(occurred_at), NOON, outcomes)
    return replace(made, **changes)


def outcome(name: str, state: OutcomeState, *lines: tuple[str, int], occurred_at: datetime = NOON) -> Outcome:
    """What settlement says about the authorization of that name: relations by name, amounts in fen."""
    return Outcome(
        named(name),
        state,
        CHILD,
        occurred_at,
        shanghai_date(occurred_at),
        tuple(OutcomeLine(named(relation_name), amount_fen) for relation_name, amount_fen in lines),
    )


def captured(name: str, *lines: tuple[str, int], occurred_at: datetime = NOON) -> Outcome:
    """It was paid."""
    return outcome(name, OutcomeState.CAPTURED, *lines, occurred_at=occurred_at)


def restored(name: str, *lines: tuple[str, int], occurred_at: datetime = NOON) -> Outcome:
    """It was given back."""
    return outcome(name, OutcomeState.RESTORED, *lines, occurred_at=occurred_at)


def released(name: str, occurred_at: datetime = NOON) -> Outcome:
    """Nothing was taken."""
    return outcome(name, OutcomeState.RELEASED, occurred_at=occurred_at)


def trimmed(name: str, *lines: tuple[str, int], occurred_at: datetime = NOON) -> Outcome:
    """A preview keeps only this much held."""
    return outcome(name, OutcomeState.TRIMMED, *lines, occurred_at=occurred_at)


async def have_relations(work: Work[Repository], *relations: Relation) -> None:
    """Store relations, each with the application that it came from."""
    async with work() as repository:
        await add_relations(repository, *relations)


async def add_relations(repository: Repository, *relations: Relation) -> None:
    """The same in a unit of work under way."""
    for it in relations:
        draft = application(
            application_id=it.application_id, payer_psn_no=it.payer_psn_no, beneficiary_psn_no=it.beneficiary_psn_no
        )
        await repository.add_application(draft)
        await repository.add_relation(it)


def rejecting(words: str = "") -> Verdict:
    """A rejection."""
    return Verdict(Step.REJECT, DecisionReason.RELATIONSHIP_UNPROVEN, words)


def returning(words: str = "") -> Verdict:
    """A return for correction."""
    return Verdict(Step.RETURN, DecisionReason.PROOF_UNREADABLE, words)


def png_file(width: int = 1, height: int = 1) -> bytes:
    """A whole PNG."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    image = zlib.compress(b"\x00" * (1 + width) * height)
    chunks = ((b"IHDR", header), (b"IDAT", image), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def pdf_file(padding: int = 0) -> bytes:
    """A whole PDF of one page, with this many bytes of comment in it."""
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>"
    pages = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
    return pdf_of([b"<< /Type /Catalog /Pages 2 0 R >>", pages, page], b"x" * padding)


def pdf_of(objects: Sequence[bytes], comment: bytes = b"") -> bytes:
    """A PDF with these objects, numbered from 1; the first is its catalogue."""
    body, places = b"%PDF-1.7\n%" + comment + b"\n", list[int]()
    parts = [body]
    size = len(body)
    for number, content in enumerate(objects, start=1):
        places.append(size)
        parts.append(b"%d 0 obj\n%s\nendobj\n" % (number, content))
        size += len(parts[-1])
    rows = b"".join(b"%010d 00000 n \n" % place for place in places)
    table = b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, rows)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, size)
    return b"".join(parts) + table + trailer


async def unexamined(media_type: str, content: bytes) -> bytes:
    """A check of proofs that believes everybody, for tests of something else."""
    del media_type
    return content


def jpeg_file(width: int = 8, height: int = 8) -> bytes:
    """A JPEG with every part that a whole one has."""
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 0, 63, 0) + b"\x12\x34\xff\x00\x56"
    return b"\xff\xd8\xff\xe0" + struct.pack(">H", 4) + b"JF" + frame + scan + b"\xff\xd9"
