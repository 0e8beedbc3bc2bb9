"""What keeps a process from serving is one line of its log, and the exit status."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from kit.config import DatabaseSettings, ServiceSettings
from kit.failures import OperatorError
from kit.serving import served
from kit.testing_tls import Pki

DOMAIN = "gongji-test"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = before


class Start:
    """One start in surroundings that are right, but for what a test makes wrong."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, output: pytest.CaptureFixture[str]) -> None:
        self.pki = Pki(folder, DOMAIN)
        self.own = self.pki.service("binding")
        self.own.key.chmod(0o600)
        self._monkeypatch, self._output = monkeypatch, output
        issuers = folder / "issuers.json"
        issuers.write_text('{"issuers": {}}')
        self.set(
            ENVIRONMENT="test",
            TRUST_DOMAIN=DOMAIN,
            GRPC_ADDRESS="127.0.0.1:7101",
            HTTP_ADDRESS="127.0.0.1:7201",
            DATABASE_URL="postgresql://gongji_binding:s3cret@127.0.0.1:5432/gongji_binding",
            KAFKA_BOOTSTRAP="127.0.0.1:9092",
            TLS_CERT_FILE=str(self.own.cert),
            TLS_KEY_FILE=str(self.own.key),
            INSTITUTION_CA_FILE=str(self.pki.institution_ca_file),
            SERVICE_CA_FILE=str(self.pki.service_ca_file),
            JWKS_FILE=str(issuers),
        )

    def set(self, **changes: str) -> None:
        for name, value in changes.items():
            self._monkeypatch.setenv(f"GONGJI_{name}", value)

    def ends_with(self, *more: type[DatabaseSettings], failure: Exception | None = None) -> tuple[int, list[str]]:
        """The status, and what the log's lines at level error say."""

        def serve(_settings: ServiceSettings) -> int:
            if failure is not None:
                raise failure
            return 0

        status = served("binding", ServiceSettings, serve, [ServiceSettings, *more])
        lines = [json.loads(line) for line in self._output.readouterr().out.splitlines()]
        assert all(line["event"] == "start failed" and line["level"] == "error" for line in lines)
        assert not any("exception" in line for line in lines)
        return status, [line["why"] for line in lines]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    return Start(tmp_path, monkeypatch, capsys)


def test_where_all_is_right_it_serves_and_says_nothing(start: Start) -> None:
    assert start.ends_with() == (0, [])


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("DATABASE_URL", "", "GONGJI_DATABASE_URL is missing"),
        ("DATABASE_POOL_SIZE", "many", "GONGJI_DATABASE_POOL_SIZE is not acceptable"),
        ("DATABASE_URL", "mysql://gongji_binding:s3cret@db/x", "GONGJI_DATABASE_URL must be postgresql://"),
        ("GRPC_ADDRESS", "127.0.0.1:70000", "GONGJI_GRPC_ADDRESS must be HOST:PORT"),
        ("TRUST_DOMAIN", "gongji", "GONGJI_TRUST_DOMAIN must name the environment outside production"),
        ("KAFKA_CA_FILE", "{here}", "GONGJI_KAFKA_KEY_FILE goes with GONGJI_KAFKA_CA_FILE"),
        ("TLS_KEY_FILE", "/nowhere/tls.key", "GONGJI_TLS_KEY_FILE names /nowhere/tls.key, which is not a file"),
        ("DATABSE_POOL_SIZE", "8", "GONGJI_DATABSE_POOL_SIZE is no setting of this service; is GONGJI_DATABASE_POOL"),
        ("SOMETHING_ELSE_ALTOGETHER", "8", "GONGJI_SOMETHING_ELSE_ALTOGETHER is no setting of this service"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it_and_status_2(start: Start, name: str, value: str, why: str) -> None:
    start.set(**{name: value.format(here=start.own.cert)})
    status, lines = start.ends_with()
    assert status == 2
    assert len(lines) == 1
    assert why in lines[0]
    assert "s3cret" not in lines[0]


def test_all_that_is_wrong_with_settings_is_told_in_one_line(start: Start) -> None:
    start.set(DATABASE_URL="", HTTP_ADDRESS="nowhere", HTPP_ADDRESS="127.0.0.1:1")
    status, (line,) = start.ends_with()
    assert status == 2
    for name in ("GONGJI_DATABASE_URL", "GONGJI_HTTP_ADDRESS", "GONGJI_HTPP_ADDRESS"):
        assert f"{name} " in line


def test_a_setting_of_another_command_of_the_service_is_known(start: Start) -> None:
    class AuditSettings(DatabaseSettings):
        binding_lag_seconds: float = 1.0

    start.set(BINDING_LAG_SECONDS="3")
    assert start.ends_with()[0] == 2
    assert start.ends_with(AuditSettings) == (0, [])


def test_what_a_shell_has_set_for_the_local_stack_is_passed_over(start: Start) -> None:
    start.set(STATE="/tmp/elsewhere", STACK="embedded")  # noqa: S108 - nobody writes there
    assert start.ends_with() == (0, [])


@pytest.mark.parametrize(("mode", "is_refused"), [(0o600, False), (0o440, False), (0o444, True), (0o602, True)])
def test_keys_that_everybody_may_read_or_write_are_refused(start: Start, mode: int, is_refused: bool) -> None:  # noqa: FBT001 - the table says it
    start.own.key.chmod(mode)
    status, lines = start.ends_with()
    assert (status, len(lines)) == ((1, 1) if is_refused else (0, 0))
    assert not lines or re.search(r"GONGJI_TLS_KEY_FILE: .*binding\.key is open to every user .*\(mode 0", lines[0])


def test_a_certificate_that_does_not_fit_ends_it_with_status_1(start: Start) -> None:
    start.set(TLS_CERT_FILE=str(start.pki.service("notify").cert))
    status, (line,) = start.ends_with()
    assert status == 1
    assert line.startswith("GONGJI_TLS_CERT_FILE: ")
    assert "is not the key of" in line


def test_what_an_operator_has_to_know_is_a_sentence_and_a_fault_of_the_program_passes_on(start: Start) -> None:
    assert start.ends_with(failure=OperatorError("port 7101 is taken")) == (1, ["port 7101 is taken"])
    with pytest.raises(ZeroDivisionError):
        start.ends_with(failure=ZeroDivisionError())
