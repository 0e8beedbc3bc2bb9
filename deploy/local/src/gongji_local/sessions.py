"""State folders of test sessions, and the removal of what a killed session left running."""

import json
import os
import shutil
import signal
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Final

import psutil

from gongji_local.choice import Source
from gongji_local.errors import MEBIBYTE_BYTES
from gongji_local.postgres.databases import execute
from gongji_local.processes import ProcessRecord, is_alive, send, this_process
from gongji_local.servers import recorded_choice
from gongji_local.stack import Stack
from gongji_local.state import StateBook

PREFIX: Final = "gongji-test-"
OWNER_FILE: Final = "session.json"
MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a file system; what is made in it has a name that nobody can guess
# What the tests' servers write (a few hundred MiB) with much to spare, so that it never fills up.
MEMORY_NEEDED_MEBIBYTES: Final = 4096


def quick_folder() -> Path:
    """Where tests' servers lie: in memory where this machine has plenty, else where temporary files do.

    A fresh database is a copy of some five hundred files, which takes a disk several times as long. What is measured
    lies on the disk (`new_session_folder()`).
    """
    return MEMORY if _has_plenty(MEMORY) else Path(tempfile.gettempdir())


def _has_plenty(folder: Path) -> bool:
    try:
        free_bytes = min(shutil.disk_usage(folder).free, psutil.virtual_memory().available)
    except OSError:
        return False
    return os.access(folder, os.W_OK) and free_bytes >= MEMORY_NEEDED_MEBIBYTES * MEBIBYTE_BYTES


def new_session_folder(parent: Path | None = None) -> Path:
    """A state folder that says which process it belongs to."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    folder.chmod(0o711)  # PostgreSQL's account may walk through
    (folder / OWNER_FILE).write_text(json.dumps(asdict(this_process())))
    return folder


def start_session_postgres(stack: Stack) -> str:
    """Starts a session's PostgreSQL and returns the administrator's URL.

    Our own server does not wait for the disk: what it keeps outlives a killed process as ever, a power cut never has to
    be survived, and a database is dropped in hundredths of a second instead of two.
    """
    admin_url = stack.start_postgres()
    choice = recorded_choice(StateBook(stack.folder))
    if choice is not None and choice.postgres is Source.EMBEDDED:
        execute(admin_url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    return admin_url


def remove_session(stack: Stack) -> None:
    """Ends a session's stack and deletes its folder, which is the session's alone.

    What is deleted next need not be left in order: nothing is waited for, and PostgreSQL only ends its own children.
    """
    for name, process in StateBook(stack.folder).read().processes.items():
        send(process, signal.SIGQUIT if name == "postgres" else signal.SIGKILL)
    stack.wipe()
    shutil.rmtree(stack.folder.root, ignore_errors=True)


def remove_orphans(parent: Path | None = None) -> list[Path]:
    """Ends the stacks of sessions whose process is gone (killed before it could); returns their folders."""
    parents = {parent} if parent else {Path(tempfile.gettempdir()), MEMORY}
    orphans = [folder for place in parents for folder in place.glob(f"{PREFIX}*") if _is_orphan(folder)]
    for folder in orphans:
        remove_session(Stack(folder, environ=dict(os.environ)))
    return orphans


def _is_orphan(folder: Path) -> bool:
    try:
        if folder.stat().st_uid != os.geteuid():
            return False
        return not is_alive(ProcessRecord(**json.loads((folder / OWNER_FILE).read_text())))
    except (OSError, ValueError, TypeError):
        return False  # not ours to judge: somebody else's, or just being made
