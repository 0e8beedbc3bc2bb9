"""A wrong environment is refused with everything that is wrong with it."""

import re
from pathlib import Path

import pytest
from pydantic import Field

from kit.config import ConfigurationError, DatabaseSettings, KeyRingFile, ServiceSettings, describe, load

REQUIRED = [
    "ENVIRONMENT",
    "DATABASE_URL",
    "TRUST_DOMAIN",
    "GRPC_ADDRESS",
    "HTTP_ADDRESS",
    "TLS_CERT_FILE",
    "TLS_KEY_FILE",
    "INSTITUTION_CA_FILE",
    "SERVICE_CA_FILE",
    "JWKS_FILE",
    "KAFKA_BOOTSTRAP",
]
REPOSITORY = Path(__file__).resolve().parents[3]


class BindingSettings(ServiceSettings):
    keyring_file: KeyRingFile = Field(examples=["keyring.json"])


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    files = {
        name: str(tmp_path / name.lower())
        for name in ("TLS_CERT_FILE", "TLS_KEY_FILE", "INSTITUTION_CA_FILE", "SERVICE_CA_FILE", "JWKS_FILE")
    }
    for path in files.values():
        Path(path).write_text('{"issuers": {}}')
    values = files | {
        "ENVIRONMENT": "test",
        "TRUST_DOMAIN": "gongji-test",
        "GRPC_ADDRESS": "127.0.0.1:7101",
        "HTTP_ADDRESS": "127.0.0.1:7201",
        "DATABASE_URL": "postgresql://gongji_binding:s3cret@127.0.0.1:5432/gongji_binding",
        "KAFKA_BOOTSTRAP": "127.0.0.1:9092",
    }
    return {f"GONGJI_{name}": value for name, value in values.items()}


@pytest.fixture
def production(environ: dict[str, str]) -> dict[str, str]:
    kafka = {f"GONGJI_KAFKA_{name}_FILE": environ["GONGJI_JWKS_FILE"] for name in ("CA", "CERT", "KEY")}
    return (
        environ
        | kafka
        | {
            "GONGJI_ENVIRONMENT": "production",
            "GONGJI_TRUST_DOMAIN": "gongji",
            "GONGJI_DATABASE_URL": environ["GONGJI_DATABASE_URL"] + "?sslmode=verify-full",
        }
    )


def problems(environ: dict[str, str], cls: type[DatabaseSettings] = ServiceSettings) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        load(cls, environ)
    assert all(problem.variable in str(caught.value) for problem in caught.value.problems)
    return {problem.variable: str(problem) for problem in caught.value.problems}


def test_a_complete_environment_is_taken_with_its_defaults(environ: dict[str, str]) -> None:
    settings = load(ServiceSettings, environ)
    assert settings.database_pool_size == 8
    assert settings.grpc_max_concurrent == 256
    assert settings.grpc_reflection is False
    assert settings.kafka_ca_file is None
    assert settings.tls_cert_file == Path(environ["GONGJI_TLS_CERT_FILE"])


def test_an_empty_environment_names_every_variable_that_is_needed_with_an_example() -> None:
    found = problems({})
    assert set(found) == {f"GONGJI_{name}" for name in REQUIRED}
    assert found["GONGJI_GRPC_ADDRESS"] == "GONGJI_GRPC_ADDRESS is missing (for example 127.0.0.1:7101)"


def test_a_service_can_require_what_others_may_leave_out(environ: dict[str, str]) -> None:
    assert set(problems(environ, BindingSettings)) == {"GONGJI_KEYRING_FILE"}


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("ENVIRONMENT", "staging", "'local'"),
        ("GRPC_ADDRESS", "7101", "HOST:PORT"),
        ("HTTP_ADDRESS", "127.0.0.1:70000", "HOST:PORT"),
        ("DATABASE_URL", "mysql://u:s3cret@h/db", "postgresql://"),
        ("DATABASE_URL", "postgresql://u:s3cret@h", "postgresql://"),
        ("DATABASE_POOL_SIZE", "0", "greater than or equal to 1"),
        ("DATABASE_POOL_SIZE", "many", "integer"),
        ("TLS_KEY_FILE", "/nowhere/key.pem", "/nowhere/key.pem, which is not a file"),
        ("TRUST_DOMAIN", "spiffe://x", "pattern"),
        ("TRUST_DOMAIN", "gongji", "outside production"),
        ("GRPC_REFLECTION", "perhaps", "boolean"),
        ("LOG_LEVEL", "LOUD", "'DEBUG'"),
        ("OTLP_ENDPOINT", "collector", "pattern"),
        ("KAFKA_BOOTSTRAP", "", "missing"),
        ("KAFKA_BOOTSTRAP", "abc", "HOST:PORT, several separated by commas"),
        ("KAFKA_BOOTSTRAP", "127.0.0.1:9092,b:70000", "HOST:PORT, several separated by commas"),
    ],
)
def test_a_wrong_value_is_named_and_not_repeated(environ: dict[str, str], variable: str, value: str, says: str) -> None:
    found = problems(environ | {f"GONGJI_{variable}": value})
    assert set(found) == {f"GONGJI_{variable}"}
    assert says in found[f"GONGJI_{variable}"]
    assert "s3cret" not in str(found)


@pytest.mark.parametrize("content", ["x", "{}", '{"issuers": {"portal": {}}}'])
@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("JWKS_FILE", "is not a file of assertion issuers"),
        ("KEYRING_FILE", "which is no key ring"),
        ("CREDENTIAL_KEYRING_FILE", "which is no ring of signing keys"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used_is_a_problem_like_any_other(
    environ: dict[str, str], tmp_path: Path, variable: str, says: str, content: str
) -> None:
    (tmp_path / "broken.json").write_text(content)
    broken = {f"GONGJI_{variable}": str(tmp_path / "broken.json"), "GONGJI_HTTP_ADDRESS": "nowhere"}
    found = problems(environ | broken)
    assert set(found) == {f"GONGJI_{variable}", "GONGJI_HTTP_ADDRESS"}
    assert says in found[f"GONGJI_{variable}"]
    assert "broken.json" in found[f"GONGJI_{variable}"]


def test_examples_name_the_service_that_is_asked_for() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(ServiceSettings, {}, service="settlement")
    told = str(caught.value)
    assert "postgresql://gongji_settlement:PASSWORD@127.0.0.1:5432/gongji_settlement" in told
    assert "tls/settlement.crt" in told
    assert "binding" not in told


def test_the_kafka_files_come_together_or_not_at_all(environ: dict[str, str]) -> None:
    one = {"GONGJI_KAFKA_CA_FILE": environ["GONGJI_JWKS_FILE"]}
    assert "all three or none" in problems(environ | one)["GONGJI_KAFKA_KEY_FILE"]


def test_production_is_taken_when_everything_is_encrypted(production: dict[str, str]) -> None:
    assert load(ServiceSettings, production).environment == "production"


def test_production_refuses_all_that_only_tests_need_at_once(environ: dict[str, str]) -> None:
    found = problems(environ | {"GONGJI_ENVIRONMENT": "production", "GONGJI_CLOCK_OFFSET_FILE": "offset"})
    assert set(found) == {
        "GONGJI_DATABASE_URL",
        "GONGJI_TRUST_DOMAIN",
        "GONGJI_KAFKA_CA_FILE",
        "GONGJI_KAFKA_CERT_FILE",
        "GONGJI_KAFKA_KEY_FILE",
        "GONGJI_CLOCK_OFFSET_FILE",
    }
    assert "sslmode=verify-full" in found["GONGJI_DATABASE_URL"]


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full&sslmode=disable"])
def test_production_takes_no_weaker_tls_to_the_database(production: dict[str, str], mode: str) -> None:
    url = production["GONGJI_DATABASE_URL"].replace("verify-full", mode)
    assert set(problems(production | {"GONGJI_DATABASE_URL": url})) == {"GONGJI_DATABASE_URL"}


def test_a_migration_needs_only_the_database(environ: dict[str, str]) -> None:
    needed = {key: environ[key] for key in ("GONGJI_ENVIRONMENT", "GONGJI_DATABASE_URL")}
    assert load(DatabaseSettings, needed).database_url == environ["GONGJI_DATABASE_URL"]


def test_settings_show_no_secret_wherever_they_are_printed(environ: dict[str, str]) -> None:
    settings = load(ServiceSettings, environ)
    shown = describe(settings)
    assert "GONGJI_DATABASE_URL=postgresql://gongji_binding:***@127.0.0.1:5432/gongji_binding" in shown
    assert "GONGJI_GRPC_REFLECTION=false" in shown
    assert "s3cret" not in shown + repr(settings) + str(settings)


def test_settings_do_not_read_the_machine_behind_the_callers_back(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GONGJI_DATABASE_POOL_SIZE", "3")
    assert load(ServiceSettings, environ).database_pool_size == 8
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    assert load(ServiceSettings).database_pool_size == 3


def test_no_other_place_reads_the_environment() -> None:
    reads = re.compile(r"os\.environ|getenv|from os import .*environ")
    allowed = REPOSITORY / "services/kit/src/kit/config.py"
    sources = [path for path in (REPOSITORY / "services").glob("*/src/**/*.py") if path != allowed]
    assert len(sources) > 10
    assert [str(path) for path in sources if reads.search(path.read_text(encoding="utf-8"))] == []
