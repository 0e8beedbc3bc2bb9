"""Requests that carry a signature, in both directions between notify and a gateway.

The headers name key, time and a nonce; the seal covers them, the method, the path and the body, so that none of them
can be exchanged and a message cannot be sent back as a receipt.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_hex
from typing import Final

from kit.signing import Seal, SignatureInvalid, TokenSigner

KEY: Final = "Gongji-Key"
TIMESTAMP: Final = "Gongji-Timestamp"
NONCE: Final = "Gongji-Nonce"
SIGNATURE: Final = "Gongji-Signature"
WINDOW: Final = timedelta(minutes=5)
"""How far a request's time may be from ours; what is older may be a copy that somebody kept."""
_SCHEME: Final = "GONGJI-HMAC-SHA256"
_MOST_DIGITS: Final = 12


def signature_headers(signer: TokenSigner, path: str, body: bytes, now: datetime) -> dict[str, str]:
    """The headers of a POST to `path` with this body."""
    timestamp, nonce = str(int(now.timestamp())), token_hex(16)
    seal = signer.seal(_text(path, timestamp, nonce, body))
    return {KEY: seal.key_id, TIMESTAMP: timestamp, NONCE: nonce, SIGNATURE: seal.mac}


def require_signature(signer: TokenSigner, path: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Return if a key of the ring signed this POST within the window.

    Raises:
        SignatureInvalid: it did not, or not now.
    """
    require_present(headers.get(TIMESTAMP, ""), now)
    if not all(headers.get(name, "").isascii() for name in (KEY, NONCE, SIGNATURE)):
        raise SignatureInvalid("a header is not text that anybody signs with")  # and may not be UTF-8 at all
    seal = Seal(headers.get(KEY, ""), headers.get(SIGNATURE, ""))
    signer.check(seal, _text(path, headers[TIMESTAMP], headers.get(NONCE, ""), body))


def require_present(timestamp: str, now: datetime) -> None:
    """Return if a request's time, in seconds since 1970, is within the window around `now`.

    Raises:
        SignatureInvalid: it is not, or is no time.
    """
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _MOST_DIGITS):
        raise SignatureInvalid("the request has no time")
    if abs(now.timestamp() - int(timestamp)) > WINDOW.total_seconds():
        raise SignatureInvalid("the request's time is too far from ours")


def _text(path: str, timestamp: str, nonce: str, body: bytes) -> str:
    return "\n".join((_SCHEME, "POST", path, timestamp, nonce, sha256(body).hexdigest()))
