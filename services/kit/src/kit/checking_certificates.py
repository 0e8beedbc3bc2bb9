"""Whether certificates, keys and authorities fit together, by the clock of this computer."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from kit.certificates import issued_by, spki
from kit.checking import Finding
from kit.clock import SystemClock
from kit.config import DatabaseSettings, variable

_AUTHORITIES: Final = ("institution_ca_file", "service_ca_file", "kafka_ca_file")
_PAIRS: Final = (("tls_cert_file", "tls_key_file"), ("kafka_cert_file", "kafka_key_file"))
_SOON: Final = timedelta(days=14)
_USAGES: Final = {ExtendedKeyUsageOID.SERVER_AUTH: "a server", ExtendedKeyUsageOID.CLIENT_AUTH: "a client"}


class _Wrong(Exception):
    """Why a file is not what it is to be."""


class _Own(NamedTuple):
    """Who this process is to be."""

    spiffe_id: str
    vouched_for_by: str
    """The variable of the authority."""
    authorities: Sequence[x509.Certificate]


def certificates(settings: DatabaseSettings, service: str) -> Iterator[Finding]:
    """A line for each authority and each certificate that the settings name."""
    now = SystemClock().now()
    for name in _AUTHORITIES:
        if (path := getattr(settings, name, None)) is not None:
            yield _finding(variable(name), lambda path=path: _authority(path, now))  # type: ignore[misc]
    for name, key_name in _PAIRS:
        path, key = getattr(settings, name, None), getattr(settings, key_name, None)
        if path is not None and key is not None:
            own = _own(settings, service) if name == "tls_cert_file" else None
            yield _finding(variable(name), lambda path=path, key=key, own=own: _pair(path, key, own, now))  # type: ignore[misc]
    yield from _apart(settings)


def why_not_good_now(pem: bytes, path: Path, now: datetime) -> str:
    """Why what came out of a file is of no use at this moment; empty if it is good."""
    try:
        _life(x509.load_pem_x509_certificate(pem), path, now)
    except _Wrong as wrong:
        return str(wrong)
    return ""


def _finding(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, note=look())
    except _Wrong as wrong:
        return Finding(subject, fault=str(wrong))


def _own(settings: DatabaseSettings, service: str) -> _Own | None:
    domain, path = getattr(settings, "trust_domain", None), getattr(settings, "service_ca_file", None)
    if domain is None or path is None:
        return None
    try:
        authorities = _read(path)
    except _Wrong:
        return None  # told of the authority itself
    return _Own(f"spiffe://{domain}/service/{service}", variable("service_ca_file"), authorities)


def _authority(path: Path, now: datetime) -> str:
    found = _read(path)
    if any(not _may_sign(each) for each in found):
        raise _Wrong(f"{path} holds a certificate that is no CA's")
    # Several while one replaces another: the last to end counts.
    return _life(max(found, key=lambda each: each.not_valid_after_utc), path, now)


def _pair(path: Path, key: Path, own: _Own | None, now: datetime) -> str:
    leaf = _read(path)[0]
    if _key_of(key) != spki(leaf.public_key()):
        raise _Wrong(f"{key} is not the key of {path}")
    left = _life(leaf, path, now)
    if own is None:
        return left
    _check_own(leaf, path, own)
    return f"{own.spiffe_id}, as server {', '.join(_names(leaf)) or 'of no name'}; {left}"


def _check_own(leaf: x509.Certificate, path: Path, own: _Own) -> None:
    if not any(issued_by(leaf, each) for each in own.authorities):
        raise _Wrong(f"{path} was not issued by a CA of {own.vouched_for_by}")
    ids = _alternative(leaf, x509.UniformResourceIdentifier)
    if ids != [own.spiffe_id]:
        raise _Wrong(f"{path} is for {', '.join(ids) or 'no SPIFFE id'}; this service is {own.spiffe_id}")
    if missing := [what for usage, what in _USAGES.items() if not _may_be_used_as(leaf, usage)]:
        raise _Wrong(f"{path} may not be used as {' and '.join(missing)}")


def _apart(settings: DatabaseSettings) -> Iterator[Finding]:
    """Institutions and services have separate authorities: else one of the former could pose as one of the latter."""
    paths = [getattr(settings, name, None) for name in ("institution_ca_file", "service_ca_file")]
    try:
        keys = [{spki(each.public_key()) for each in _read(path)} for path in paths if path is not None]
    except _Wrong:
        return
    if len(keys) == 2 and keys[0] & keys[1]:  # noqa: PLR2004 - one of each
        names = " and ".join(variable(name) for name in ("institution_ca_file", "service_ca_file"))
        yield Finding("authorities", fault=f"{names} have a CA in common: an institution could pose as a service")


def _life(certificate: x509.Certificate, path: Path, now: datetime) -> str:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    good = f"good from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC"
    if now >= ends:
        raise _Wrong(f"{path} ({_whose(certificate)}) was {good}; renew it")
    if now < begins:
        raise _Wrong(f"{path} ({_whose(certificate)}) is {good}, not yet; is this computer's clock right?")
    left = ends - now
    days = "less than a day" if left.days == 0 else "1 day" if left.days == 1 else f"{left.days} days"
    return f"{days} left" + ("; renew it soon" if left < _SOON else "")


def _whose(certificate: x509.Certificate) -> str:
    ids = _alternative(certificate, x509.UniformResourceIdentifier)
    return ", ".join(ids) or certificate.subject.rfc4514_string()


def _read(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        raise _Wrong(f"{path} holds no certificate in PEM that can be read") from None


def _key_of(path: Path) -> bytes:
    try:
        return spki(serialization.load_pem_private_key(path.read_bytes(), password=None).public_key())
    except TypeError:
        raise _Wrong(f"{path} is encrypted; keys are read without a password") from None
    except (OSError, ValueError, UnsupportedAlgorithm):
        raise _Wrong(f"{path} holds no private key in PEM that can be read") from None


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _may_be_used_as(certificate: x509.Certificate, usage: x509.ObjectIdentifier) -> bool:
    try:
        return usage in certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True  # for everything


def _alternative(
    certificate: x509.Certificate,
    kind: type[x509.DNSName] | type[x509.UniformResourceIdentifier] | type[x509.IPAddress],
) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name) for name in names.get_values_for_type(kind)]


def _names(certificate: x509.Certificate) -> list[str]:
    return _alternative(certificate, x509.DNSName) + _alternative(certificate, x509.IPAddress)
