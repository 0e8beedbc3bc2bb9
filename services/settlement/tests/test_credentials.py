"""Which visit credentials are believed."""

import base64
import json
from datetime import date
from pathlib import Path

import pytest

from gongji.identity.v1 import institution_pb2, person_pb2, visit_pb2
from kit.signing import TokenSigner
from settlement.credentials import SignedCredentials
from settlement.domain.visit import Filed, InsuranceStatus, InsuranceType


def ring(folder: Path, name: str, secret: bytes = b"s" * 32) -> TokenSigner:
    path = folder / f"{name}.json"
    key = {"algorithm": "HMAC-SHA256", "key": base64.b64encode(secret).decode()}
    path.write_text(json.dumps({"active": "c1", "keys": {"c1": key}}))
    return TokenSigner(path)


@pytest.fixture
def signer(tmp_path: Path) -> TokenSigner:
    return ring(tmp_path, "ring")


def facts(**changes: object) -> visit_pb2.VisitFacts:
    message = visit_pb2.VisitFacts(
        jti="j1",
        psn_no="child",
        fixmedins_code="H65270100001",
        fixmedins_type=institution_pb2.INSTITUTION_TYPE_MEDICAL,
        mdtrtarea_admvs="652701",
        designated=True,
        enrolment=person_pb2.Enrolment(
            insutype=person_pb2.INSURANCE_TYPE_RESIDENT,
            insuplc_admdvs="652701",
            psn_insu_stas=person_pb2.INSURANCE_STATUS_NORMAL,
            valid_from="2025-01-01",
        ),
        filed_admdvs=["310000"],
        audience="settlement",
    )
    message.issued_at.FromJsonString("2025-06-10T02:00:00Z")
    message.expires_at.FromJsonString("2025-06-10T02:15:00Z")
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_what_identity_signed_for_settlement_is_read(signer: TokenSigner) -> None:
    read = SignedCredentials(signer).read(signer.sign(facts().SerializeToString()))
    assert read is not None
    assert (read.jti, read.psn_no, read.filed) == ("j1", "child", (Filed("310000"),))
    assert read.enrolment is not None
    assert (read.enrolment.insutype, read.enrolment.psn_insu_stas) == (InsuranceType.RESIDENT, InsuranceStatus.NORMAL)
    assert read.expires_at.isoformat() == "2025-06-10T02:15:00+00:00"


def test_a_credential_without_an_enrolment_says_that_there_is_none(signer: TokenSigner) -> None:
    message = facts()
    message.ClearField("enrolment")
    read = SignedCredentials(signer).read(signer.sign(message.SerializeToString()))
    assert read is not None
    assert read.enrolment is None


def test_one_for_another_audience_is_not_believed(signer: TokenSigner) -> None:
    assert SignedCredentials(signer).read(signer.sign(facts(audience="portal").SerializeToString())) is None


def test_one_that_another_key_signed_is_not_believed(signer: TokenSigner, tmp_path: Path) -> None:
    stranger = ring(tmp_path, "stranger", b"x" * 32)
    assert SignedCredentials(signer).read(stranger.sign(facts().SerializeToString())) is None


@pytest.mark.parametrize("token", ["", "x", "c1..", "a.b.c", "c1.AAAA.AAAA", "\u4e2d.\u6587.x"])
def test_what_is_no_token_at_all_is_not_believed(signer: TokenSigner, token: str) -> None:
    assert SignedCredentials(signer).read(token) is None


def test_a_signed_payload_that_is_no_visit_is_not_believed(signer: TokenSigner) -> None:
    assert SignedCredentials(signer).read(signer.sign(b"\xff\xff\xff")) is None


def test_codes_of_another_release_are_not_believed(signer: TokenSigner) -> None:
    unknown = facts(fixmedins_type=99)
    assert SignedCredentials(signer).read(signer.sign(unknown.SerializeToString())) is None


def test_a_changed_payload_is_not_believed(signer: TokenSigner) -> None:
    token = signer.sign(facts().SerializeToString())
    key, payload, mac = token.split(".")
    other = base64.urlsafe_b64encode(facts(psn_no="baby").SerializeToString()).rstrip(b"=").decode()
    assert SignedCredentials(signer).read(f"{key}.{other}.{mac}") is None
    assert SignedCredentials(signer).read(f"{key}.{payload}.{mac}") is not None


def test_a_credential_says_until_when_care_is_filed_and_for_whom_it_lives(signer: TokenSigner) -> None:
    message = facts(inpatient=True)
    message.filed.add(admdvs="310000", valid_to="2025-06-12")
    message.filed.add(admdvs="110000")
    read = SignedCredentials(signer).read(signer.sign(message.SerializeToString()))
    assert read is not None
    assert read.inpatient
    assert read.filed == (Filed("310000", date(2025, 6, 12)), Filed("110000"))


def test_a_credential_with_a_last_day_that_is_none_is_not_believed(signer: TokenSigner) -> None:
    message = facts()
    message.filed.add(admdvs="310000", valid_to="2025-02-30")
    assert SignedCredentials(signer).read(signer.sign(message.SerializeToString())) is None
