"""A process is known by more than its id."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gongji_local.clock import wait_until
from gongji_local.ports import free_port, listens
from gongji_local.processes import (
    Command,
    ProcessRecord,
    exit_code,
    is_alive,
    owns_port,
    run,
    send,
    spawn,
    stop,
    this_process,
)

ENVIRON = {"PATH": os.defpath}


def python(script: str) -> Command:
    return Command([sys.executable, "-c", script], ENVIRON)


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[ProcessRecord]:
    record = spawn(python("import time; time.sleep(300)"), tmp_path / "log")
    yield record
    stop(record, signal.SIGKILL, 5)


def test_a_child_is_alive_until_it_was_killed(sleeper: ProcessRecord) -> None:
    assert is_alive(sleeper)
    assert send(sleeper, signal.SIGKILL)
    assert wait_until(lambda: not is_alive(sleeper), 60)
    assert exit_code(sleeper) == -signal.SIGKILL


def test_another_process_with_the_same_id_is_not_taken_for_ours(sleeper: ProcessRecord) -> None:
    stale = ProcessRecord(sleeper.pid, sleeper.started_after_boot_seconds - 60)
    assert not is_alive(stale)
    assert not send(stale, signal.SIGKILL)
    stop(stale, signal.SIGKILL, 1)
    assert is_alive(sleeper)


def test_a_child_of_somebody_else_that_nobody_buried_is_not_alive(sleeper: ProcessRecord) -> None:
    """As in a container whose first process buries nobody."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    started = psutil.Process(child.pid).create_time() - psutil.boot_time()
    child.kill()
    assert wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE, 60)
    assert not is_alive(ProcessRecord(child.pid, started))
    assert is_alive(sleeper)
    child.wait()


def test_nothing_recorded_is_nothing_alive() -> None:
    assert not is_alive(None)
    assert not send(None, signal.SIGTERM)
    assert not owns_port(None, 21000)


def test_a_child_has_a_session_of_its_own(sleeper: ProcessRecord) -> None:
    assert os.getsid(sleeper.pid) == sleeper.pid != os.getsid(0)


def test_what_does_not_end_when_asked_is_killed(tmp_path: Path) -> None:
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(300)"
    log = tmp_path / "log"
    record = spawn(python(script), log)
    assert wait_until(lambda: "deaf" in log.read_text(), 60)
    stop(record, signal.SIGTERM, timeout_seconds=0.2)
    assert exit_code(record) == -signal.SIGKILL


def test_a_port_belongs_to_who_listens_there(tmp_path: Path) -> None:
    port = free_port(None, ())
    script = (
        "import socket, time; s = socket.socket(); s.setsockopt(1, 2, 1);"
        f"s.bind(('127.0.0.1', {port})); s.listen(); time.sleep(300)"
    )
    record = spawn(python(script), tmp_path / "log")
    assert wait_until(lambda: listens(port), 60)
    assert owns_port(record, port)
    assert not owns_port(record, port + 1)
    assert not owns_port(this_process(), port)
    stop(record, signal.SIGKILL, 5)
    assert not owns_port(record, port)


def test_a_run_is_told_where_its_log_begins(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("former run\n")
    record = spawn(python("print('this run')"), log)
    assert wait_until(lambda: not is_alive(record), 60)
    assert log.read_text()[record.log_start_bytes :] == "this run\n"


def test_what_a_program_prints_is_kept_in_order() -> None:
    script = "import sys; print('out', flush=True); print('err', file=sys.stderr, flush=True); sys.exit(4)"
    finished = run(python(script), timeout_seconds=60)
    assert (finished.returncode, finished.stdout) == (4, "out\nerr\n")
