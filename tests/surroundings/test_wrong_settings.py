"""A service that is told something wrong ends at once: one line names the setting, and never a secret."""

from pathlib import Path

import pytest
from support.starting import Ground

SECRET = "s3cret-of-nobody"


@pytest.mark.parametrize(
    ("service", "name", "value", "why"),
    [
        ("identity", "DATABASE_URL", "", "GONGJI_DATABASE_URL is missing"),
        (
            "binding",
            "DATABASE_URL",
            f"mysql://gongji_binding:{SECRET}@db/x",
            "GONGJI_DATABASE_URL must be postgresql://",
        ),
        ("binding", "JOBS_EVERY_SECONDS", "often", "GONGJI_JOBS_EVERY_SECONDS is not acceptable"),
        (
            "settlement",
            "BINDNG_TARGET",
            "binding:7100",
            "GONGJI_BINDNG_TARGET is no setting of this service; is",
        ),
        ("settlement", "ENVIRONMENT", "production", "GONGJI_CLOCK_OFFSET_FILE must not be set in production"),
        ("notify", "KEYRING_FILE", "/nowhere/keyring.json", "names /nowhere/keyring.json, which is not a file"),
        ("notify", "CALLBACK_ADDRESS", "127.0.0.1:7400", "GONGJI_CALLBACK_ADDRESS "),
    ],
)
def test_a_wrong_setting_ends_it_with_status_2(ground: Ground, service: str, name: str, value: str, why: str) -> None:
    environment = ground.environment(service) | {f"GONGJI_{name}": value}
    with ground.started(service, environment) as process:
        part, told = process.refusal(2)
    assert part == "settings"
    assert why in told
    assert SECRET not in process.log.read_text()


def test_a_key_that_everybody_may_read_ends_it_with_status_1(ground: Ground, tmp_path: Path) -> None:
    environment = ground.environment("identity")
    ring = tmp_path / "keyring.json"
    ring.write_text(Path(environment["GONGJI_KEYRING_FILE"]).read_text())
    ring.chmod(0o644)
    with ground.started("identity", environment | {"GONGJI_KEYRING_FILE": str(ring)}) as process:
        part, told = process.refusal(1)
    assert part == "files"
    assert f"GONGJI_KEYRING_FILE: {ring} is open to every user" in told


def test_the_check_before_a_deployment_says_the_same(ground: Ground) -> None:
    environment = ground.environment("binding") | {"GONGJI_BINDNG_AGE": "3"}
    status, lines = ground.checked("binding", environment)
    (wrong,) = (line for line in lines if line.startswith("✗"))
    assert wrong.startswith("✗ GONGJI_BINDNG_AGE: is no setting of this service")
    assert status == 1
