"""Why a process ended or stays silent, read from what it wrote."""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gongji_local.errors import StackError, disk_full, file_too_large
from gongji_local.processes import ProcessRecord, exit_code

SHOWN_LINES: Final = 8
READ_BYTES: Final = 64 * 1024
DISK_FULL_WORDS: Final = ("No space left on device", "Disk quota exceeded", "ENOSPC", "Check free disk space")
FILE_TOO_LARGE_WORDS: Final = ("File too large", "File size limit exceeded", "EFBIG")
PORT_TAKEN_WORDS: Final = ("Address already in use", "address already in use", "Failed to bind to address")


@dataclass(frozen=True, slots=True)
class LogTail:
    """The part of a log that one start wrote."""

    path: Path
    start_bytes: int

    def text(self) -> str:
        """What was written, at most the last 64 KiB."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(self.start_bytes, end - READ_BYTES))
            return file.read().decode(errors="replace")

    def last_lines(self) -> str:
        """The lines to show to a person, indented."""
        lines = [line for line in self.text().splitlines() if line.strip()][-SHOWN_LINES:]
        return "\n".join(f"    {line}" for line in lines) or "    (nothing)"


def explain_end(name: str, process: ProcessRecord, log: LogTail, ports: tuple[int, ...] = ()) -> StackError:
    """Why a process ended while it was starting."""
    text = log.text()
    if full := no_room(name, text, log.path.parent):
        return full
    if exit_code(process) == -signal.SIGXFSZ:
        return file_too_large(name)
    if any(words in text for words in PORT_TAKEN_WORDS):
        listed = " or ".join(str(port) for port in ports) or "of its own"
        return StackError(
            f"Another program took port {listed} before {name} could listen there.",
            "Run `gongji-local up` again: it chooses a free port.",
        )
    return StackError(
        f"{name} ended while starting{_how(exit_code(process))}. Its last lines:\n{log.last_lines()}\n",
        f"Remove the cause (the whole log: `gongji-local logs {name}`), then run `gongji-local up` again.",
    )


def no_room(name: str, text: str, place: Path) -> StackError | None:
    """The refusal when a process that writes under `place` says that it has no room; None when it does not."""
    if any(words in text for words in DISK_FULL_WORDS):
        return disk_full(place, name)
    if any(words in text for words in FILE_TOO_LARGE_WORDS):
        return file_too_large(name)
    return None


def explain_silence(name: str, log: LogTail, timeout_seconds: float, why: str = "") -> StackError:
    """A process runs but did not become ready; `why` is what it says of itself."""
    if full := no_room(name, log.text(), log.path.parent):
        return full
    said = f" It says: {why}." if why else ""
    return StackError(
        f"{name} runs but was not ready after {timeout_seconds:.0f} s.{said} Its last lines:\n{log.last_lines()}\n",
        f"The whole log is {log.path} (`gongji-local logs {name}`); run `gongji-local down`, then `gongji-local up`.",
    )


def _how(code: int | None) -> str:
    if code is None:
        return ""
    if code < 0:
        return f" (killed by {signal.Signals(-code).name})"
    return f" (exit status {code})"
