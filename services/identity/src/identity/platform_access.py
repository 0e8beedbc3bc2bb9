"""The regional platform as configured, and how it knows who asks: a token or a signature of each request.

The files of both are read anew when they change.
"""

import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path

from identity.regional_platform import Authorize, Patience, RegionalPlatform, client
from identity.registration_settings import RegistrationSettings
from kit.clock import SystemClock
from kit.signing import TokenSigner

SIGNATURE = "x-gongji-signature"


def by_token(path: Path) -> Authorize:
    """`Authorization: Bearer <what the file holds>`, read at every request."""

    def authorize(_body: bytes) -> Mapping[str, str]:
        return {"authorization": f"Bearer {path.read_text(encoding='ascii').strip()}"}

    return authorize


def by_signature(keyring: Path) -> Authorize:
    """A token of `kit.signing` over time, nonce and the body's SHA-256 (hex), a line each: good for this request only.

    Time is real time, RFC 3339: the other side judges by its own clock how old a request may be.
    """
    signer = TokenSigner(keyring)

    def authorize(body: bytes) -> Mapping[str, str]:
        stated = (SystemClock().now().isoformat(), secrets.token_hex(16), hashlib.sha256(body).hexdigest())
        return {SIGNATURE: signer.sign("\n".join(stated).encode())}

    return authorize


def regional_platform(settings: RegistrationSettings) -> RegionalPlatform | None:
    """The platform that names are checked at, or None where the imported register is asked."""
    if not settings.real_name_registry_url:
        return None
    patience = Patience(
        total_seconds=settings.real_name_registry_timeout_ms / 1000,
        most_in_flight=max(1, settings.database_pool_size // 2),
    )
    token, keyring = settings.real_name_registry_token_file, settings.real_name_registry_signing_keyring_file
    authorize = by_token(token) if token else by_signature(keyring or Path())
    connections = client(patience, settings.real_name_registry_ca_file)
    return RegionalPlatform(settings.real_name_registry_url, connections, authorize, patience)
