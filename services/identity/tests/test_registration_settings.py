"""Which register names are checked against is said whole, or the process does not start."""

import re
from pathlib import Path

import pytest

from identity.config import Settings
from identity.domain.attempts import Bound, Bounds
from identity.platform_access import regional_platform
from identity.testing import credential_keyring, keyring
from kit.config import ConfigurationError, load
from kit.testing_tls import Pki

REGISTRY = "REAL_NAME_REGISTRY_"
URL = {f"{REGISTRY}URL": "https://platform.example/check"}


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """The surroundings of a test's process; `{folder}` in a value is this folder."""
    file = folder / "file"
    file.write_text('{"issuers": {}}')
    (folder / "token").write_text("t" * 32)
    (folder / "ca.crt").write_bytes(Pki(folder).services.pem)
    usual = {
        "ENVIRONMENT": "test",
        "TRUST_DOMAIN": "gongji-local",
        "GRPC_ADDRESS": "127.0.0.1:0",
        "HTTP_ADDRESS": "127.0.0.1:0",
        "DATABASE_URL": "postgresql://a:b@127.0.0.1:1/c",
        "KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "KEYRING_FILE": str(keyring(folder)),
        "CREDENTIAL_KEYRING_FILE": str(credential_keyring(folder)),
        "CODE_KEYRING_FILE": str(keyring(folder)),
        **{f"{name}_FILE": str(file) for name in ("TLS_CERT", "TLS_KEY", "INSTITUTION_CA", "SERVICE_CA", "JWKS")},
    }
    return {f"GONGJI_{name}": value.format(folder=folder) for name, value in {**usual, **changes}.items()}


def refused(folder: Path, changes: dict[str, str], what: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(what)) as error:
        load(Settings, environment(folder, **changes))
    assert len(error.value.problems) == 1


async def test_without_a_platform_the_imported_register_is_asked(tmp_path: Path) -> None:
    assert regional_platform(load(Settings, environment(tmp_path))) is None


@pytest.mark.parametrize(
    "known_by",
    [
        {f"{REGISTRY}TOKEN_FILE": "{folder}/token"},
        {f"{REGISTRY}SIGNING_KEYRING_FILE": "{folder}/credential-keyring.json"},
        {f"{REGISTRY}TOKEN_FILE": "{folder}/token", f"{REGISTRY}CA_FILE": "{folder}/ca.crt"},
    ],
)
async def test_a_platform_is_asked_as_configured(tmp_path: Path, known_by: dict[str, str]) -> None:
    platform = regional_platform(load(Settings, environment(tmp_path, **URL, **known_by)))
    assert platform is not None
    await platform.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://platform.example/check",
        "platform.example/check",
        "https:///check",
        "https://user:password@platform.example/check",
        "https://platform.example/check?key=1",
        "https://platform.example/check#part",
        "ftp://platform.example/check",
    ],
)
def test_an_address_that_is_not_a_plain_https_one_is_refused(tmp_path: Path, url: str) -> None:
    changes = {f"{REGISTRY}URL": url, f"{REGISTRY}TOKEN_FILE": "{folder}/token"}
    refused(tmp_path, changes, "GONGJI_REAL_NAME_REGISTRY_URL must be https://HOST")


def test_the_platform_has_to_know_who_asks_in_one_way(tmp_path: Path) -> None:
    both = {
        f"{REGISTRY}TOKEN_FILE": "{folder}/token",
        f"{REGISTRY}SIGNING_KEYRING_FILE": "{folder}/credential-keyring.json",
    }
    for known_by in ({}, both):
        refused(tmp_path, {**URL, **known_by}, "REGISTRY_TOKEN_FILE must be set, one of them")


@pytest.mark.parametrize("name", ["CA_FILE", "TOKEN_FILE", "SIGNING_KEYRING_FILE"])
def test_what_only_a_platform_needs_is_refused_without_one(tmp_path: Path, name: str) -> None:
    refused(tmp_path, {f"{REGISTRY}{name}": "{folder}/token"}, "goes with GONGJI_REAL_NAME_REGISTRY_URL")


@pytest.mark.parametrize("content", ["", "short", "two tokens-of-sixteen", "口令" * 20, "t" * 4097])
def test_a_file_that_holds_no_token_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad").write_text(content)
    refused(tmp_path, {**URL, f"{REGISTRY}TOKEN_FILE": "{folder}/bad"}, "does not hold one token")


def test_a_code_is_required_unless_that_is_switched_off(tmp_path: Path) -> None:
    assert load(Settings, environment(tmp_path)).registration_code_required
    assert not load(Settings, environment(tmp_path, REGISTRATION_CODE_REQUIRED="false")).registration_code_required


def test_attempts_are_bounded_by_what_is_set(tmp_path: Path) -> None:
    changes = {"ATTEMPTS_PER_PERSON_AN_HOUR": "3", "ATTEMPTS_PER_CALLER_AN_HOUR": "7"}
    assert load(Settings, environment(tmp_path, **changes)).attempt_bounds == Bounds(Bound(3), Bound(7))
    assert load(Settings, environment(tmp_path)).attempt_bounds == Bounds(Bound(5), Bound(20))


@pytest.mark.parametrize("name", ["ATTEMPTS_PER_PERSON_AN_HOUR", "ATTEMPTS_PER_CALLER_AN_HOUR"])
@pytest.mark.parametrize("value", ["0", "-1", "1001", "many"])
def test_a_bound_that_bounds_nothing_is_refused(tmp_path: Path, name: str, value: str) -> None:
    refused(tmp_path, {name: value}, name)


@pytest.mark.parametrize("timeout_ms", ["99", "2901", "long"])
def test_a_check_may_not_take_longer_than_the_locks_that_wait_for_it(tmp_path: Path, timeout_ms: str) -> None:
    refused(tmp_path, {f"{REGISTRY}TIMEOUT_MS": timeout_ms}, "REGISTRY_TIMEOUT_MS")
