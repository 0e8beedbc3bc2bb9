"""A Python that another user can run: the one that runs this may be in a folder that only root may enter."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from gongji_images.errors import ImagesError

_NOBODY: Final = 65534
_NEEDED: Final = "import ctypes, ensurepip, ssl, sys, venv; sys.exit(sys.version_info < (3, 11))"
_PLACES: Final = (Path("/usr/local/bin"), Path("/usr/bin"))


@cache
def python_for_others() -> Path:
    """The Python below this environment if others can run it, else one of the system's, of 3.11 or later.

    Raises:
        ImagesError: there is none.
    """
    candidates = list(_candidates())
    for python in candidates:
        if _runs(python):
            return python
    raise ImagesError(
        f"none of {', '.join(map(str, candidates))} can be run by another user and make environments; "
        "install Python 3.11 or later for all users, with its module venv"
    )


def _candidates() -> Iterator[Path]:
    same = f"python{sys.version_info.major}.{sys.version_info.minor}"
    yield Path(sys.base_prefix) / "bin" / same
    for name in (same, "python3"):
        yield from (place / name for place in _PLACES if (place / name).exists())


def _runs(python: Path) -> bool:
    other: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    command = [str(python), "-I", "-c", _NEEDED]
    try:
        return subprocess.run(command, cwd="/", env={}, check=False, capture_output=True, **other).returncode == 0
    except OSError:
        return False
