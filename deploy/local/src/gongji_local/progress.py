"""What the stack is doing, told while it does it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from kit.clock import Elapsed


@dataclass(slots=True)
class Step:
    """One thing that is being done; `detail` is filled in when there is something to tell."""

    name: str
    detail: str = ""


class Progress(Protocol):
    """Whoever is told; called from several threads."""

    def begun(self, step: Step) -> None:
        """A step begins."""

    def done(self, step: Step, seconds: float) -> None:
        """A step is done."""

    def failed(self, step: Step, seconds: float) -> None:
        """A step ended in an error, which is raised besides."""


class Silent:
    """Tells nobody."""

    def begun(self, step: Step) -> None:
        """Says nothing."""

    def done(self, step: Step, seconds: float) -> None:
        """Says nothing."""

    def failed(self, step: Step, seconds: float) -> None:
        """Says nothing."""


SILENT: Final = Silent()


@contextmanager
def told(progress: Progress, name: str, detail: str = "") -> Iterator[Step]:
    """Tells of a step and how many seconds it took."""
    step, elapsed = Step(name, detail), Elapsed()
    progress.begun(step)
    try:
        yield step
    except BaseException:
        progress.failed(step, elapsed.seconds)
        raise
    progress.done(step, elapsed.seconds)
