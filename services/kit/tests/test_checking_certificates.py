"""What is wrong with certificates is said before a server or a client finds out."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kit import checking_certificates
from kit.checking import Finding
from kit.checking_certificates import certificates
from kit.config import ServiceSettings
from kit.testing_tls import Authority, Pki

DOMAIN = "gongji-test"
OWN = f"spiffe://{DOMAIN}/service/binding"


class Files:
    """The files of a service that are right, to be made wrong one by one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pki = Pki(folder, DOMAIN)
        files = self.pki.service("binding")
        self.settings: dict[str, Any] = {
            "trust_domain": DOMAIN,
            "institution_ca_file": self.pki.institution_ca_file,
            "service_ca_file": self.pki.service_ca_file,
            "tls_cert_file": files.cert,
            "tls_key_file": files.key,
        }

    def findings(self) -> list[Finding]:
        return list(certificates(ServiceSettings.model_construct(**self.settings), "binding"))

    def faults(self) -> dict[str, str]:
        return {each.subject: each.fault for each in self.findings() if each.fault}

    def write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_what_fits_together_is_told_with_its_days(files: Files) -> None:
    assert [str(each) for each in files.findings()] == [
        "✓ GONGJI_INSTITUTION_CA_FILE: less than a day left; renew it soon",
        "✓ GONGJI_SERVICE_CA_FILE: less than a day left; renew it soon",
        f"✓ GONGJI_TLS_CERT_FILE: {OWN}, as server binding, localhost, 127.0.0.1; less than a day left; renew it soon",
    ]


def of_another_name(files: Files) -> str:
    other = files.pki.service("notify")
    files.settings |= {"tls_cert_file": other.cert, "tls_key_file": other.key}
    return f"is for spiffe://{DOMAIN}/service/notify; this service is {OWN}"


def of_another_domain(files: Files) -> str:
    files.settings["trust_domain"] = "gongji-sandbox"
    return "this service is spiffe://gongji-sandbox/service/binding"


def without_id(files: Files) -> str:
    other = files.pki.files(files.pki.services, "nobody", [])
    files.settings |= {"tls_cert_file": other.cert, "tls_key_file": other.key}
    return "is for no SPIFFE id"


def with_two_ids(files: Files) -> str:
    other = files.pki.files(files.pki.services, "both", [OWN, f"spiffe://{DOMAIN}/service/notify"])
    files.settings |= {"tls_cert_file": other.cert, "tls_key_file": other.key}
    return f"is for {OWN}, spiffe://{DOMAIN}/service/notify"


def by_the_other_authority(files: Files) -> str:
    other = files.pki.files(files.pki.institutions, "posing", [OWN])
    files.settings |= {"tls_cert_file": other.cert, "tls_key_file": other.key}
    return "was not issued by a CA of GONGJI_SERVICE_CA_FILE"


def with_another_key(files: Files) -> str:
    files.settings["tls_key_file"] = files.pki.service("notify").key
    return "is not the key of"


def with_an_encrypted_key(files: Files) -> str:
    encrypted = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    files.settings["tls_key_file"] = files.write("encrypted.key", encrypted)
    return "is encrypted"


def with_no_key(files: Files) -> str:
    files.settings["tls_key_file"] = files.write("empty.key", b"nothing")
    return "holds no private key in PEM"


def with_no_certificate(files: Files) -> str:
    files.settings["tls_cert_file"] = files.write("empty.crt", b"nothing")
    return "holds no certificate in PEM"


@pytest.mark.parametrize(
    "spoil",
    [
        of_another_name,
        of_another_domain,
        without_id,
        with_two_ids,
        by_the_other_authority,
        with_another_key,
        with_an_encrypted_key,
        with_no_key,
        with_no_certificate,
    ],
)
def test_a_certificate_that_does_not_fit_is_told(files: Files, spoil: Callable[[Files], str]) -> None:
    why = spoil(files)
    faults = files.faults()
    assert list(faults) == ["GONGJI_TLS_CERT_FILE"]
    assert why in faults["GONGJI_TLS_CERT_FILE"]


@pytest.mark.parametrize(
    ("moved", "why"),
    [
        (timedelta(days=1), r" was good from .* to .* UTC; renew it"),
        (timedelta(days=-1), "not yet; is this computer's clock"),
    ],
)
def test_what_ended_or_has_not_begun_is_told(
    files: Files, monkeypatch: pytest.MonkeyPatch, moved: timedelta, why: str
) -> None:
    class Clock:
        def now(self) -> datetime:
            return datetime.now(UTC) + moved

    monkeypatch.setattr(checking_certificates, "SystemClock", Clock)
    faults = files.faults()
    assert len(faults) == 3
    assert all(re.search(why, fault) for fault in faults.values())
    assert f"binding.crt ({OWN}) " in faults["GONGJI_TLS_CERT_FILE"]
    assert "services-ca.crt (CN=services) " in faults["GONGJI_SERVICE_CA_FILE"]


def test_an_authority_that_may_not_sign_is_told(files: Files) -> None:
    files.settings["institution_ca_file"] = files.settings["tls_cert_file"]
    assert "no CA's" in files.faults()["GONGJI_INSTITUTION_CA_FILE"]


def test_several_authorities_are_taken_while_one_replaces_another(files: Files) -> None:
    both = files.pki.institutions.pem + Authority("next").pem
    files.settings["institution_ca_file"] = files.write("both.crt", both)
    assert files.faults() == {}


def test_one_authority_for_institutions_and_services_is_told(files: Files) -> None:
    files.settings["institution_ca_file"] = files.settings["service_ca_file"]
    assert "could pose as a service" in files.faults()["authorities"]


def test_kafkas_key_must_fit_whoever_issued_its_certificate(files: Files) -> None:
    other = files.pki.files(files.pki.institutions, "kafka-client", [])
    files.settings |= {"kafka_ca_file": files.settings["service_ca_file"], "kafka_cert_file": other.cert}
    files.settings["kafka_key_file"] = other.key
    assert files.faults() == {}
    files.settings["kafka_key_file"] = files.settings["tls_key_file"]
    assert "is not the key of" in files.faults()["GONGJI_KAFKA_CERT_FILE"]


def test_a_finding_is_one_line() -> None:
    right = Finding("clock", note="as the database's")
    assert (str(right), str(replace(right, fault="60 s behind"))) == (
        "✓ clock: as the database's",
        "✗ clock: 60 s behind",
    )
    assert str(Finding("clock")) == "✓ clock"
