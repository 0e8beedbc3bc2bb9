"""Assertions about people: who sits behind the portal, said by an issuer that is known, for a few minutes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt

from kit.auth.issuers import ALGORITHM, Issuer, Issuers
from kit.auth.principals import Principal
from kit.clock import Clock
from kit.errors import Refusal

LONGEST_LIFE = timedelta(minutes=5)
LEEWAY = timedelta(seconds=5)
"""How far the issuer's clock may differ from ours."""
_CLAIMS = ["iss", "aud", "sub", "exp", "iat", "jti"]
_LONGEST_TOKEN = 4096


@dataclass(frozen=True, slots=True)
class Consent:
    """What the person agrees to with an assertion: this application, and the pledge of which this is the hash."""

    application_id: str
    pledge_sha256: str


@dataclass(frozen=True, slots=True)
class Assertion:
    """What an issuer says about the person behind a call."""

    subject: str
    """`psn:<psn_no>`, `new:<anything>` before somebody is registered, or `clerk:<name>`."""
    roles: frozenset[str]
    psn_no: str | None
    """The person's own number, for citizens who are registered."""
    issuer: str
    jti: str
    """Unique per assertion; with `issuer` what a use-once check goes by, until `expires_at`."""
    expires_at: datetime
    consent: Consent | None = None
    """What it signs, for the one call that needs a signature: the claim `consent`."""
    token: str = field(default="", repr=False, compare=False)
    """The assertion itself, for those who have to keep it as evidence."""


class AssertionVerifier:
    """Believes assertions of the issuers in `jwks_file` for one audience, the name of this service.

    Times in the assertion are judged by `clock`, as all of policy is, and not by PyJWT, which asks the machine.
    """

    def __init__(self, jwks_file: Path, audience: str, clock: Clock) -> None:
        self.issuers = Issuers(jwks_file)
        self._audience = audience
        self._clock = clock

    def verify(self, token: str, caller: Principal) -> Assertion:
        """The assertion in `token`, which `caller` presents.

        Raises:
            Refusal: `UNAUTHENTICATED`, in words that tell the integrator what to correct and not what was sent.
        """
        issuer, key = self._key(token)
        if str(caller) != issuer.caller:
            raise _refused("this caller may not present assertions of that issuer")
        claims = self._claims(token, issuer, key)
        expires_at = self._expiry(claims)
        roles = _roles(claims, issuer)
        psn_no = _psn_no(claims, roles)
        consent = _consent(claims)
        return Assertion(claims["sub"], roles, psn_no, issuer.name, claims["jti"], expires_at, consent, token)

    def _key(self, token: str) -> tuple[Issuer, jwt.PyJWK]:
        if len(token) > _LONGEST_TOKEN:
            raise _refused("the assertion is too long")
        try:
            unverified = jwt.decode_complete(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            raise _refused("the assertion is not a JWT") from None
        issuer = self.issuers.get(str(unverified["payload"].get("iss")))
        if issuer is None:
            raise _refused("the assertion's issuer is not known here")
        key = issuer.key(str(unverified["header"].get("kid")))
        if key is None:
            raise _refused("the assertion's key id (kid) is not one of its issuer's")
        return issuer, key

    def _claims(self, token: str, issuer: Issuer, key: jwt.PyJWK) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=issuer.name,
                options={
                    "require": _CLAIMS,
                    "strict_aud": True,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.InvalidSignatureError:
            raise _refused("the assertion's signature is not its issuer's") from None
        except jwt.InvalidAudienceError:
            raise _refused(f"the assertion is for another audience than {self._audience}") from None
        except jwt.MissingRequiredClaimError as error:
            raise _refused(f"the assertion lacks {error.claim}") from None
        except jwt.PyJWTError:
            raise _refused("the assertion is malformed") from None

    def _expiry(self, claims: Mapping[str, Any]) -> datetime:
        issued_at, expires_at = _time(claims, "iat"), _time(claims, "exp")
        not_before = _time(claims, "nbf") if "nbf" in claims else issued_at
        now = self._clock.now()
        if expires_at - issued_at > LONGEST_LIFE:
            raise _refused("the assertion lives longer than 5 minutes")
        if (begins := max(issued_at, not_before)) > now + LEEWAY:
            raise _refused(f"the assertion is not yet valid: it begins {_apart(begins, now)}")
        if expires_at <= issued_at:
            raise _refused("the assertion has expired before it was issued")
        if expires_at + LEEWAY <= now:
            raise _refused(f"the assertion has expired {_apart(expires_at, now)}")
        return expires_at


def _apart(stated: datetime, now: datetime) -> str:
    """How far from our clock, for whoever has to find out whose clock is wrong."""
    seconds = (stated - now).total_seconds()
    way = "after" if seconds > 0 else "before"
    return f"{abs(seconds):.0f} s {way} this service's present, {now:%Y-%m-%dT%H:%M:%SZ}; do the clocks differ?"


def _time(claims: Mapping[str, Any], name: str) -> datetime:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused(f"the assertion's {name} is not a time")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise _refused(f"the assertion's {name} is not a time") from None


def _roles(claims: Mapping[str, Any], issuer: Issuer) -> frozenset[str]:
    value = claims.get("roles")
    if not isinstance(value, list) or not value or not all(isinstance(role, str) for role in value):
        raise _refused("the assertion names no roles")
    roles = frozenset(value)
    if not roles <= issuer.roles:
        raise _refused("the assertion claims a role that its issuer may not give")
    return roles


def _psn_no(claims: Mapping[str, Any], roles: frozenset[str]) -> str | None:
    subject, psn_no = str(claims["sub"]), claims.get("psn_no")
    kind, _, name = subject.partition(":")
    if kind not in {"psn", "new", "clerk"} or not name or not claims["jti"]:
        raise _refused("the assertion's sub is neither psn:… nor new:… nor clerk:…, or its jti is empty")
    if psn_no is None and kind == "psn":
        raise _refused("the assertion about a citizen lacks psn_no")
    if kind == "psn" and psn_no != name:
        raise _refused("the assertion's sub and psn_no are of two persons")
    if psn_no is not None and kind == "new":
        raise _refused("somebody who is not registered yet (new:…) has no psn_no")
    if ("citizen" in roles) != (kind != "clerk"):
        raise _refused("citizens are psn:… or new:…, everybody else is clerk:…")
    if psn_no is not None and not isinstance(psn_no, str):
        raise _refused("the assertion's psn_no is not a text")
    return psn_no


def _consent(claims: Mapping[str, Any]) -> Consent | None:
    stated = claims.get("consent")
    if stated is None:
        return None
    if not isinstance(stated, dict) or set(stated) != {"application_id", "pledge_sha256"}:
        raise _refused("the assertion's consent is not {application_id, pledge_sha256}")
    if not all(isinstance(value, str) for value in stated.values()):
        raise _refused("the assertion's consent has something else than texts")
    return Consent(**stated)


def _refused(message: str) -> Refusal:
    return Refusal("UNAUTHENTICATED", message)
