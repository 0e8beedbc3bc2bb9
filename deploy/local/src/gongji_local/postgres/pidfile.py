"""The file by which a data folder says which server runs on it, and what to do when it is wrong.

A server that was killed leaves its file behind. PostgreSQL overrules it, unless the process id in it now belongs to
another process of the same account: then it refuses to start, for fear of two servers on one folder.
"""

from pathlib import Path

import psutil

from gongji_local.errors import StackError


def refuse_unknown_postmaster(data: Path) -> None:
    """Removes a stale `postmaster.pid`; refuses when a server that this state does not know runs on `data`."""
    file = data / "postmaster.pid"
    pid = _pid_in(file)
    if pid is None:
        return
    if _is_postmaster_of(pid, data):
        raise StackError(
            f"A PostgreSQL that this state folder does not remember (process {pid}) runs on {data}.",
            f"End it with `kill -INT {pid}`, then run `gongji-local up` again.",
        )
    file.unlink(missing_ok=True)


def _pid_in(file: Path) -> int | None:
    try:
        first = file.read_text().splitlines()[0]
    except (FileNotFoundError, IndexError):
        return None
    return int(first) if first.strip().isdigit() else None


def _is_postmaster_of(pid: int, data: Path) -> bool:
    """A server's working folder is its data folder."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).resolve() == data.resolve()
    except psutil.Error:
        return False
