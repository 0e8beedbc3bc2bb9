"""Somebody who is not registered yet is a citizen without a number, and nothing else."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest

from kit.auth import AssertionVerifier, Principal
from kit.clock import FixedClock
from kit.errors import Refusal

PORTAL = Principal("service", "portal")
NOW = datetime(2025, 6, 1, 4, 0, tzinfo=UTC)


def token(key: Any, **claims: Any) -> str:
    seconds = int(NOW.timestamp())
    stated: dict[str, Any] = {
        "iss": "gongji-portal",
        "aud": "identity",
        "sub": "new:5f2b",
        "roles": ["citizen"],
        "jti": "j-1",
        "iat": seconds,
        "exp": seconds + 300,
    }
    return jwt.encode(stated | claims, key, algorithm="EdDSA", headers={"kid": "p1"})


@pytest.fixture
def verifier(issuers_file: Path) -> AssertionVerifier:
    return AssertionVerifier(issuers_file, "identity", FixedClock(NOW))


def test_a_newcomer_is_a_citizen_without_a_number(verifier: AssertionVerifier, signing_key: Any) -> None:
    newcomer = verifier.verify(token(signing_key), PORTAL)
    assert (newcomer.subject, newcomer.psn_no, newcomer.roles) == ("new:5f2b", None, frozenset({"citizen"}))


@pytest.mark.parametrize("claims", [{"psn_no": "65000001"}, {"sub": "new:"}, {"sub": "new"}])
def test_a_newcomer_with_a_number_or_without_a_name_is_nobody(
    verifier: AssertionVerifier, signing_key: Any, claims: dict[str, Any]
) -> None:
    with pytest.raises(Refusal) as caught:
        verifier.verify(token(signing_key, **claims), PORTAL)
    assert caught.value.reason == "UNAUTHENTICATED"
