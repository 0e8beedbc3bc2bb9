"""Reading a process's log, once or as it grows."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

POLL_SECONDS: Final = 0.2


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` lines."""
    with path.open(errors="replace") as file:
        return [line.rstrip("\n") for line in deque(file, maxlen=count)]


def follow(path: Path, go_on: Callable[[], bool] = lambda: True) -> Iterator[str]:
    """Lines that are written from now on, until `go_on` says no or the reader stops."""
    with path.open(errors="replace") as file:
        file.seek(0, 2)
        part = ""
        while go_on():
            part += file.readline()
            if part.endswith("\n"):
                yield part.rstrip("\n")
                part = ""
            elif not part or not _grown(path, file.tell()):
                time.sleep(POLL_SECONDS)


def _grown(path: Path, position: int) -> bool:
    return path.stat().st_size > position
