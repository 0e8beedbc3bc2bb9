"""What a killed test session left is ended by the next one, and nothing else is."""

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import psutil
import pytest

from gongji_local import sessions
from gongji_local.blocking import run_blocking
from gongji_local.choice import Named
from gongji_local.errors import MEBIBYTE_BYTES
from gongji_local.processes import ProcessRecord, is_alive
from gongji_local.sessions import (
    OWNER_FILE,
    new_session_folder,
    quick_folder,
    remove_orphans,
    start_session_postgres,
)
from gongji_local.stack import Stack
from gongji_local.state import StateBook, StateFolder

LEAVE_POSTGRES_BEHIND = """
import os, sys
from pathlib import Path
from gongji_local.sessions import new_session_folder
from gongji_local.stack import Stack
stack = Stack(new_session_folder(Path(sys.argv[1])), environ={})
stack.start_postgres()
print(stack.folder.root, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.stack
def test_a_killed_sessions_server_is_ended(scratch: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", LEAVE_POSTGRES_BEHIND, str(scratch)], capture_output=True, text=True, check=False
    )
    folder = Path(killed.stdout.strip())
    server = StateBook(StateFolder(folder)).read().processes["postgres"]
    assert is_alive(server)
    assert remove_orphans(scratch) == [folder]
    assert not is_alive(server)
    assert not folder.exists()


def fsync(url: str) -> str:
    async def show() -> str:
        connection = await asyncpg.connect(url)
        try:
            return str(await connection.fetchval("SHOW fsync"))
        finally:
            await connection.close()

    return run_blocking(show)


@pytest.mark.stack
def test_only_a_server_of_the_sessions_own_stops_waiting_for_the_disk(own_stack: Stack, scratch: Path) -> None:
    named = own_stack.info.postgres_admin_url
    guest = Stack(scratch / "guest", named=Named(postgres_url=named), environ={})
    assert start_session_postgres(guest) == named
    assert fsync(named) == "on"
    assert fsync(start_session_postgres(Stack(scratch, environ={}))) == "off"


@pytest.mark.parametrize(
    ("free", "available", "in_memory"), [(4096, 4096, True), (4095, 9999, False), (9999, 4095, False)]
)
def test_servers_lie_in_memory_only_where_there_is_plenty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, available: int, *, in_memory: bool
) -> None:
    monkeypatch.setattr(sessions, "MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=free * MEBIBYTE_BYTES))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=available * MEBIBYTE_BYTES))
    assert quick_folder() == (tmp_path if in_memory else Path(tempfile.gettempdir()))


def test_a_machine_without_such_a_file_system_uses_its_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MEMORY", tmp_path / "none")
    assert quick_folder() == Path(tempfile.gettempdir())


def test_orphans_are_looked_for_in_memory_and_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [tmp_path / "memory", tmp_path / "disk"]
    monkeypatch.setattr(sessions, "MEMORY", places[0])
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(places[1]))
    orphans = []
    for place in places:
        place.mkdir()
        orphans.append(new_session_folder(place))
        (orphans[-1] / OWNER_FILE).write_text(json.dumps(asdict(ProcessRecord(1, -1.0))))
    assert sorted(remove_orphans()) == sorted(orphans)


def test_a_session_that_still_runs_is_left_alone(tmp_path: Path) -> None:
    folder = new_session_folder(tmp_path)
    assert remove_orphans(tmp_path) == []
    assert folder.exists()


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"pid": "x"}'])
def test_a_folder_whose_owner_cannot_be_told_is_left_alone(tmp_path: Path, content: str) -> None:
    folder = new_session_folder(tmp_path)
    (folder / OWNER_FILE).write_text(content)
    assert remove_orphans(tmp_path) == []


def test_a_folder_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "gongji-other").mkdir()
    (tmp_path / "gongji-other" / OWNER_FILE).write_text(json.dumps(asdict(ProcessRecord(1, -1.0))))
    assert remove_orphans(tmp_path) == []
