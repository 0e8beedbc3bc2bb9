"""Whether there is room for a server's first start: told before anything is written, not from what it dies of."""

import resource
import shutil
from pathlib import Path
from typing import Final

from gongji_local.errors import DISK_NEEDED_MEBIBYTES, MEBIBYTE_BYTES, StackError, file_too_large

# A fresh stack takes 65 MiB, and PostgreSQL writes some hundred more of its write-ahead log before it reuses any.
FIRST_START_MEBIBYTES: Final = 256
# A file of PostgreSQL's write-ahead log has 16 MiB, the tables of a small stack and Kafka's indexes some more.
LARGEST_FILE_MEBIBYTES: Final = 64


def require_room(folder: Path, what: str) -> None:
    """Raises StackError when `what` cannot make its data under `folder` for want of disk or of allowed file size."""
    require_file_size(what)
    free_mebibytes = shutil.disk_usage(folder).free // MEBIBYTE_BYTES
    if free_mebibytes < FIRST_START_MEBIBYTES:
        raise StackError(
            f"The disk is too full for {what}: {free_mebibytes} MiB are free under {folder}, "
            f"and a first start needs {FIRST_START_MEBIBYTES} MiB.",
            f"Free at least {DISK_NEEDED_MEBIBYTES} MiB there, or name a folder on another disk with --state, "
            "then run `gongji-local up` again.",
        )


def require_file_size(what: str) -> None:
    """Raises StackError when this shell's `ulimit -f` allows no file as large as `what` writes from the start."""
    limit_bytes = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit_bytes != resource.RLIM_INFINITY and limit_bytes < LARGEST_FILE_MEBIBYTES * MEBIBYTE_BYTES:
        raise file_too_large(what)
