"""Settings are refused by name, and failpoints exist for tests only."""

from pathlib import Path

import pytest

from gongji_local.keys import Keys
from kit.config import ConfigurationError, load
from settlement.books_config import AuditSettings
from settlement.config import Settings


def test_sandbox_institutions_are_codes_by_commas_and_none_by_default(tmp_path: Path) -> None:
    assert load(Settings, environment(tmp_path)).sandbox == frozenset()
    both = environment(tmp_path, SANDBOX_INSTITUTIONS="H65279900001,P65279900002")
    assert load(Settings, both).sandbox == {"H65279900001", "P65279900002"}


@pytest.mark.parametrize("text", ["H65279900001,", "h65279900001", "H6527990000", "H65279900001 H65279900002", "*"])
def test_what_is_no_code_is_no_sandbox_institution(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="GONGJI_SANDBOX_INSTITUTIONS"):
        load(Settings, environment(tmp_path, SANDBOX_INSTITUTIONS=text))


def test_production_has_no_sandbox(tmp_path: Path) -> None:
    changes = {"ENVIRONMENT": "production", "TRUST_DOMAIN": "gongji", "SANDBOX_INSTITUTIONS": "H65279900001"}
    with pytest.raises(ConfigurationError, match="GONGJI_SANDBOX_INSTITUTIONS must be empty in production"):
        load(Settings, environment(tmp_path, **changes))


def environment(folder: Path, **changes: str) -> dict[str, str]:
    file = folder / "file"
    file.write_text("x")
    keys = Keys(folder)
    usual = {
        "ENVIRONMENT": "test",
        "TRUST_DOMAIN": "gongji-local",
        "GRPC_ADDRESS": "127.0.0.1:0",
        "HTTP_ADDRESS": "127.0.0.1:0",
        "DATABASE_URL": "postgresql://a:b@127.0.0.1:1/c",
        "KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "BINDING_TARGET": "127.0.0.1:1",
        "JWKS_FILE": str(keys.jwks()),
        "KEYRING_FILE": str(keys.keyring("settlement")),
        "CREDENTIAL_KEYRING_FILE": str(keys.credential_keyring()),
        **{f"{name}_FILE": str(file) for name in ("TLS_CERT", "TLS_KEY", "INSTITUTION_CA", "SERVICE_CA")},
    }
    return {f"GONGJI_{name}": value for name, value in {**usual, **changes}.items()}


@pytest.mark.parametrize("where", ["local", "test"])
def test_failpoints_may_be_set_where_tests_run(tmp_path: Path, where: str) -> None:
    settings = load(Settings, environment(tmp_path, ENVIRONMENT=where, FAILPOINTS="after_commit=exit"))
    assert settings.failpoints == "after_commit=exit"


def test_failpoints_are_refused_in_the_sandbox(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="FAILPOINTS must be empty"):
        load(Settings, environment(tmp_path, ENVIRONMENT="sandbox", FAILPOINTS="after_commit=exit"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("FAILPOINTS", "nowhere=pause"), ("SWEEP_AGE_SECONDS", "15"), ("PAYMENT_ORDER", "cash_first"), ("BATCH_MAX", "0")],
)
def test_a_setting_that_cannot_be_is_refused_by_name(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"GONGJI_{name}"):
        load(Settings, environment(tmp_path, **{name: value}))


def test_an_audit_asks_binding_when_it_is_told_all_that_this_takes(tmp_path: Path) -> None:
    told = load(AuditSettings, environment(tmp_path))
    assert told.binding_tls is not None
    base = {"GONGJI_ENVIRONMENT": "test", "GONGJI_DATABASE_URL": "postgresql://a:b@127.0.0.1:1/c"}
    assert load(AuditSettings, base).binding_tls is None
    with pytest.raises(ConfigurationError, match="GONGJI_BINDING_TARGET goes with GONGJI_TLS_CERT_FILE"):
        load(AuditSettings, {**base, "GONGJI_BINDING_TARGET": "127.0.0.1:1"})
