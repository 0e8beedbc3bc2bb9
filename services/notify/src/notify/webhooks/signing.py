"""Signatures by Standard Webhooks: who receives a request can tell that it is ours, whole, and not an old one."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from standardwebhooks import Webhook

SECRET_BYTES: Final = 32
_PREFIX: Final = "whsec_"


def new_secret() -> str:
    """A secret of 256 bits, as receivers' libraries take it."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed_headers(event_id: UUID, body: bytes, valid_secrets: Sequence[str], now: datetime) -> Mapping[str, str]:
    """The three headers, with a signature by each secret.

    Args:
        event_id: is the webhook-id, the same at each attempt.
        body: of the request, UTF-8.
        valid_secrets: one, or two while one replaces the other.
        now: the real time: receivers compare it with their own.
    """
    at = now.astimezone(UTC)
    text = body.decode()
    signatures = [Webhook(secret).sign(str(event_id), at, text) for secret in valid_secrets]
    return {
        "webhook-id": str(event_id),
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
