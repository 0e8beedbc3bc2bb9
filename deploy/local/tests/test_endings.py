"""How a process ended is a sentence about it, not the last line of its log."""

import json
import os
from pathlib import Path

import pytest

from gongji_local.diagnosis import LogTail
from gongji_local.endings import ended_words
from gongji_local.processes import ProcessRecord

GONE = ProcessRecord(1, -1.0)
CALL = json.dumps({"event": "call", "method": "/gongji.settlement.v1.SettlementService/Settle", "code": "OK"})
FAILED_CALL = json.dumps({"event": "call failed", "level": "error", "why": "a bug"})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "settlement.log"


def told(log: Path, *lines: str) -> str:
    log.write_text("".join(f"{line}\n" for line in lines))
    os.utime(log, (1_800_000_000, 1_800_000_000))
    return ended_words(GONE, LogTail(log, 0))


@pytest.mark.parametrize("lines", [(CALL,), (FAILED_CALL, CALL), ("LOG:  database system is ready",), ("[1] WARN x",)])
def test_a_log_that_breaks_off_means_killed_and_no_line_of_it_is_quoted(log: Path, lines: tuple[str, ...]) -> None:
    words = told(log, *lines)
    assert words.startswith("process 1 was killed or ended from outside some time after 2027-01-1")
    assert words.endswith("its log breaks off there without an error")


@pytest.mark.parametrize(
    "line", [json.dumps({"event": "stopped", "failed": False}), "LOG:  database system is shut down"]
)
def test_who_was_told_to_end_has_not_failed(log: Path, line: str) -> None:
    assert told(log, line).endswith("because it was told to")


def test_a_service_that_stopped_in_order_is_not_blamed_for_a_call_that_failed(log: Path) -> None:
    stopped = json.dumps({"event": "stopped", "failed": False})
    assert told(log, FAILED_CALL, CALL, stopped).endswith("because it was told to")


def test_a_failed_start_is_told_by_its_reason(log: Path) -> None:
    failed = json.dumps({"event": "start failed", "level": "error", "part": "grpc", "why": "the key ring is empty"})
    words = told(log, CALL, failed, json.dumps({"event": "stopped", "failed": True}))
    assert words.endswith("by a failure: start failed: grpc: the key ring is empty")
    assert told(log, CALL, failed).endswith("by a failure: start failed: grpc: the key ring is empty")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((CALL, "Segmentation fault"), "by a failure: Segmentation fault"),
        (("Traceback", "ValueError: no such key"), "by a failure: ValueError: no such key"),
        (("PANIC:  could not locate a valid checkpoint record",), "could not locate a valid checkpoint record"),
        (("java.io.IOException: No space left on device", "exiting"), ": the disk is full"),
        (("java.io.IOException: File too large", "exiting"), ": a file reached the limit on the size of files"),
    ],
)
def test_a_failure_is_told(log: Path, lines: tuple[str, ...], words: str) -> None:
    assert told(log, *lines).endswith(words)


def test_who_wrote_nothing_is_told_too(log: Path) -> None:
    assert ended_words(GONE, LogTail(log, 0)) == "process 1 ended before it wrote anything"
