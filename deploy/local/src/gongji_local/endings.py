"""How a process that was running came to its end, as far as its log tells."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from gongji_local.diagnosis import DISK_FULL_WORDS, FILE_TOO_LARGE_WORDS, LogTail
from gongji_local.processes import ProcessRecord

SHOWN_CHARACTERS: Final = 200
# What PostgreSQL, Python and Java end with when they end by a failure; PostgreSQL's ERROR is a statement's, not its own
FATAL_LINE: Final = re.compile(r"\bPANIC\b|\bFATAL:  could not|^Exception in thread|^[\w.]*(Error|Exception)\b")
ORDERLY_LINE: Final = "database system is shut down"


def ended_words(process: ProcessRecord, log: LogTail) -> str:
    """One sentence without its full stop: which process, when, and why or that nothing tells why."""
    lines = [line.strip() for line in log.text().splitlines() if line.strip()]
    return f"process {process.pid} {_how(lines, log.path)}"


def _how(lines: Sequence[str], log: Path) -> str:
    if not lines:
        return "ended before it wrote anything"
    text, when = "\n".join(lines), _last_write(log)
    if any(words in text for words in DISK_FULL_WORDS):
        return f"ended at {when}: the disk is full"
    if any(words in text for words in FILE_TOO_LARGE_WORDS):
        return f"ended at {when}: a file reached the limit on the size of files"
    if fault := _fault(lines):
        return f"ended at {when} by a failure: {fault[:SHOWN_CHARACTERS]}"
    if _was_orderly(lines[-1]):
        return f"ended at {when} because it was told to"
    return f"was killed or ended from outside some time after {when}: its log breaks off there without an error"


def _fault(lines: Sequence[str]) -> str:
    """The failure that the end of a log tells of; empty where it tells of none."""
    records = [record for record in map(_record, lines) if record is not None]
    last = _record(lines[-1])
    if last is None:
        # A service writes JSON: whatever else stands at the end is what Python said last.
        return lines[-1] if records or FATAL_LINE.search(lines[-1]) else ""
    told = [record for record in records if record.get("level") in {"error", "critical"}]
    # An error before ordinary lines, such as a call that failed, ended nothing.
    is_the_end = bool(told) and (last == told[-1] or (last.get("event") == "stopped" and last.get("failed")))
    return ": ".join(str(told[-1][key]) for key in ("event", "part", "why") if told[-1].get(key)) if is_the_end else ""


def _was_orderly(line: str) -> bool:
    record = _record(line)
    return ORDERLY_LINE in line if record is None else record.get("event") == "stopped"


def _record(line: str) -> Mapping[str, Any] | None:
    """A line of a service's log; None for anything else."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _last_write(log: Path) -> str:
    return datetime.fromtimestamp(log.stat().st_mtime, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
