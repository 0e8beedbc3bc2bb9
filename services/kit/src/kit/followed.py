"""Files that may be replaced while the process runs, such as certificates: what was last made of them that is good.

Their content is compared, because a mounted Secret changes by a link that moves. What does not fit together is refused
with one line of the log, and what was in use goes on; it is tried again as soon as the files change once more.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

from kit.clock import Elapsed
from kit.failures import OperatorError
from kit.observability import get_logger

T = TypeVar("T")
Contents = Sequence[bytes]
"""Of the files, in their order."""

LOOK_EVERY_SECONDS: Final = 1.0
"""How old an answer of `current` may be."""
_READINGS: Final = 5

_log = get_logger()


class Misfit(OperatorError, ValueError):
    """Files that cannot be used as they are; the text says why, without secrets."""


class Followed(Generic[T]):
    """What is made of some files. Safe to use from several threads.

    Args:
        what: for the log, such as `the server's certificate`.
        files: read whole; small.
        make: what is wanted, of their contents; raises `Misfit`.
        check: what a change has to fulfil besides, so that nothing good is replaced by something worse.

    Raises:
        Misfit: they cannot be used to begin with.
        OSError: one cannot be read.
    """

    def __init__(
        self,
        what: str,
        files: Sequence[Path],
        make: Callable[[Contents], T],
        check: Callable[[Contents], None] = lambda _contents: None,
    ) -> None:
        self._what = what
        self._files = tuple(files)
        self._make = make
        self._check = check
        self._mutex = threading.Lock()
        self._refused: str | Contents | None = None
        contents = _read(self._files)
        if contents is None:
            raise Misfit(f"{what}: its files change all the time")
        self._contents = contents
        self._value = make(self._contents)
        self._looked = Elapsed()

    def current(self) -> T:
        """What is in use, by files that were looked at a moment ago."""
        if self._looked.seconds >= LOOK_EVERY_SECONDS:
            self.look()
        return self._value

    def look(self) -> T:
        """What is in use, by the files as they are now."""
        with self._mutex:
            self._looked = Elapsed()
            self._take_up()
            return self._value

    def contents(self) -> Contents:
        """What the files say, which is in use.

        Raises:
            Misfit: they say something else by now, which is refused, or cannot be read.
        """
        self.current()
        if self._refused is not None:
            raise Misfit(f"{self._what}: what the files say is not in use")
        return self._contents

    def _take_up(self) -> None:
        try:
            found = _read(self._files)
        except OSError as error:
            self._refuse(str(error), str(error))
            return
        if found is None:  # the next look will see them whole
            return
        if found == self._contents:
            self._refused = None
        if found in (self._contents, self._refused):
            return
        try:
            self._check(found)
            value = self._make(found)
        except Misfit as error:
            self._refuse(found, str(error))
            return
        self._contents, self._value, self._refused = found, value, None
        _log.info("changed files are in use now", what=self._what, files=self._names)

    def _refuse(self, found: str | Contents, why: str) -> None:
        if found != self._refused:
            _log.error("changed files are refused, those of before stay in use", what=self._what, why=why)
        self._refused = found

    @property
    def _names(self) -> list[str]:
        return [str(file) for file in self._files]


def _read(files: Sequence[Path]) -> Contents | None:
    """Their contents, all from the same side of a change; None if they change faster than they can be read."""
    before = [file.read_bytes() for file in files]
    for _ in range(_READINGS):
        after = [file.read_bytes() for file in files]
        if after == before:
            return after
        before = after
    return None
