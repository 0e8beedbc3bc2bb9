"""The key files are what the services read, and the assertions are what they believe."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gongji_local.errors import StackError
from gongji_local.keys import Keys, default_roles
from kit.auth.assertions import AssertionVerifier
from kit.auth.principals import Principal
from kit.clock import FixedClock
from kit.crypto import KeyRing
from kit.errors import Refusal
from kit.signing import TokenSigner

NOW = datetime(2026, 5, 1, 4, 0, tzinfo=UTC)
PORTAL = Principal("service", "portal")


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def test_the_service_reads_its_key_ring(keys: Keys) -> None:
    ring = KeyRing.load(keys.keyring("identity"))
    assert ring.decrypt(ring.encrypt(b"650000", b"person"), b"person") == b"650000"


def test_no_two_services_share_a_key_ring(keys: Keys) -> None:
    sealed = KeyRing.load(keys.keyring("identity")).encrypt(b"650000", b"person")
    with pytest.raises(Exception, match=r".") as refusal:
        KeyRing.load(keys.keyring("binding")).decrypt(sealed, b"person")
    assert type(refusal.value).__module__ == "kit.crypto"


def test_the_services_read_the_credential_key_ring(keys: Keys) -> None:
    signer = TokenSigner(keys.credential_keyring())
    assert signer.verify(signer.sign(b"visit")) == b"visit"


def test_a_citizens_assertion_is_believed(keys: Keys) -> None:
    token = keys.assertion("psn:65000001", ("citizen",), "binding", NOW)
    assertion = AssertionVerifier(keys.jwks(), "binding", FixedClock(NOW)).verify(token, PORTAL)
    assert (assertion.subject, assertion.psn_no) == ("psn:65000001", "65000001")
    assert assertion.roles == {"citizen"}


def test_a_clerks_assertion_is_believed_and_no_two_are_alike(keys: Keys) -> None:
    verifier = AssertionVerifier(keys.jwks(), "binding", FixedClock(NOW))
    first, second = (
        verifier.verify(keys.assertion("clerk:wang", ("handler", "decider"), "binding", NOW), PORTAL) for _ in range(2)
    )
    assert first.roles == {"handler", "decider"}
    assert first.psn_no is None
    assert first.jti != second.jti


def test_an_assertion_is_over_after_five_minutes_of_the_services_time(keys: Keys) -> None:
    token = keys.assertion("clerk:wang", ("handler",), "binding", NOW)
    clock = FixedClock(NOW + timedelta(minutes=6))
    with pytest.raises(Refusal, match="expired"):
        AssertionVerifier(keys.jwks(), "binding", clock).verify(token, PORTAL)


def test_no_issuer_vouches_for_a_citizen_who_is_also_a_clerk(keys: Keys) -> None:
    with pytest.raises(StackError, match="No issuer vouches"):
        keys.assertion("psn:65000001", ("citizen", "handler"), "binding", NOW)


def test_what_nothing_is_said_about_acts_as_what_it_is() -> None:
    assert default_roles("psn:65000001") == ("citizen",)
    assert default_roles("clerk:wang") == ("handler",)


def test_key_files_are_private_and_stay_what_they_are(keys: Keys, tmp_path: Path) -> None:
    first = keys.jwks().read_text()
    keys.keyring("notify")
    keys.credential_keyring()
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    assert Keys(tmp_path).jwks().read_text() == first
