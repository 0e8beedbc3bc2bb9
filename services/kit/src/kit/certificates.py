"""Certificates as files: whether they fit together, who issued them, and how long they are still good."""

import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from kit.clock import SystemClock
from kit.followed import Misfit
from kit.metrics import EVERY, Label

DAY_SECONDS: Final = 86_400.0

DAYS_LEFT: Final = EVERY.gauge(
    "gongji_certificate_days_left",
    "Days until the certificate runs out, of a file with several the first that does; below 0 it has. NaN if what the"
    " file says is not in use: it cannot be read, or does not fit. The files are looked at each time.",
    unit="days",
    labels=(Label("certificate", "which", ("server", "institution-ca", "service-ca", "kafka", "kafka-ca")),),
)


_watched: Final[dict[str, Callable[[], bytes]]] = {}
_in_use: Final[dict[str, bytes]] = {}


def watch(certificate: str, content: Callable[[], bytes]) -> None:
    """Tell from now on how long this certificate is good; `content` raises `Misfit` where its file is not in use."""
    DAYS_LEFT.labels(certificate).set_function(lambda: days_left(content))
    _watched[certificate] = content
    _in_use.pop(certificate, None)


def in_use(certificate: str) -> bytes | None:
    """What is in use of a certificate that is watched; where its file is not in use, what was when it last was."""
    content = _watched.get(certificate)
    if content is not None:
        with suppress(OSError, ValueError):
            _in_use[certificate] = content()
    return _in_use.get(certificate)


def days_left(content: Callable[[], bytes]) -> float:
    """Days until the first of some certificates runs out."""
    try:
        certificates = x509.load_pem_x509_certificates(content())
    except (OSError, ValueError):
        return math.nan
    first = min(certificate.not_valid_after_utc for certificate in certificates)
    return (first - SystemClock().now()).total_seconds() / DAY_SECONDS


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether an authority issued a certificate itself."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def spki(key: PublicKeyTypes) -> bytes:
    """A public key in the one form in which keys are compared."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def read(pem: bytes, file: Path) -> list[x509.Certificate]:
    """The certificates in a file.

    Raises:
        Misfit: there is none that can be read.
    """
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise Misfit(f"{file} holds no certificate in PEM that can be read") from None


def check_pair(pem: bytes, key_pem: bytes, file: Path) -> x509.Certificate:
    """The certificate, of which this is the key and which is good today.

    Raises:
        Misfit: it is not.
    """
    leaf, now = read(pem, file)[0], SystemClock().now()
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Misfit(f"the key of {file} cannot be read") from None
    if spki(key.public_key()) != spki(leaf.public_key()):
        raise Misfit(f"{file} and its key do not belong together")
    if not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
        begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        raise Misfit(f"{file} is good from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC, which is not now")
    return leaf
