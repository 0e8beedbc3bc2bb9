"""Key rings, the assertion issuers' keys, and the assertions that stand for people at the portal."""

import base64
import json
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gongji_local.errors import StackError
from gongji_local.files import write_private

KEY_BYTES: Final = 32
ASSERTION_LIFETIME: Final = timedelta(minutes=5)
CALLER: Final = "service/portal"
CITIZEN: Final = "citizen"

_mutex: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who may vouch for people, and for which roles."""

    name: str
    key_id: str
    roles: tuple[str, ...]


ISSUERS: Final = (
    Issuer("gongji-portal", "p1", (CITIZEN,)),
    Issuer("gongji-operators", "o1", ("handler", "decider", "operator", "auditor")),
)


class Keys:
    """The random keys of one state folder; each file is made on first use and private."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keyring(self, service: str) -> Path:
        """The ring that encrypts one service's personal data, with the key of its blind index."""
        return self._ensure(f"keyring-{service}.json", _json(_encrypting_ring()))

    def code_keyring(self) -> Path:
        """The ring that identity seals one-time codes with and notify opens them by."""
        return self._ensure("code-keyring.json", _json(_encrypting_ring()))

    def credential_keyring(self) -> Path:
        """The ring that identity signs visit credentials with and settlement checks them by."""
        content = {"active": "c1", "keys": {"c1": {"algorithm": "HMAC-SHA256", "key": _random_key()}}}
        return self._ensure("credential-keyring.json", _json(content))

    def jwks(self) -> Path:
        """Issuers, their roles, the caller they are bound to and their public keys."""
        issuers = {
            issuer.name: {"roles": list(issuer.roles), "caller": CALLER, "jwks": {"keys": [self._public_key(issuer)]}}
            for issuer in ISSUERS
        }
        return self._ensure("jwks.json", _json({"issuers": issuers}))

    def assertion(
        self,
        subject: str,
        roles: Sequence[str],
        audience: str,
        now: datetime,
        consent: Mapping[str, str] | None = None,
        *,
        psn_no: str = "",
    ) -> str:
        """A signed statement that `subject` (`psn:…` or `clerk:…`) acts in `roles` towards one service.

        It is good for five minutes from `now`, the services' present. `consent` is what the person agrees to with it;
        `psn_no` is a clerk's own person number, if it is to be known (a person's is in the subject).
        """
        issuer = _issuer_of(roles)
        claims: dict[str, Any] = {
            "iss": issuer.name,
            "aud": audience,
            "sub": subject,
            "roles": list(roles),
            "jti": str(uuid4()),
            "iat": now,
            "exp": now + ASSERTION_LIFETIME,
        }
        kind, _colon, person = subject.partition(":")
        if own := person if kind == "psn" else psn_no:
            claims["psn_no"] = own
        if consent:
            claims["consent"] = dict(consent)
        return jwt.encode(claims, self._private_key(issuer), algorithm="EdDSA", headers={"kid": issuer.key_id})

    def _private_key(self, issuer: Issuer) -> Ed25519PrivateKey:
        path = self._ensure(f"issuer-{issuer.name}.pem", _new_signing_key())
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise StackError(
                f"{path} is not an Ed25519 key.", "Run `gongji-local down --wipe`, then `gongji-local up`."
            )
        return key

    def _public_key(self, issuer: Issuer) -> dict[str, str]:
        raw = self._private_key(issuer).public_key().public_bytes_raw()
        x = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        return {"kty": "OKP", "crv": "Ed25519", "kid": issuer.key_id, "use": "sig", "alg": "EdDSA", "x": x}

    def _ensure(self, name: str, content: str | bytes) -> Path:
        path = self._folder / name
        with _mutex:
            if not path.exists():
                write_private(path, content)
        return path


def default_roles(subject: str) -> tuple[str, ...]:
    """What somebody acts as when nothing else is said: a person as a citizen, a clerk as a handler."""
    return (CITIZEN,) if subject.startswith("psn:") else ("handler",)


def _issuer_of(roles: Sequence[str]) -> Issuer:
    found = next((issuer for issuer in ISSUERS if roles and set(roles) <= set(issuer.roles)), None)
    if found is None:
        allowed = "; ".join(f"{issuer.name}: {', '.join(issuer.roles)}" for issuer in ISSUERS)
        raise StackError(f"No issuer vouches for the roles {', '.join(roles) or '(none)'}.", f"Choose from {allowed}.")
    return found


def _new_signing_key() -> bytes:
    encoding, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    return Ed25519PrivateKey.generate().private_bytes(encoding, serialization.PrivateFormat.PKCS8, no_password)


def _encrypting_ring() -> dict[str, object]:
    return {
        "active": "k1",
        "keys": {"k1": {"algorithm": "AES-256-GCM", "key": _random_key()}},
        "blind_index_key": _random_key(),
    }


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def _json(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
