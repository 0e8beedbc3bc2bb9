"""A certificate that is of no use ends the process before anybody finds out by a broken connection."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from support.starting import Ground

from gongji_local.certificates import Authority
from gongji_local.clock import real_now

DAY = timedelta(days=1)


def reissued(ground: Ground, service: str, target: Path, *, begins: timedelta, ends: timedelta) -> Path:
    """The service's certificate, good for another time."""
    old = x509.load_pem_x509_certificate(ground.certificates.service(service).cert.read_bytes())
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(real_now() + begins)
        .not_valid_after(real_now() + ends)
    )
    for each in old.extensions:
        builder = builder.add_extension(each.value, critical=each.critical)
    certificate = builder.sign(ground.certificates.services.key, hashes.SHA256())
    target.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return target


def expired(ground: Ground, folder: Path) -> dict[str, str]:
    return {"TLS_CERT_FILE": str(reissued(ground, "identity", folder / "tls.crt", begins=-30 * DAY, ends=-DAY))}


def not_yet_good(ground: Ground, folder: Path) -> dict[str, str]:
    return {"TLS_CERT_FILE": str(reissued(ground, "binding", folder / "tls.crt", begins=DAY, ends=30 * DAY))}


def of_a_foreign_authority(ground: Ground, folder: Path) -> dict[str, str]:
    del ground
    return {"SERVICE_CA_FILE": str(Authority.ensure(folder, "foreign").file)}


def with_another_key(ground: Ground, folder: Path) -> dict[str, str]:
    del folder
    return {"TLS_KEY_FILE": str(ground.certificates.service("identity").key)}


@pytest.mark.parametrize(
    ("service", "spoilt", "why"),
    [
        ("identity", expired, "(spiffe://gongji-local/service/identity) was good from "),
        ("binding", not_yet_good, "not yet; is this computer's clock right?"),
        ("settlement", of_a_foreign_authority, "was not issued by a CA of GONGJI_SERVICE_CA_FILE"),
        ("notify", with_another_key, "service-identity.key is not the key of "),
    ],
)
def test_a_certificate_that_is_of_no_use_ends_it_with_status_1(
    ground: Ground, tmp_path: Path, service: str, spoilt: Callable[[Ground, Path], dict[str, str]], why: str
) -> None:
    changed = {f"GONGJI_{name}": value for name, value in spoilt(ground, tmp_path).items()}
    environment = ground.environment(service) | changed
    with ground.started(service, environment) as process:
        part, told = process.refusal(1)
    assert part == "files"
    assert told.startswith("GONGJI_TLS_CERT_FILE: ")
    assert why in told
    status, lines = ground.checked(service, environment)
    assert (status, f"✗ {told}" in lines) == (1, True)
