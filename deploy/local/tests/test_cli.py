"""`gongji-local` says what happened in a sentence, and its exit status agrees."""

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import jwt
import pytest
from typer.testing import CliRunner, Result

from gongji_local import cli
from gongji_local.cli import app
from gongji_local.errors import StackError
from gongji_local.info import ProcessStatus
from gongji_local.logs import follow, last_lines
from gongji_local.stack import Stack
from gongji_local.state import StateBook, StateFolder


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def run(state: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--state", str(state), *arguments])


def test_status_of_a_stack_that_was_never_started_fails_and_names_every_process(state: Path) -> None:
    result = run(state, "status")
    assert result.exit_code == 1
    for name in ("postgres", "kafka", "identity", "binding", "settlement", "notify"):
        assert name in result.output
    assert result.output.count("not started") == 6
    assert result.output.endswith("Next: `gongji-local up` starts everything.\n")


@pytest.mark.stack
def test_status_of_a_stack_that_is_up_succeeds_until_something_dies(
    own_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "Stack", lambda *_arguments, **_options: own_stack)
    assert run(own_stack.folder.root, "status").exit_code == 0
    own_stack.kill_service("notify")
    result = run(own_stack.folder.root, "status")
    assert result.exit_code == 1
    assert "down" in result.output
    assert "notify: process" in result.output
    assert "Next: `gongji-local up` starts notify again; `gongji-local logs notify` tells more." in result.output


def test_a_degraded_service_is_a_warning_with_the_next_step(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    degraded = ProcessStatus(
        "notify", "127.0.0.1:1", 7, alive=True, ready=True, why="", warning="consumer notify: Kafka does not answer"
    )
    monkeypatch.setattr(Stack, "status", lambda _stack: [degraded])
    result = run(state, "status")
    assert result.exit_code == 1
    assert "ready, degraded" in result.output
    assert "notify: consumer notify: Kafka does not answer.\nNext: `gongji-local logs notify` tells" in result.output


@pytest.mark.stack
def test_up_prints_the_addresses(own_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "Stack", lambda *_arguments, **_options: own_stack)
    result = run(own_stack.folder.root, "up")
    assert result.exit_code == 0
    assert own_stack.info.services["binding"].grpc_address in result.output
    assert own_stack.info.kafka_bootstrap in result.output


def test_down_of_nothing_says_so(state: Path) -> None:
    result = run(state, "down")
    assert (result.exit_code, result.output) == (0, "Nothing was running.\n")


def test_an_error_is_one_sentence_and_the_next_step_and_no_trace(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise StackError("The disk [/dev/x] is full.", "Free some room.")

    monkeypatch.setattr(Stack, "up", fail)
    result = run(state, "up")
    assert result.exit_code == 1
    assert result.stderr == "✗ The disk [/dev/x] is full.\n  Next: Free some room.\n"


def test_an_interrupted_up_says_what_goes_on(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Stack, "up", interrupt)
    result = run(state, "up")
    assert result.exit_code == 130
    assert "down" in result.stderr


def test_a_certificate_is_made_and_its_files_are_printed(state: Path) -> None:
    lines = run(state, "certificate", "H65270100001").output.splitlines()
    files = {name: Path(path) for name, _equals, path in (line.partition("=") for line in lines)}
    assert sorted(files) == ["ca", "cert", "key"]
    assert all(path.exists() for path in files.values())


def test_the_environment_of_a_service_is_what_a_shell_can_take(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"GONGJI_B": "it's; here", "GONGJI_A": "1"}
    monkeypatch.setattr(Stack, "environment", lambda _stack, _name: told)
    printed = run(state, "env", "settlement").output
    shown = subprocess.run(
        ["/bin/sh", "-c", f'{printed}printf %s "$GONGJI_B"'], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "it's; here"
    assert printed.startswith("export GONGJI_A=1\n")


@pytest.mark.parametrize(
    ("name", "words"), [("nobody", "Choose from identity"), ("binding", "`gongji-local up` first")]
)
def test_the_environment_of_what_is_not_there_is_refused(state: Path, name: str, words: str) -> None:
    result = run(state, "env", name)
    assert (result.exit_code, result.stdout) == (1, "")
    assert words in result.stderr


def test_a_certificate_for_nonsense_is_refused(state: Path) -> None:
    result = run(state, "certificate", "hospital")
    assert result.exit_code == 1
    assert "12 capital letters and digits" in result.stderr


def test_an_assertion_is_printed_alone_so_that_a_shell_can_take_it(state: Path) -> None:
    result = run(state, "assertion", "--as", "clerk:wang", "--role", "decider", "--audience", "binding")
    claims = jwt.decode(result.output.strip(), options={"verify_signature": False})
    assert (claims["sub"], claims["roles"], claims["aud"]) == ("clerk:wang", ["decider"], "binding")


def test_the_clock_is_moved_and_put_back(state: Path) -> None:
    assert run(state, "clock", "--to", "2030-02-03").output.startswith("2030-02-03T00:00:0")
    assert run(state, "clock").output.startswith("2030-02-03T00:0")
    back = datetime.fromisoformat(run(state, "clock", "--reset").output.strip())
    assert back.year < 2030


def test_a_damaged_clock_gives_the_next_step(state: Path) -> None:
    run(state, "clock", "--to", "2030-02-03")
    StateFolder(state).clock_offset_file.write_text("tomorrow")
    assert "clock --reset" in run(state, "clock").stderr
    assert run(state, "clock", "--reset").exit_code == 0


def test_a_refusal_of_the_operating_system_is_no_trace_either(state: Path) -> None:
    state.write_text("a file where the folder should be")
    result = run(state, "certificate", "H65270100001")
    assert result.exit_code == 1
    assert "Next:" in result.stderr


def test_the_log_of_nobody_is_refused_with_the_known_names(state: Path) -> None:
    result = run(state, "logs", "nobody")
    assert result.exit_code == 1
    assert "Choose from identity, binding" in result.stderr


def test_a_log_that_is_not_there_yet_gives_the_next_step(state: Path) -> None:
    assert "has not written a log yet" in run(state, "logs", "binding").stderr


def test_the_end_of_a_log_is_shown(state: Path) -> None:
    folder = StateFolder(state)
    folder.create()
    folder.log_of("binding").write_text("".join(f'{{"event": "[{number}]"}}\n' for number in range(100)))
    result = run(state, "logs", "binding", "-n", "2")
    assert result.output == '{"event": "[98]"}\n{"event": "[99]"}\n'


def test_a_log_is_followed_line_by_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    pieces = iter(["", "fir", "st\nsecond\n", "", ""])

    def write_on() -> bool:
        piece = next(pieces, None)
        with log.open("a") as writer:
            writer.write(piece or "")
        return piece is not None

    assert list(follow(log, go_on=write_on)) == ["first", "second"]
    assert last_lines(log, 1) == ["second"]


@pytest.mark.stack
def test_a_command_that_was_killed_in_the_middle_does_not_block_the_next_one(scratch: Path) -> None:
    """`up` is killed with -9 while it holds the lock and PostgreSQL has just been started."""
    script = (
        "import os, sys; from pathlib import Path; from gongji_local.stack import Stack;"
        "stack = Stack(Path(sys.argv[1]), environ={}); lock = stack._lock.held(); lock.__enter__();"
        "stack.start_postgres(); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(scratch)], check=False)
    assert killed.returncode == -9
    server = StateBook(StateFolder(scratch)).read().processes["postgres"]
    stack = Stack(scratch, environ=dict(os.environ))
    stack.start_postgres()
    assert StateBook(StateFolder(scratch)).read().processes["postgres"] == server


def test_the_module_runs_like_the_command(state: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "gongji_local", "--state", str(state), "down"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (0, "Nothing was running.\n")
