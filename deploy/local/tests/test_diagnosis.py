"""What a log says is told in one sentence with the next step."""

from pathlib import Path

import pytest

from gongji_local.diagnosis import LogTail, explain_end, explain_silence
from gongji_local.errors import from_os_error
from gongji_local.processes import ProcessRecord

GONE = ProcessRecord(1, -1.0)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "kafka.log"


@pytest.mark.parametrize(
    "line",
    [
        'FATAL:  could not write lock file "postmaster.pid": No space left on device',
        "java.io.IOException: No space left on device",
        "OSError: [Errno 28] No space left on device",
        "OSError: [Errno 122] Disk quota exceeded",
        "HINT:  Check free disk space.\nPANIC:  cannot abort transaction 1, it was already committed",
    ],
)
def test_a_full_disk_is_named_with_what_is_free(log: Path, line: str) -> None:
    log.write_text(line)
    error = explain_end("kafka", GONE, LogTail(log, 0))
    assert error.problem.startswith("The disk is full: kafka could not write under")
    assert "MiB are free" in error.problem
    assert error.next_step.startswith("Free at least")


@pytest.mark.parametrize(
    "line",
    [
        'LOG:  could not bind IPv4 address "127.0.0.1": Address already in use',
        "KafkaException: Socket server failed to bind to 127.0.0.1:21000: Address already in use.",
        "RuntimeError: Failed to bind to address 127.0.0.1:21000",
    ],
)
def test_a_taken_port_is_named(log: Path, line: str) -> None:
    log.write_text(line)
    error = explain_end("kafka", GONE, LogTail(log, 0), (21000, 21001))
    assert error.problem == "Another program took port 21000 or 21001 before kafka could listen there."
    assert "up` again" in error.next_step


def test_any_other_end_shows_the_last_lines_of_this_run_only(log: Path) -> None:
    former = "No space left on device\n"
    log.write_text(former + "".join(f"line {number}\n" for number in range(20)))
    error = explain_end("kafka", GONE, LogTail(log, len(former)))
    assert "line 19" in error.problem
    assert "line 2\n" not in error.problem
    assert "disk" not in error.problem
    assert "logs kafka" in error.next_step


def test_silence_is_told_with_what_the_process_says_of_itself(log: Path) -> None:
    log.write_text("connecting\n")
    error = explain_silence("notify", LogTail(log, 0), 60, "kafka: no broker")
    assert "was not ready after 60 s. It says: kafka: no broker." in error.problem
    assert "connecting" in error.problem


def test_a_process_that_wrote_nothing_is_told_too(log: Path) -> None:
    assert "(nothing)" in explain_end("kafka", GONE, LogTail(log, 0)).problem


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "/data/x"), "The disk is full"),
        (PermissionError(13, "Permission denied", "/data/x"), "/data/x cannot be written"),
        (OSError(30, "Read-only file system", "/data/x"), "cannot be written"),
        (OSError(27, "File too large", "/data/x"), "limit on the size of a file"),
        (ConnectionResetError(104, "Connection reset by peer"), "stopped answering"),
        (OSError(5, "Input/output error", "/data/x"), "refused /data/x"),
    ],
)
def test_a_refusal_of_the_operating_system_is_put_into_words(error: OSError, words: str) -> None:
    told = from_os_error(error, Path("/state"))
    assert words in told.problem
    assert "up` again" in told.next_step


@pytest.mark.parametrize("line", ["java.io.IOException: File too large", "OSError: [Errno 27] File too large: 'x'"])
def test_a_limit_on_the_size_of_files_is_named_with_what_lifts_it(log: Path, line: str) -> None:
    stack_trace = "".join(f"\tat org.apache.kafka.Frame{number}\n" for number in range(20))
    log.write_text(f"{line}\n{stack_trace}")
    for error in (explain_end("kafka", GONE, LogTail(log, 0)), explain_silence("kafka", LogTail(log, 0), 60)):
        assert error.problem.startswith("The limit on the size of a file (`ulimit -f`")
        assert "too small for what kafka writes" in error.problem
        assert "ulimit -f unlimited" in error.next_step
        assert "org.apache" not in str(error)


def test_a_process_that_is_silent_because_the_disk_is_full_says_so(log: Path) -> None:
    log.write_text("ERROR: No space left on device\n")
    assert "The disk is full" in explain_silence("kafka", LogTail(log, 0), 60).problem
