"""The throw-away certificate authorities and what they vouch for.

Institutions and services have separate authorities, as in production: a service decides by the issuer which kind of
name it believes. Every certificate carries exactly one URI, the SPIFFE id.
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gongji_local.clock import real_now
from gongji_local.errors import StackError
from gongji_local.files import write_private
from gongji_local.ports import LOOPBACK

TRUST_DOMAIN: Final = "gongji-local"
LOCAL_HOSTS: Final = ("localhost", LOOPBACK)
AUTHORITY_DAYS: Final = 3650
CERTIFICATE_DAYS: Final = 365
RENEW_BEFORE: Final = timedelta(days=7)
# A virtual machine's clock may be behind the one that signed
BACKDATED: Final = timedelta(hours=1)
INSTITUTION_PATTERN: Final = re.compile(r"[A-Z0-9]{12}")
SERVICE_PATTERN: Final = re.compile(r"[a-z][a-z-]{1,62}")

_mutex: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate and its key as PEM files; the key is private to its owner."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of this state folder."""

    name: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    file: Path
    trust_domain: str = TRUST_DOMAIN

    @classmethod
    def ensure(cls, folder: Path, name: str, trust_domain: str = TRUST_DOMAIN) -> Self:
        """The authority `name` in `folder`, made on first use."""
        files = CertificateFiles(folder / f"{name}-ca.pem", folder / f"{name}-ca.key")
        with _mutex:
            if not files.cert.exists():
                _write(files, *_make_authority(f"{trust_domain} {name}"))
        certificate = x509.load_pem_x509_certificate(files.cert.read_bytes())
        key = serialization.load_pem_private_key(files.key.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise StackError(
                f"{files.key} is not the key of a throw-away authority.",
                f"Remove {folder}; `gongji-local up` makes anew.",
            )
        return cls(name, certificate, key, files.cert, trust_domain)

    def issue(
        self, spiffe_path: str, target: CertificateFiles, *, server: bool, hosts: Sequence[str] = LOCAL_HOSTS
    ) -> CertificateFiles:
        """Writes a certificate for `spiffe://<trust domain>/<spiffe_path>`; one that is still good is kept.

        A server's is good for `hosts`, names or addresses.
        """
        with _mutex:
            if not self._is_good(target):
                _write(target, *self._sign(spiffe_path, hosts if server else ()))
        return target

    def _is_good(self, files: CertificateFiles) -> bool:
        if not (files.cert.exists() and files.key.exists()):
            return False
        certificate = x509.load_pem_x509_certificate(files.cert.read_bytes())
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, InvalidSignature):
            return False  # by an authority that was here before
        return certificate.not_valid_after_utc - RENEW_BEFORE > real_now()

    def _sign(self, spiffe_path: str, hosts: Sequence[str]) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"spiffe://{self.trust_domain}/{spiffe_path}")]
        names += [_host_name(host) for host in hosts]
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])]
        builder = (
            _builder(spiffe_path.rpartition("/")[2], self.certificate.subject, key, CERTIFICATE_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.certificate.public_key()),  # type: ignore[arg-type]
                critical=False,
            )
        )
        return builder.sign(self.key, hashes.SHA256()), key


class Certificates:
    """The authorities of a state folder and the certificates they issue on demand."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.institutions = Authority.ensure(folder, "institutions")
        self.services = Authority.ensure(folder, "services")

    def institution(self, fixmedins_code: str) -> CertificateFiles:
        """The client certificate of one institution (12 characters)."""
        _refuse_unless(INSTITUTION_PATTERN, fixmedins_code, "a fixmedins_code has 12 capital letters and digits")
        target = self._files(f"institution-{fixmedins_code}")
        return self.institutions.issue(f"institution/{fixmedins_code}", target, server=False)

    def service(self, name: str) -> CertificateFiles:
        """The certificate of a service, the portal or the operators' console; it may serve and call."""
        _refuse_unless(SERVICE_PATTERN, name, "a service's name has small letters and hyphens")
        return self.services.issue(f"service/{name}", self._files(f"service-{name}"), server=True)

    @property
    def kafka(self) -> Authority:
        """Kafka's own, as in production: a service's certificate for calls opens nothing there."""
        return Authority.ensure(self._folder, "kafka")

    def kafka_user(self, name: str) -> CertificateFiles:
        """The certificate by which Kafka knows this user."""
        _refuse_unless(SERVICE_PATTERN, name, "a user of Kafka has small letters and hyphens")
        return self.kafka.issue(f"kafka/{name}", self._files(f"kafka-{name}"), server=False)

    def kafka_broker(self) -> CertificateFiles:
        """The certificate that the broker shows, to clients and to itself."""
        return self.kafka.issue("kafka/broker", self._files("kafka-broker"), server=True)

    def _files(self, stem: str) -> CertificateFiles:
        return CertificateFiles(self._folder / f"{stem}.pem", self._folder / f"{stem}.key")


def _refuse_unless(pattern: re.Pattern[str], name: str, rule: str) -> None:
    if pattern.fullmatch(name) is None:
        raise StackError(f"No certificate is made for {name!r}: {rule}.", "Correct the name.")


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _make_authority(common_name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(common_name, _subject(common_name), key, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    return builder.sign(key, hashes.SHA256()), key


def _builder(
    common_name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = real_now()
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(common_name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write(files: CertificateFiles, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """The key first: a certificate that is there always has its key."""
    encoding, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    write_private(files.key, key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, no_password))
    write_private(files.cert, certificate.public_bytes(encoding))
