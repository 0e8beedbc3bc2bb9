"""`config --check` on the running stack: a line for each thing, a reason for each that is wrong."""

import asyncio
import re

import pytest

from gongji_local.stack import Stack

SERVICES = ("identity", "binding", "settlement", "notify")


def checked(stack: Stack, service: str, *options: str, **changed: str) -> tuple[int, list[str]]:
    """The status and the lines, with these variables changed."""
    environment = {f"GONGJI_{name}": value for name, value in changed.items()}
    done = stack.run_command(service, "config", "--check", *options, environment=environment)
    return done.returncode, done.stdout.splitlines()


async def test_what_runs_is_right(stack: Stack) -> None:
    for service in SERVICES:
        status, lines = await asyncio.to_thread(checked, stack, service)
        assert [line for line in lines if not line.startswith("✓ ")] == []
        assert status == 0
        for subject in (
            "settings",
            "GONGJI_TLS_CERT_FILE",
            "GONGJI_KEYRING_FILE",
            "PostgreSQL",
            "clock",
            "schema",
            "Kafka",
        ):
            assert any(line.startswith(f"✓ {subject}: ") for line in lines), subject
    assert any(re.fullmatch(r"✓ topic account-events-v1: \d+ partitions, READ", line) for line in lines)
    assert "✓ group notify: READ" in lines


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"KAFKA_BOOTSTRAP": "127.0.0.1:1"}, r"✗ Kafka: 127\.0\.0\.1:1 does not answer: .*"),
        (
            {"TRUST_DOMAIN": "gongji-elsewhere"},
            r"✗ GONGJI_TLS_CERT_FILE: .* this service is spiffe://gongji-elsewhere/.*",
        ),
    ],
)
async def test_one_thing_that_is_wrong_is_one_line(stack: Stack, changed: dict[str, str], told: str) -> None:
    status, lines = await asyncio.to_thread(lambda: checked(stack, "binding", **changed))
    (wrong,) = (line for line in lines if line.startswith("✗"))
    assert re.fullmatch(told, wrong)
    assert status == 1


async def test_a_wrong_password_is_one_line_that_does_not_show_it(stack: Stack) -> None:
    url = re.sub(r":[^:@/]+@", ":wr0ng@", stack.environment("binding")["GONGJI_DATABASE_URL"])
    status, lines = await asyncio.to_thread(lambda: checked(stack, "binding", DATABASE_URL=url))
    (wrong,) = (line for line in lines if line.startswith("✗"))
    assert "refuses the password of the role gongji_binding" in wrong
    assert not any("wr0ng" in line for line in lines)
    assert status == 1


async def test_offline_nobody_is_asked(stack: Stack) -> None:
    changed = {"KAFKA_BOOTSTRAP": "127.0.0.1:1", "DATABASE_URL": "postgresql://a:b@127.0.0.1:1/c"}
    status, lines = await asyncio.to_thread(lambda: checked(stack, "settlement", "--offline", **changed))
    assert status == 0
    assert {line[0] for line in lines} == {"✓"}


async def test_settings_that_are_wrong_end_it_with_status_2(stack: Stack) -> None:
    status, lines = await asyncio.to_thread(lambda: checked(stack, "notify", TLS_CERT_FILE="/nowhere.crt"))
    assert status == 2
    assert any("GONGJI_TLS_CERT_FILE names /nowhere.crt" in line for line in lines)
