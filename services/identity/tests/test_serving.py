"""The whole process on real PostgreSQL and Kafka, spoken to over TLS: what it answers, tells, keeps and logs."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import httpx
import pytest
from google.protobuf.message import Message

from gongji.identity.events.v1 import events_pb2
from gongji.identity.v1 import (
    institution_pb2,
    institution_pb2_grpc,
    person_pb2,
    person_pb2_grpc,
    visit_pb2,
    visit_pb2_grpc,
)
from gongji_local.certificates import TRUST_DOMAIN, CertificateFiles, Certificates
from gongji_local.clock import wait_until
from gongji_local.keys import Keys
from gongji_local.ports import free_port
from gongji_local.readiness import ask
from gongji_local.topics import create_topics
from identity.testing import ADULT, CARD_SN, CHILD, HOSPITAL, NAME, TEL, identity_number, opened
from kit.clock import SystemClock
from kit.crypto import KeyRing
from kit.errors import error_info, reason_of
from kit.events import Envelope, parse
from kit.grpc_client import IdentifyRequests, TlsFiles, secure_channel
from kit.grpc_headers import ASSERTION
from kit.kafka_client import KafkaAddress, new_consumer
from kit.signing import TokenSigner
from kit.testing import eventually

TOPIC = "identity-events-v1"
START_SECONDS = 180.0
STOP_SECONDS = 90.0
CALL_SECONDS = 15.0

pytestmark = pytest.mark.timeout(300)  # a process is started, on a machine that may be busy

SECRETS = [NAME, "买买提", TEL, CARD_SN, identity_number(), identity_number(CHILD, 2)]


@dataclass(frozen=True, slots=True)
class Running:
    """A serving process and everything needed to talk to it."""

    log: Path
    address: str
    metrics_url: str
    certificates: Certificates
    keys: Keys
    database_url: str
    bootstrap: str

    def channel(self, files: CertificateFiles) -> grpc.aio.Channel:
        tls = TlsFiles(files.cert, files.key, self.certificates.services.file)
        return secure_channel(self.address, tls, interceptors=[IdentifyRequests()])

    def citizen(self, subject: str = "psn:P1") -> list[tuple[str, str]]:
        now = SystemClock().now()
        return [(ASSERTION, self.keys.assertion(subject, ("citizen",), "identity", now))]


def settings_of(certificates: Certificates, keys: Keys, database_url: str, bootstrap: str) -> dict[str, str]:
    """What the process is told; its addresses are free ports."""
    own = certificates.service("identity")
    grpc_port = free_port(None, ())
    settings = {
        "ENVIRONMENT": "local",
        "TRUST_DOMAIN": TRUST_DOMAIN,
        "GRPC_ADDRESS": f"127.0.0.1:{grpc_port}",
        "HTTP_ADDRESS": f"127.0.0.1:{free_port(None, (grpc_port,))}",
        "TLS_CERT_FILE": own.cert,
        "TLS_KEY_FILE": own.key,
        "INSTITUTION_CA_FILE": certificates.institutions.file,
        "SERVICE_CA_FILE": certificates.services.file,
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP": bootstrap,
        "JWKS_FILE": keys.jwks(),
        "KEYRING_FILE": keys.keyring("identity"),
        "CREDENTIAL_KEYRING_FILE": keys.credential_keyring(),
        "CODE_KEYRING_FILE": keys.code_keyring(),
        "LOG_LEVEL": "DEBUG",
    }
    return {f"GONGJI_{name}": str(value) for name, value in settings.items()}


@pytest.fixture
def running(service_database: Callable[[str], str], kafka_bootstrap: str, tmp_path: Path) -> Iterator[Running]:
    """`python -m identity serve`, ended as a platform ends it."""
    create_topics(kafka_bootstrap)
    for folder in ("tls", "secrets"):
        (tmp_path / folder).mkdir()
    certificates, keys = Certificates(tmp_path / "tls"), Keys(tmp_path / "secrets")
    settings = settings_of(certificates, keys, service_database("identity"), kafka_bootstrap)
    http_port = int(settings["GONGJI_HTTP_ADDRESS"].rpartition(":")[2])
    log = tmp_path / "identity.log"
    command = [sys.executable, "-m", "identity", "serve"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=os.environ | settings, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603 - our own
    try:
        wait_until(lambda: process.poll() is not None or ask(http_port).ready, START_SECONDS)
        assert process.poll() is None, log.read_text(encoding="utf-8")
        address, database_url = settings["GONGJI_GRPC_ADDRESS"], settings["GONGJI_DATABASE_URL"]
        metrics_url = f"http://{settings['GONGJI_HTTP_ADDRESS']}/metrics"
        yield Running(log, address, metrics_url, certificates, keys, database_url, kafka_bootstrap)
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(STOP_SECONDS)
    assert status == 0, log.read_text(encoding="utf-8")


@pytest.fixture
async def office(running: Running) -> AsyncIterator[grpc.aio.Channel]:
    async with running.channel(running.certificates.service("operator")) as channel:
        yield channel


@pytest.fixture
async def portal(running: Running) -> AsyncIterator[grpc.aio.Channel]:
    async with running.channel(running.certificates.service("portal")) as channel:
        yield channel


@pytest.fixture
async def his(running: Running) -> AsyncIterator[grpc.aio.Channel]:
    async with running.channel(running.certificates.institution(HOSPITAL)) as channel:
        yield channel


async def call(method: Any, request: Message, metadata: list[tuple[str, str]] | None = None) -> Any:
    """One call, with a deadline as every call has."""
    return await method(request, timeout=CALL_SECONDS, metadata=metadata)


def insured(psn_no: str, number: str, brdy: str, card_sn: str) -> person_pb2.InsuredRow:
    return person_pb2.InsuredRow(
        psn_no=psn_no,
        psn_name=NAME,
        certificate=person_pb2.PersonCertificate(
            psn_cert_type=person_pb2.PERSON_CERTIFICATE_TYPE_IDENTITY_CARD, certno=number
        ),
        brdy=brdy,
        tel=TEL,
        card_sn=card_sn,
        enrolment=person_pb2.Enrolment(
            insutype=person_pb2.INSURANCE_TYPE_EMPLOYEE,
            insuplc_admdvs="652701",
            psn_insu_stas=person_pb2.INSURANCE_STATUS_NORMAL,
            valid_from="2020-01-01",
        ),
    )


FAMILY = [
    insured("P1", identity_number(), ADULT.isoformat(), CARD_SN),
    insured("P2", identity_number(CHILD, 2), CHILD.isoformat(), ""),
]
REFUSED = insured("P3", identity_number()[:-2] + "00", ADULT.isoformat(), "")
CLINIC = institution_pb2.Institution(
    fixmedins_code=HOSPITAL,
    fixmedins_name="博乐市医院",
    fixmedins_type=institution_pb2.INSTITUTION_TYPE_MEDICAL,
    admdvs="652701",
    designated_from="2020-01-01",
)


async def load(running: Running, office: grpc.aio.Channel) -> person_pb2.ImportInsuredResponse:
    persons: Any = person_pb2_grpc.PersonServiceStub(office)
    async with running.channel(running.certificates.service("registry")) as feed:
        institutions: Any = institution_pb2_grpc.InstitutionServiceStub(feed)
        await call(institutions.RegisterInstitution, institution_pb2.RegisterInstitutionRequest(institution=CLINIC))
    requests = [person_pb2.ImportInsuredRequest(batch_id="b1", rows=[*FAMILY, REFUSED])]
    answer: person_pb2.ImportInsuredResponse = await persons.ImportInsured(iter(requests), timeout=CALL_SECONDS)
    return answer


async def register(
    running: Running, portal: grpc.aio.Channel, row: person_pb2.InsuredRow, name: str = NAME, caller: str = "psn:P1"
) -> str:
    persons: Any = person_pb2_grpc.PersonServiceStub(portal)
    request = person_pb2.RegisterPersonRequest(psn_name=name, certificate=row.certificate)
    answer: person_pb2.RegisterPersonResponse = await call(persons.RegisterPerson, request, running.citizen(caller))
    return answer.psn_no


async def sent_code(
    running: Running, portal: grpc.aio.Channel, row: person_pb2.InsuredRow, caller: str
) -> tuple[str, str]:
    """A verification, and the code that notify would find in its event."""
    persons: Any = person_pb2_grpc.PersonServiceStub(portal)
    request = person_pb2.StartVerificationRequest(psn_name=NAME, certificate=row.certificate)
    started: person_pb2.StartVerificationResponse = await call(
        persons.StartVerification, request, running.citizen(caller)
    )
    connection = await asyncpg.connect(running.database_url)
    try:
        payload = await connection.fetchval("SELECT payload FROM outbox_event WHERE key = $1", started.verification_id)
    finally:
        await connection.close()
    ring = KeyRing.load(running.keys.code_keyring())
    return started.verification_id, opened(events_pb2.VerificationCodeIssued.FromString(payload), ring)[1]


async def register_in_person(
    running: Running, portal: grpc.aio.Channel, row: person_pb2.InsuredRow, caller: str, sent: tuple[str, str]
) -> str:
    persons: Any = person_pb2_grpc.PersonServiceStub(portal)
    verification_id, code = sent
    request = person_pb2.RegisterPersonRequest(
        psn_name=NAME, certificate=row.certificate, verification_id=verification_id, code=code
    )
    answer: person_pb2.RegisterPersonResponse = await call(persons.RegisterPerson, request, running.citizen(caller))
    return answer.psn_no


async def register_family(running: Running, portal: grpc.aio.Channel) -> list[str]:
    verification_id, code = await sent_code(running, portal, FAMILY[0], "new:1")
    parent = await register_in_person(running, portal, FAMILY[0], "new:1", (verification_id, code))
    return [parent, await register(running, portal, FAMILY[1])]


async def voucher_of(running: Running, portal: grpc.aio.Channel, psn_no: str) -> str:
    persons: Any = person_pb2_grpc.PersonServiceStub(portal)
    request = person_pb2.IssueVoucherRequest(psn_no=psn_no, lifetime_seconds=60)
    answer: person_pb2.IssueVoucherResponse = await call(persons.IssueVoucher, request, running.citizen())
    return answer.voucher


async def identify(his: grpc.aio.Channel, **shown: Any) -> visit_pb2.IdentifyResponse:
    visits: Any = visit_pb2_grpc.VisitServiceStub(his)
    answer: visit_pb2.IdentifyResponse = await call(
        visits.Identify, visit_pb2.IdentifyRequest(fixmedins_code=HOSPITAL, **shown)
    )
    return answer


async def told(running: Running, count: int) -> list[Envelope]:
    """The first events on the topic that speak of this test's process; others may have used the broker before."""
    consumer = new_consumer(KafkaAddress(running.bootstrap), "test", TOPIC, group_id=None)
    ids = await stored_ids(running)
    await consumer.start()
    try:
        found: list[Envelope] = []
        async with asyncio.timeout(4 * CALL_SECONDS):
            async for record in consumer:
                event = parse(record.headers, record.value, key=record.key, topic=record.topic)
                found += [event] if str(event.id) in ids else []
                if len(found) == count:
                    return found
        return found
    finally:
        await consumer.stop()


async def stored_ids(running: Running) -> set[str]:
    connection = await asyncpg.connect(running.database_url)
    try:
        return {str(row["event_id"]) for row in await connection.fetch("SELECT event_id FROM outbox_event")}
    finally:
        await connection.close()


async def everything_at_rest(running: Running) -> str:
    """Every column of every table as text; bytes as they are, so that plain text in them would show."""
    connection = await asyncpg.connect(running.database_url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [row for table in tables for row in await connection.fetch(f'SELECT * FROM "{table[0]}"')]  # noqa: S608 - names from the catalogue
    finally:
        await connection.close()
    values = [value for row in rows for value in row]
    return "\n".join(one.decode("utf-8", "ignore") if isinstance(one, bytes) else str(one) for one in values)


async def test_a_family_is_imported_registered_and_identified(
    running: Running, office: grpc.aio.Channel, portal: grpc.aio.Channel, his: grpc.aio.Channel
) -> None:
    imported = await load(running, office)
    assert (imported.changed_count, [one.row_number for one in imported.refused]) == (2, [3])
    assert await register_family(running, portal) == ["P1", "P2"]
    token = await voucher_of(running, portal, "P2")
    answer = await identify(his, mdtrt_cert_type=visit_pb2.VISIT_CERTIFICATE_TYPE_E_VOUCHER, mdtrt_cert_no=token)
    payload = TokenSigner(running.keys.credential_keyring()).verify(answer.visit_credential)
    facts = visit_pb2.VisitFacts.FromString(payload)
    assert (facts.psn_no, facts.designated, facts.enrolment) == ("P2", True, FAMILY[1].enrolment)

    events = await told(running, 6)
    by_key: dict[str, list[tuple[str, int | None]]] = {}
    assert sum(event.type.endswith("VerificationCodeIssued") for event in events) == 1
    for event in [one for one in events if not one.type.endswith("VerificationCodeIssued")]:
        by_key.setdefault(event.key, []).append((event.type.rpartition(".")[2], event.sequence))
    assert by_key == {
        HOSPITAL: [("InstitutionChanged", 1)],
        "P1": [("EnrolmentChanged", 1), ("PersonVerified", 2)],
        "P2": [("EnrolmentChanged", 1), ("PersonVerified", 2)],
    }


async def test_no_name_number_telephone_card_or_voucher_leaves_its_place(
    running: Running, office: grpc.aio.Channel, portal: grpc.aio.Channel, his: grpc.aio.Channel
) -> None:
    imported = await load(running, office)
    await register_family(running, portal)
    verification_id, code = await sent_code(running, portal, FAMILY[0], "new:2")
    token = await voucher_of(running, portal, "P2")
    errors = [str(imported)]
    e_voucher, id_card = visit_pb2.VISIT_CERTIFICATE_TYPE_E_VOUCHER, visit_pb2.VISIT_CERTIFICATE_TYPE_IDENTITY_CARD
    number = identity_number()
    await identify(his, mdtrt_cert_type=e_voucher, mdtrt_cert_no=token)
    await identify(his, mdtrt_cert_type=id_card, mdtrt_cert_no=number, psn_name=NAME)
    attempts = [
        register(running, portal, FAMILY[0], "买买提·别人"),
        register(running, portal, REFUSED),
        register(running, portal, FAMILY[0], NAME * 20),
        register_in_person(running, portal, FAMILY[0], "new:2", (verification_id, "ABC")),
        register_in_person(running, portal, FAMILY[0], "new:3", (verification_id, code)),
        identify(his, mdtrt_cert_type=e_voucher, mdtrt_cert_no=token[:-1] + "?"),
        identify(his, mdtrt_cert_type=e_voucher, mdtrt_cert_no=token[::-1]),
        identify(his, mdtrt_cert_type=id_card, mdtrt_cert_no=number, psn_name="买买提·别人"),
        identify(his, mdtrt_cert_type=id_card, mdtrt_cert_no=number),
    ]
    for attempt in attempts:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await attempt
        errors.append(f"{refused.value.details()} {refused.value.trailing_metadata()}")
        assert reason_of(refused.value) != "INTERNAL"
    events = "\n".join(str(event) for event in await told(running, 7))
    at_rest = await everything_at_rest(running)
    log = running.log.read_text(encoding="utf-8")
    assert log.count("VisitService/Identify") >= 6
    for place in (log, "\n".join(errors), events, at_rest):
        for secret in (*SECRETS, token, token[::-1]):
            assert secret not in place
        # Six digits are found by chance in times and ids, but not as a word of their own.
        assert not re.search(rf"(?<![\w.:-]){code}(?![\w.:-])", place)


async def test_the_process_forgets_and_makes_months_on_schedule(running: Running) -> None:
    wanted = {"forget-requests", "forget-used-assertions", "forget-attempts", "make-months"}
    async with httpx.AsyncClient() as client:

        async def done() -> bool:
            metrics = (await client.get(running.metrics_url)).text
            return set(re.findall(r'gongji_job_last_success_seconds\{job_name="([^"]+)"\} [1-9]', metrics)) == wanted

        await eventually(done, timeout_seconds=CALL_SECONDS, poll_seconds=0.05, what=f"{wanted} have run")


async def test_a_wrong_code_is_counted_although_the_call_is_refused(
    running: Running, office: grpc.aio.Channel, portal: grpc.aio.Channel
) -> None:
    await load(running, office)
    verification_id, code = await sent_code(running, portal, FAMILY[0], "new:1")
    bad = f"{(int(code) + 1) % 10**6:06}"
    told_reasons = []
    for shown in (bad, bad, code):
        try:
            told_reasons.append(await register_in_person(running, portal, FAMILY[0], "new:1", (verification_id, shown)))
        except grpc.aio.AioRpcError as refused:
            info = error_info(refused)
            told_reasons.append(f"{info.reason} {dict(info.metadata)}" if info else "")
    assert told_reasons == ["CODE_WRONG {'tries_left': '4'}", "CODE_WRONG {'tries_left': '3'}", "P1"]
