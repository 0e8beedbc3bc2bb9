"""The look into the logs finds what it is there for."""

import base64
import json
from datetime import UTC, date, datetime
from pathlib import Path

import grpc
import pytest
from support.log_lines import faults_of
from support.unlogged import Unlogged, watched

from gongji.binding.v1 import application_pb2
from gongji.identity.v1 import person_pb2, visit_pb2, visit_pb2_grpc
from gongji_local.client.persons import insured
from gongji_local.client.proofs import pdf
from gongji_local.keys import Keys

NAME, TEL, CREDENTIAL = "巴特尔", "10012345678", "c1.eyJhbGciOiJI.dGhlIHNlY3JldA"
PROOF = pdf("household register of a family that nobody else is to read about")


@pytest.fixture
def unlogged() -> Unlogged:
    made = Unlogged()
    certificate = person_pb2.PersonCertificate(certno="11010519491231002X")
    row = person_pb2.InsuredRow(psn_name=NAME, certificate=certificate, tel=TEL)
    made.see(person_pb2.ImportInsuredRequest(rows=[row]))
    made.see(visit_pb2.IdentifyResponse(visit_credential=CREDENTIAL))
    made.see(application_pb2.UploadProofRequest(chunk=PROOF))
    made.add("assertion", "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJwc24ifQ.c2lnbmF0dXJl")
    return made


def test_a_quiet_log_is_quiet(unlogged: Unlogged, tmp_path: Path) -> None:
    (tmp_path / "identity.log").write_text('{"event": "call", "principal": "institution/H65270100001"}\n')
    assert unlogged.found_in(tmp_path) == []
    assert {"certno", "psn_name", "tel", "visit_credential", "document", "assertion"} <= unlogged.kinds


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "sent to +8610012345678 by SMS"}',
        f'{{"event": "sent to {TEL}"}}',
        "ERROR: duplicate key (certno)=(11010519491231002X)",
        '{"certno": "a11010519491231002X"}',
        f'{{"event": "{NAME} was registered"}}',
        json.dumps({"event": NAME}),
        f'{{"credential": "{CREDENTIAL}"}}',
        "authorization: Bearer eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJwc24ifQ.c2lnbmF0dXJl",
        repr(PROOF),
        PROOF.decode("latin-1"),
        *(base64.b64encode(PROOF[start:]).decode() for start in range(3)),
    ],
)
def test_what_was_told_is_found(unlogged: Unlogged, tmp_path: Path, line: str) -> None:
    (tmp_path / "notify.log").write_text(f'{{"event": "call"}}\n{line}\n')
    found = unlogged.found_in(tmp_path)
    assert found
    assert all(each.startswith("notify.log: ") for each in found)


def test_what_is_found_is_not_shown(unlogged: Unlogged, tmp_path: Path) -> None:
    (tmp_path / "notify.log").write_text(f"{TEL} {NAME}")
    assert unlogged.found_in(tmp_path) == ["notify.log: psn_name 巴…", "notify.log: tel 1001…"]


@pytest.mark.parametrize("text", ["", "20250610", "张", "1*****X", "138****0000"])
def test_what_stands_in_logs_by_chance_is_not_looked_for(text: str) -> None:
    made = Unlogged()
    made.add("certno", text)
    assert made.kinds == set()


async def test_what_goes_over_a_channel_and_what_is_asserted_is_seen(tmp_path: Path) -> None:
    unlogged, person = Unlogged(), insured("苏和", date(2015, 9, 1), person_pb2.INSURANCE_TYPE_RESIDENT)
    with watched(unlogged):
        Keys(tmp_path).assertion("psn:1", ["citizen"], "identity", datetime.now(UTC))
        async with grpc.aio.secure_channel("127.0.0.1:1", grpc.ssl_channel_credentials()) as channel:
            request = visit_pb2.IdentifyRequest(mdtrt_cert_no=person.certno, psn_name=person.psn_name)
            with pytest.raises(grpc.aio.AioRpcError):
                await visit_pb2_grpc.VisitServiceStub(channel).Identify(request, timeout=5)
    assert unlogged.kinds == {"assertion", "mdtrt_cert_no", "psn_name"}


LINE = {"event": "call", "level": "info", "service": "identity", "timestamp": "2025-06-10T02:00:00Z"}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (json.dumps(LINE | {"trace_id": "a" * 32}), ""),
        (json.dumps(LINE | {"event": "started"}), ""),
        ("I1126 11:26:36.503891   26168 chttp2_transport.cc:1403] ipv4:127.0.0.1:42357: Got goaway", ""),
        (json.dumps(LINE), "call without its trace"),
        (json.dumps(LINE | {"event": "event sent to the DLQ", "trace_id": "***"}), "event sent to the DLQ without"),
        ("Traceback (most recent call last):", "is no JSON"),
        ('{"event": "call", "level": "info", "service": "identity"}', "has no timestamp"),
    ],
)
def test_a_line_of_a_service_is_json_and_has_its_trace(line: str, fault: str) -> None:
    found = [why for _, why in faults_of([line])]
    assert len(found) == bool(fault)
    assert all(why.startswith(fault) for why in found)
