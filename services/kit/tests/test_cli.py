"""The commands that every service has."""

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import typer
from aiokafka.errors import KafkaConnectionError  # type: ignore[import-untyped]
from typer.testing import CliRunner

from kit import cli, migrate, migrate_waiting
from kit.config import ConsumerSettings, DatabaseSettings, ServiceSettings
from kit.dlq_cli import DeadLetterTools
from kit.failures import OperatorError
from kit.testing_tls import Pki

RUNNER = CliRunner()


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    issuers = tmp_path / "issuers.json"
    issuers.write_text('{"issuers": {}}')
    pki = Pki(tmp_path)
    own = pki.service("binding")
    own.key.chmod(0o600)
    values = {
        "ENVIRONMENT": "test",
        "TRUST_DOMAIN": "gongji-test",
        "GRPC_ADDRESS": "127.0.0.1:7101",
        "HTTP_ADDRESS": "127.0.0.1:7201",
        "DATABASE_URL": "postgresql://gongji_binding:s3cret@127.0.0.1:5432/gongji_binding",
        "KAFKA_BOOTSTRAP": "127.0.0.1:9092",
        "TLS_CERT_FILE": str(own.cert),
        "TLS_KEY_FILE": str(own.key),
        "INSTITUTION_CA_FILE": str(pki.institution_ca_file),
        "SERVICE_CA_FILE": str(pki.service_ca_file),
        "JWKS_FILE": str(issuers),
    }
    for name, value in values.items():
        monkeypatch.setenv(f"GONGJI_{name}", value)


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = before


def serve(settings: ServiceSettings) -> int:
    typer.echo(f"serving on {settings.grpc_address}")
    return 3


def audit(settings: DatabaseSettings) -> int:
    """Recompute every invariant."""
    typer.echo(f"audited with {settings.database_pool_size}")
    return 0


def app(**more: object) -> typer.Typer:
    extra = {"audit": cli.Task(DatabaseSettings, audit)}
    return cli.service_cli("binding", ServiceSettings, serve, Path("migrations"), extra, **more)  # type: ignore[arg-type]


DEAD_LETTERS = DeadLetterTools(ConsumerSettings, {"t": ["t-v1", "u-v1"], "t-other": ["u-v1"]}, lambda *_: {})


@pytest.mark.usefixtures("environ")
def test_serve_ends_with_the_status_that_serving_ended_with() -> None:
    result = RUNNER.invoke(app(), ["serve"])
    assert (result.exit_code, result.output) == (3, "serving on 127.0.0.1:7101\n")


@pytest.mark.usefixtures("environ")
def test_config_prints_the_effective_settings_without_secrets() -> None:
    result = RUNNER.invoke(app(), ["config"])
    assert result.exit_code == 0
    assert "GONGJI_GRPC_MAX_CONCURRENT=256" in result.output
    assert "s3cret" not in result.output


@pytest.mark.parametrize("command", ["config", "migrate", "audit"])
def test_a_wrong_environment_ends_every_command_with_status_2_and_all_problems(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ENVIRONMENT", "DATABASE_URL"):
        monkeypatch.delenv(f"GONGJI_{name}", raising=False)
    result = RUNNER.invoke(app(), [command])
    assert result.exit_code == 2
    assert "GONGJI_ENVIRONMENT is missing" in result.stderr
    assert "GONGJI_DATABASE_URL is missing" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("environ")
def test_a_service_adds_its_own_commands_with_their_help() -> None:
    assert RUNNER.invoke(app(), ["audit"]).output == "audited with 8\n"
    assert "Recompute every invariant." in RUNNER.invoke(app(), ["--help"]).output


def test_only_consumers_have_dead_letters() -> None:
    assert RUNNER.invoke(app(), ["dlq", "list"]).exit_code == 2
    result = RUNNER.invoke(app(dead_letters=DEAD_LETTERS), ["dlq", "--help"])
    assert result.exit_code == 0
    assert all(command in result.output for command in ("list", "show", "replay", "drop"))


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize(
    ("found", "output"), [(["0001", "0002"], "applied 0001\napplied 0002\n"), ([], "up to date\n")]
)
def test_migrate_tells_what_it_applied(found: list[str], output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Path]] = []

    def apply(url: str, folder: Path) -> list[str]:
        asked.append((url, folder))
        return found

    monkeypatch.setattr(migrate, "migrate", apply)
    result = RUNNER.invoke(app(), ["migrate"])
    assert (result.exit_code, result.output) == (0, output)
    assert asked == [("postgresql://gongji_binding:s3cret@127.0.0.1:5432/gongji_binding", Path("migrations"))]


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize(("found", "status"), [(["0002"], 1), ([], 0)])
def test_migrate_check_changes_nothing_and_tells_by_its_status(
    found: list[str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "pending", lambda _url, _folder: found)
    monkeypatch.delattr(migrate, "migrate")
    assert RUNNER.invoke(app(), ["migrate", "--check"]).exit_code == status


@pytest.mark.parametrize("topic", ["nonsense", "t-v1-dlq", ""])
@pytest.mark.parametrize("command", [["show", "TOPIC", "0"], ["replay", "TOPIC", "--all", "--by", "me"]])
def test_a_topic_that_is_not_consumed_is_refused_before_anything_is_asked_for(command: list[str], topic: str) -> None:
    arguments = [topic if word == "TOPIC" else word for word in command]
    result = RUNNER.invoke(app(dead_letters=DEAD_LETTERS), ["dlq", *arguments], env={"GONGJI_ENVIRONMENT": ""})
    assert result.exit_code == 2
    assert result.stderr == f"✗ binding does not consume {topic}. Name one of those that it does: t-v1, u-v1.\n"


@pytest.mark.parametrize(
    "command",
    [
        ["show", "t-v1", "x"],
        ["show", "t-v1", "1:2:3"],
        ["show", "t-v1", "٣"],
        ["replay", "t-v1", "--by", "me"],
        ["replay", "t-v1", "3", "--all", "--by", "me"],
        ["replay", "t-v1", "--all"],
        ["replay", "t-v1", "--all", "--by", " "],
        ["replay", "t-v1", "--all", "--by", "me", "--limit", "0"],
        ["replay", "t-v1", "--all", "--by", "me", "--limit", "1001"],
        ["drop", "t-v1", "3", "--by", "me"],
        ["drop", "t-v1", "3", "--by", "me", "--reason", "  x "],
        ["drop", "t-v1", "3", "--by", "me", "--reason", "x" * 501],
        ["drop", "t-v1", "3", "--by", "m" * 101, "--reason", "a double"],
        ["drop", "t-v1", "3", "--by", "m\x1b[31m", "--reason", "a double"],
        ["drop", "t-v1", "--all", "--by", "me", "--reason", "a double"],
    ],
)
@pytest.mark.usefixtures("environ")
def test_what_is_to_be_done_with_which_letter_by_whom_and_why_is_asked_for(command: list[str]) -> None:
    result = RUNNER.invoke(app(dead_letters=DEAD_LETTERS), ["dlq", *command])
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        (["audit"], {"ENVIRONMENT", "DATABASE_URL"}),
        (["migrate"], {"ENVIRONMENT", "DATABASE_URL"}),
        (["dlq", "list"], {"ENVIRONMENT", "DATABASE_URL", "KAFKA_BOOTSTRAP"}),
        (["dlq", "replay", "t-v1", "--all", "--by", "me"], {"ENVIRONMENT", "DATABASE_URL", "KAFKA_BOOTSTRAP"}),
    ],
)
def test_a_command_demands_only_the_settings_that_it_uses(
    command: list[str], needed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in os.environ:
        if name.startswith("GONGJI_"):
            monkeypatch.delenv(name)
    result = RUNNER.invoke(app(dead_letters=DEAD_LETTERS), command)
    assert result.exit_code == 2
    assert set(re.findall(r"GONGJI_(\w+) is missing", result.stderr)) == needed
    assert "gongji-local env binding" in result.stderr


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConnectionRefusedError(), "✗ PostgreSQL at 127.0.0.1:5432 does not answer (connection refused). Start it, or"),
        (KafkaConnectionError(), "✗ Kafka at 127.0.0.1:9092 does not answer. Start it, or correct GONGJI_KAFKA_BOO"),
        (OperatorError("The books are locked. Unlock them."), "✗ The books are locked. Unlock them.\n"),
    ],
)
def test_a_failure_of_the_surroundings_is_one_sentence_and_status_1(error: Exception, sentence: str) -> None:
    def fail(_settings: ServiceSettings) -> int:
        """Fail."""
        raise error

    tasks = {"fail": cli.Task(ServiceSettings, fail)}
    result = RUNNER.invoke(cli.service_cli("binding", ServiceSettings, serve, Path("migrations"), tasks), ["fail"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(sentence)
    assert result.stderr.count("\n") == 1
    assert "s3cret" not in result.output


@pytest.mark.usefixtures("environ")
def test_migrate_without_a_database_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    (tmp_path / "versions").mkdir()
    service = cli.service_cli("binding", ServiceSettings, serve, tmp_path)
    monkeypatch.setenv("GONGJI_DATABASE_URL", f"postgresql://gongji_binding:s3cret@127.0.0.1:{unused_tcp_port}/x")
    for command in (["migrate"], ["migrate", "--check"]):
        result = RUNNER.invoke(service, command)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert f"PostgreSQL at 127.0.0.1:{unused_tcp_port} does not answer (connection refused)" in result.stderr


@pytest.mark.usefixtures("environ")
def test_a_fault_of_the_program_passes_on() -> None:
    def fail(_settings: ServiceSettings) -> int:
        raise KeyError("bug")

    result = RUNNER.invoke(cli.service_cli("binding", ServiceSettings, fail, Path("migrations")), ["serve"])
    assert isinstance(result.exception, KeyError)


def test_without_a_command_the_help_is_shown() -> None:
    result = RUNNER.invoke(app(), [])
    for command in ("serve", "migrate", "config", "audit"):
        assert command in result.output


def test_what_fails_unforeseen_is_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["binding", "boom"])
    broken = app()

    @broken.command("boom")
    def boom() -> None:
        raise ConnectionError("gone")

    with pytest.raises(SystemExit) as caught:
        cli.main(broken)
    assert caught.value.code == 1


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["raise-epoch", "--by", "wang"], "--reason"),
        (["raise-epoch", "--reason", "restored"], "--by"),
        (["raise-epoch", "--by", " ", "--reason", "restored"], "--by"),
        (["raise-epoch", "--by", "wang", "--reason", "no"], "--reason"),
        (["raise-epoch", "--by", "wang", "--reason", "a\nb\nc"], "--reason"),
        (["republish", "--by", "wang"], "--since"),
        (["republish", "--since", "2026-05-01T12:00:00+08:00"], "--by"),
        (["republish", "--by", "wang", "--since", "2026-05-01T12:00:00"], "--since"),
        (["republish", "--by", "wang", "--since", "yesterday"], "--since"),
        (["republish", "--by", "wang", "--since", "2026-05-01T12:00:00Z", "--until", "2026-05-01"], "--until"),
        (["republish", "--by", "wang", "--since", "2026-05-01T12:00:00Z", "--topic", "nothing-v1"], "--topic"),
    ],
)
@pytest.mark.usefixtures("environ")
def test_what_is_done_after_a_restore_says_who_and_when_without_doubt(arguments: list[str], what: str) -> None:
    result = RUNNER.invoke(app(), arguments)
    assert result.exit_code == 2
    assert what in re.sub(r"\x1b\[[0-9;]*m", "", result.output)


@pytest.mark.usefixtures("environ")
def test_migrate_check_waits_until_somebody_has_applied_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [["0002 b"], ["0002 b"], ["0003 c"], []]
    monkeypatch.setattr(migrate, "pending", lambda _url, _folder: answers.pop(0))
    monkeypatch.setattr(migrate_waiting, "LOOK_EVERY_SECONDS", 0.0)
    result = RUNNER.invoke(app(), ["migrate", "--check", "--wait", "60"])
    waited = ["waiting for the migration 0002 b", "waiting for the migration 0003 c"]
    assert (result.exit_code, result.output.splitlines()) == (0, [*waited, "up to date"])


@pytest.mark.usefixtures("environ")
def test_migrations_that_cannot_be_applied_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def pending(_url: str, _folder: Path) -> list[str]:
        raise migrate.MigrationError("several newest revisions: 0002, 0003")

    monkeypatch.setattr(migrate, "pending", pending)
    result = RUNNER.invoke(app(), ["migrate", "--check", "--wait", "60"])
    assert (result.exit_code, result.stderr) == (1, "✗ several newest revisions: 0002, 0003\n")


@pytest.mark.usefixtures("environ")
def test_waiting_without_check_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(migrate, "migrate")
    assert RUNNER.invoke(app(), ["migrate", "--wait", "60"]).exit_code == 2
