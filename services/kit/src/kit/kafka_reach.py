"""Why Kafka cannot be reached, as it is said by the connection itself: Kafka's client says only that it could not."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509

from kit.clock import SystemClock
from kit.kafka_client import KafkaSettings, ssl_context

_SECONDS: Final = 5.0
_ALERT_SECONDS: Final = 1.0
# API 18 in version 0, which every broker answers: what comes back is an answer or an alert
_WHICH_VERSIONS: Final = bytes.fromhex("0000000a 0012 0000 00000001 ffff".replace(" ", ""))
_LENGTH_BYTES: Final = 4
_TLS_ALERT: Final = 0x15
_OF_OTHER_NAMES: Final = frozenset({62, 64})
"""OpenSSL's numbers for a certificate that is good and of another host name or address."""
_TLS_FILES: Final = "GONGJI_KAFKA_CA_FILE, GONGJI_KAFKA_CERT_FILE and GONGJI_KAFKA_KEY_FILE"


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Why no connection comes about."""

    why: str
    """Follows the address."""
    misfit: bool = False
    """Whether TLS and certificates do not fit, which waiting does not change; else it is away, and may come back."""


async def unreachable(settings: KafkaSettings) -> Unreachable | None:
    """Why none of the first addresses takes a connection and answers on it; None if one does."""
    addresses = settings.kafka_bootstrap.split(",")
    found = [why for each in addresses if (why := await _tried(each, settings)) is not None]
    if len(found) < len(addresses):
        return None
    return next((each for each in found if each.misfit), found[0])


def principal_of(settings: KafkaSettings) -> str:
    """Who this is to the brokers, as far as it can be known here: the subject of its certificate."""
    certificate = _certificate(settings.kafka_cert_file)
    return "ANONYMOUS" if certificate is None else certificate.subject.rfc4514_string()


async def _tried(address: str, settings: KafkaSettings) -> Unreachable | None:
    try:
        context = ssl_context(settings)
    except (OSError, ValueError) as error:  # also what ssl raises, and files that misfit
        return Unreachable(f"cannot be spoken to: {_TLS_FILES} do not go together ({_said(error)})", misfit=True)
    try:
        answered = await _answers(address, context)
        return None if answered else await _closed(address, context)
    except ssl.SSLError as error:
        return Unreachable(_of_tls(error, settings), misfit=True)
    except TimeoutError:
        return Unreachable("does not answer in time")
    except OSError as error:
        return Unreachable(f"does not answer: {_said(error)}")


async def _answers(address: str, context: ssl.SSLContext | None) -> bool:
    """Whether an answer comes; not if the connection is closed instead."""
    try:
        async with _connected(address, context) as (reader, writer):
            writer.write(_WHICH_VERSIONS)
            await writer.drain()
            first = await reader.read(_LENGTH_BYTES)
    except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
        return False
    return bool(first) and (context is not None or first[0] != _TLS_ALERT)


async def _closed(address: str, context: ssl.SSLContext | None) -> Unreachable:
    """Closed without an answer: so ends what a listener does not understand, and what a broker that ends leaves."""
    if context is None and await _speaks_tls(address):
        return Unreachable(f"wants TLS, and this service speaks plain text: set {_TLS_FILES}", misfit=True)
    if context is not None:
        await _raise_alert(address, context)
        if await _speaks_plain_text(address):
            return Unreachable("speaks plain text, and this service TLS", misfit=True)
    return Unreachable("closes the connection without a word")


async def _raise_alert(address: str, context: ssl.SSLContext) -> None:
    """Listen without a word of our own, which could cut short what a server says: in TLS 1.3 it refuses late."""
    with suppress(ConnectionError, TimeoutError):
        async with _connected(address, context, _ALERT_SECONDS) as (reader, _):
            await reader.read(1)


async def _speaks_plain_text(address: str) -> bool:
    try:
        return await _answers(address, None)
    except OSError:
        return False


async def _speaks_tls(address: str) -> bool:
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE  # nothing is told to it, and nothing believed
    try:
        async with _connected(address, anybody):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # before TLS 1.3 it wants a certificate at once
    except OSError:
        return False


@asynccontextmanager
async def _connected(
    address: str, context: ssl.SSLContext | None, seconds: float = _SECONDS
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=context)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            with suppress(OSError):  # told already
                await writer.wait_closed()


def _of_tls(error: ssl.SSLError, settings: KafkaSettings) -> str:
    reason = error.reason or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _OF_OTHER_NAMES:
            return f"shows a certificate of other names: {error.verify_message}"
        return f"shows a certificate that GONGJI_KAFKA_CA_FILE does not vouch for: {error.verify_message}"
    if "ALERT" in reason:
        return f"does not accept this service's certificate, {_own(settings)} ({reason})"
    return f"does not speak TLS: {reason}"


def _own(settings: KafkaSettings) -> str:
    certificate = _certificate(settings.kafka_cert_file)
    if certificate is None:
        return "of which there is none"
    issuer = certificate.issuer.rfc4514_string()
    ends = certificate.not_valid_after_utc
    ended = "which ended" if ends <= SystemClock().now() else "good until"
    return f"{certificate.subject.rfc4514_string()} by {issuer}, {ended} {ends:%Y-%m-%d %H:%M} UTC"


def _certificate(file: Path | None) -> x509.Certificate | None:
    try:
        return None if file is None else x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError):
        return None


def _said(error: OSError | ValueError) -> str:
    told = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return told or str(error) or type(error).__name__
