"""Children that outlive the command which started them, and how they are recognised afterwards."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from gongji_local.clock import wait_until

SAME_START_SECONDS: Final = 0.5
KILL_TIMEOUT_SECONDS: Final = 10.0
# Kept so that a child that ends while its parent lives is reaped, and none is reported as forgotten at exit.
_children: Final[dict[int, "subprocess.Popen[bytes]"]] = {}


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process, told apart from a later one with the same id by when it started.

    The start is counted from the machine's boot, so that setting the computer's clock does not change it.
    `log_start_bytes` is where in its log this run begins; `settings_mark` changes with what it was told.
    """

    pid: int
    started_after_boot_seconds: float
    log_start_bytes: int = 0
    settings_mark: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system's user that a child runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: program and arguments, its whole environment, and the account if not our own."""

    argv: Sequence[str]
    environ: Mapping[str, str]
    account: Account | None = None
    folder: Path = Path("/")


def spawn(command: Command, log: Path) -> ProcessRecord:
    """Starts a child in a session of its own (Ctrl-C does not reach it), writing to the end of `log`."""
    with log.open("ab") as output:
        log_start_bytes = output.tell()
        child = subprocess.Popen(
            list(command.argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=command.folder,
            env=dict(command.environ),
            start_new_session=True,
            user=command.account.uid if command.account else None,
            group=command.account.gid if command.account else None,
            extra_groups=[] if command.account else None,
        )
    _children[child.pid] = child
    return ProcessRecord(child.pid, _started_after_boot_seconds(psutil.Process(child.pid)), log_start_bytes)


def this_process() -> ProcessRecord:
    """The record of the process that asks."""
    return ProcessRecord(os.getpid(), _started_after_boot_seconds(psutil.Process()))


def run(command: Command, timeout_seconds: float) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end and keeps what it printed (both streams, in order)."""
    return subprocess.run(
        list(command.argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=command.folder,
        env=dict(command.environ),
        timeout=timeout_seconds,
        check=False,
        user=command.account.uid if command.account else None,
        group=command.account.gid if command.account else None,
        extra_groups=[] if command.account else None,
    )


def is_alive(record: ProcessRecord | None) -> bool:
    """Whether the recorded process still runs; another one that got its id does not count, nor does a zombie."""
    if record is None:
        return False
    _reap(record.pid)
    try:
        process = psutil.Process(record.pid)
        started = _started_after_boot_seconds(process)
        zombie = process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
    return not zombie and abs(started - record.started_after_boot_seconds) < SAME_START_SECONDS


def owns_port(record: ProcessRecord | None, port: int) -> bool:
    """Whether the recorded process itself listens on that TCP port of this machine."""
    if record is None or not is_alive(record):
        return False
    try:
        connections = psutil.Process(record.pid).net_connections("tcp")
    except psutil.AccessDenied:
        return True  # an operating system that does not tell; what answers there is believed
    except psutil.Error:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr[1] == port for each in connections)


def send(record: ProcessRecord | None, signal_number: int) -> bool:
    """Sends a signal to the recorded process; False when it does not run any more."""
    if record is None or not is_alive(record):
        return False
    try:
        os.kill(record.pid, signal_number)
    except ProcessLookupError:
        return False
    return True


def stop(record: ProcessRecord | None, signal_number: int, timeout_seconds: float) -> None:
    """Asks the process to end and, when it has not after `timeout_seconds`, kills it."""
    if not send(record, signal_number):
        return
    if not wait_until(lambda: not is_alive(record), timeout_seconds):
        send(record, signal.SIGKILL)
        wait_until(lambda: not is_alive(record), KILL_TIMEOUT_SECONDS)


def exit_code(record: ProcessRecord) -> int | None:
    """How it ended, where this very process was its parent; negative is the signal's number."""
    child = _children.get(record.pid)
    return child.poll() if child else None


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None:
        child.poll()


def _started_after_boot_seconds(process: psutil.Process) -> float:
    return process.create_time() - psutil.boot_time()
