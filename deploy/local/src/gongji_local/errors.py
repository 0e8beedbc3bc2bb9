"""What went wrong with the local stack, in one sentence, and what a person does next."""

import errno
import resource
import shutil
from pathlib import Path
from typing import Final

MEBIBYTE_BYTES: Final = 1024 * 1024
DISK_NEEDED_MEBIBYTES: Final = 1024
FILE_NEEDED_MEBIBYTES: Final = 1024


class StackError(Exception):
    """The stack cannot do what was asked.

    Attributes:
        problem: one sentence, without a trace.
        next_step: what the person at the terminal does now.
    """

    def __init__(self, problem: str, next_step: str) -> None:
        super().__init__(f"{problem} {next_step}")
        self.problem = problem
        self.next_step = next_step


def disk_full(path: Path, what: str) -> StackError:
    """The disk under `path` has no room; the figure is read now, so that the sentence is true."""
    existing = next((place for place in (path, *path.parents) if place.exists()), Path("/"))
    free_mebibytes = shutil.disk_usage(existing).free // MEBIBYTE_BYTES
    return StackError(
        f"The disk is full: {what} could not write under {existing} ({free_mebibytes} MiB are free).",
        f"Free at least {DISK_NEEDED_MEBIBYTES} MiB there, then run `gongji-local up` again.",
    )


def file_too_large(what: str) -> StackError:
    """A file would grow beyond the size that this shell allows (`ulimit -f`)."""
    limit_bytes = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    said = "" if limit_bytes == resource.RLIM_INFINITY else f", {limit_bytes // MEBIBYTE_BYTES} MiB in this shell"
    return StackError(
        f"The limit on the size of a file (`ulimit -f`{said}) is too small for what {what} writes.",
        f"Run `ulimit -f unlimited` (or at least {FILE_NEEDED_MEBIBYTES} MiB), then `gongji-local up` again.",
    )


def from_os_error(error: OSError, path: Path) -> StackError:
    """Puts an operating system's refusal into a sentence; `path` is used where the error names no file."""
    if isinstance(error, ConnectionError):
        return StackError(
            f"A server stopped answering in the middle ({error}).",
            "Look at `gongji-local status`, then run `gongji-local up` again.",
        )
    where = Path(error.filename) if isinstance(error.filename, str) else path
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return disk_full(where, "the stack")
    if error.errno == errno.EFBIG:
        return file_too_large("the stack")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StackError(
            f"{where} cannot be written: {error.strerror}.",
            "Name a folder of yours with --state (or GONGJI_STATE) and run `gongji-local up` again.",
        )
    return StackError(
        f"The operating system refused {where}: {error.strerror or error}.",
        "Remove the cause, then run `gongji-local up` again.",
    )
