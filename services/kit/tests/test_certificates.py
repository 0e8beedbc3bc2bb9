"""How long certificates are good is told of what is in use at that moment."""

import math
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from prometheus_client import REGISTRY

from kit.certificates import days_left, watch
from kit.clock import SystemClock


def certificate(days: float) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    now = SystemClock().now()
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    ends = now + timedelta(days=days)
    built = builder.not_valid_before(min(now, ends) - timedelta(days=1)).not_valid_after(ends)
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("days", [30.0, 0.5, -2.0])
def test_days_are_counted_down_and_on_below_zero(tmp_path: Path, days: float) -> None:
    file = tmp_path / "tls.crt"
    file.write_bytes(certificate(days))
    assert days_left(file.read_bytes) == pytest.approx(days, abs=0.01)


def test_of_several_in_a_file_the_first_to_run_out_counts(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(certificate(400) + certificate(7) + certificate(90))
    assert days_left(file.read_bytes) == pytest.approx(7, abs=0.01)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_file_that_cannot_be_read_has_no_figure(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "tls.crt"
    if content is not None:
        file.write_bytes(content)
    assert math.isnan(days_left(file.read_bytes))


def test_a_renewed_certificate_shows_at_the_next_look(tmp_path: Path) -> None:
    file = tmp_path / "tls.crt"
    file.write_bytes(certificate(3))
    watch("kafka", file.read_bytes)
    labels = {"certificate": "kafka"}
    assert REGISTRY.get_sample_value("gongji_certificate_days_left", labels) == pytest.approx(3, abs=0.01)
    file.write_bytes(certificate(60))
    assert REGISTRY.get_sample_value("gongji_certificate_days_left", labels) == pytest.approx(60, abs=0.01)
