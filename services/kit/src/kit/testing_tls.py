"""Throw-away certificate authorities for tests: real TLS, keys that exist for minutes."""

import ipaddress
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kit.clock import SystemClock
from kit.grpc_client import TlsFiles

_LIFE = timedelta(hours=12)
_LOOPBACK = ("localhost", "127.0.0.1")


class Authority:
    """A CA with its key in memory."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        usage = x509.KeyUsage(
            key_cert_sign=True,
            crl_sign=True,
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        self.certificate = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        """The CA's certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def spiffe(
        self, trust_domain: str, path: str, hosts: Sequence[str] = (), life: timedelta = _LIFE
    ) -> tuple[bytes, bytes]:
        """What `issue` gives to whom a SPIFFE id names."""
        return self.issue(path.rpartition("/")[2], [f"spiffe://{trust_domain}/{path}"], hosts, life)

    def issue(
        self, name: str, uris: Sequence[str], hosts: Sequence[str] = (), life: timedelta = _LIFE
    ) -> tuple[bytes, bytes]:
        """A certificate for both ends of TLS with these URIs and hosts, and its key, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        names += [_host(host) for host in hosts]
        usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = _builder(_name(name), self._name, key.public_key(), life).add_extension(usages, critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return certificate.public_bytes(serialization.Encoding.PEM), secret


class Pki:
    """The two CAs of one environment, and files with certificates, in `folder`."""

    def __init__(self, folder: Path, trust_domain: str = "gongji-test") -> None:
        self._folder = folder
        self._trust_domain = trust_domain
        self.institutions = Authority("institutions")
        self.services = Authority("services")
        self.institution_ca_file = self._write("institutions-ca.crt", self.institutions.pem)
        self.service_ca_file = self._write("services-ca.crt", self.services.pem)

    def institution(self, code: str) -> TlsFiles:
        """The files of an institution."""
        return self.files(self.institutions, code, [f"spiffe://{self._trust_domain}/institution/{code}"])

    def service(self, name: str) -> TlsFiles:
        """The files of a service; as a server it is `name` and loopback."""
        return self.files(self.services, name, [f"spiffe://{self._trust_domain}/service/{name}"], (name, *_LOOPBACK))

    def files(self, authority: Authority, name: str, uris: Sequence[str], hosts: Sequence[str] = ()) -> TlsFiles:
        """The files of whatever `authority` can be made to vouch for."""
        certificate, key = authority.issue(name, uris, hosts)
        return TlsFiles(self._write(f"{name}.crt", certificate), self._write(f"{name}.key", key), self.service_ca_file)

    def _write(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(content)
        return path


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta = _LIFE
) -> x509.CertificateBuilder:
    now = SystemClock().now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + life)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
