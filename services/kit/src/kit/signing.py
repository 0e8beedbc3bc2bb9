"""Short-lived signed tokens: a payload, the id of the key that signed it, and an HMAC over both.

A token is ``<key id>.<payload>.<mac>``, the last two in unpadded URL-safe base64. The key ring is a file that is read
again when it changes, so that keys rotate without a restart: add the new key everywhere, make it active at the
signer, remove the old one when the last token that it signed has run out.
"""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.failures import OperatorError

MIN_KEY_BYTES = 32
ALGORITHM = "HMAC-SHA256"


class SignatureInvalid(Exception):
    """The token is malformed, its key is unknown, or the signature does not match."""


class KeyRingUnusable(OperatorError):
    """The key ring's file is missing, malformed or has a weak key."""


@dataclass(frozen=True, slots=True)
class _Ring:
    active: str
    keys: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Seal:
    """What goes beside a text that is sent as it is, so that the receiver can tell who signed it."""

    key_id: str
    mac: str


class TokenSigner:
    """Signs and verifies opaque payloads with the keys of a ring file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._ring = self._current()

    def sign(self, payload: bytes) -> str:
        """A token that carries the payload, signed by the ring's active key."""
        ring = self._current()
        signed = f"{ring.active}.{_encode(payload)}"
        return f"{signed}.{_encode(_mac(ring.keys[ring.active], signed))}"

    def verify(self, token: str) -> bytes:
        """The payload of a token that one of the ring's keys signed; raises SignatureInvalid otherwise."""
        signed, _, mac = token.rpartition(".")
        key_id, _, payload = signed.partition(".")
        if not self._is_ours(key_id, signed, mac):
            raise SignatureInvalid("the token was not signed by a key of this ring")
        return _decode(payload)

    def seal(self, text: str) -> Seal:
        """A seal of the ring's active key on a text that travels apart from it."""
        ring = self._current()
        return Seal(ring.active, _encode(_mac(ring.keys[ring.active], text)))

    def check(self, seal: Seal, text: str) -> None:
        """Return if one of the ring's keys sealed this text; raises SignatureInvalid otherwise."""
        if not self._is_ours(seal.key_id, text, seal.mac):
            raise SignatureInvalid("the text was not sealed by a key of this ring")

    def _is_ours(self, key_id: str, text: str, mac: str) -> bool:
        key = self._current().keys.get(key_id)
        try:
            return key is not None and hmac.compare_digest(_encode(_mac(key, text)).encode(), mac.encode())
        except UnicodeEncodeError:  # bytes that are no UTF-8 come out of a header as half characters
            return False

    def _current(self) -> _Ring:
        try:
            stat = self._path.stat()
        except OSError as error:
            raise KeyRingUnusable(f"cannot read the key ring {self._path}: {error.strerror}") from error
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp != self._stamp:
            self._ring = _parse(self._path)
            self._stamp = stamp
        return self._ring


def _parse(path: Path) -> _Ring:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        keys = {key_id: _key(entry) for key_id, entry in document["keys"].items()}
        active = str(document["active"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise KeyRingUnusable(f"the key ring {path} is malformed: {error!r}") from error
    if active not in keys:
        raise KeyRingUnusable(f"the key ring {path} has no key named {active!r}, which it says is active")
    return _Ring(active, keys)


def _key(entry: dict[str, str]) -> bytes:
    if entry["algorithm"] != ALGORITHM:
        raise ValueError(f"algorithm must be {ALGORITHM}, not {entry['algorithm']!r}")
    key = base64.b64decode(entry["key"], validate=True)
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(f"a key has {len(key)} bytes, at least {MIN_KEY_BYTES} are needed")
    return key


def _mac(key: bytes, signed: str) -> bytes:
    return hmac.digest(key, signed.encode(), hashlib.sha256)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureInvalid("the token is not base64") from error
