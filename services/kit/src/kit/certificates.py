"""How long certificates are still good, told on `/metrics`."""

import math
from pathlib import Path
from typing import Final

from cryptography import x509

from kit.clock import SystemClock
from kit.metrics import EVERY, Label

DAY_SECONDS: Final = 86_400.0

DAYS_LEFT: Final = EVERY.gauge(
    "gongji_certificate_days_left",
    "Days until the certificate runs out, of a file with several the first that does; below 0 it has. NaN if the file"
    " cannot be read. The file is read anew each time.",
    unit="days",
    labels=(Label("certificate", "which file", ("server", "institution-ca", "service-ca", "kafka", "kafka-ca")),),
)


def watch(certificate: str, file: Path) -> None:
    """Tell from now on how long the certificates in this file are good."""
    DAYS_LEFT.labels(certificate).set_function(lambda: days_left(file))


def days_left(file: Path) -> float:
    """Days until the first certificate in a file runs out."""
    try:
        certificates = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError):
        return math.nan
    first = min(certificate.not_valid_after_utc for certificate in certificates)
    return (first - SystemClock().now()).total_seconds() / DAY_SECONDS
