"""Steps of the drill, told while they are taken and timed; those that an operator takes are commands."""

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from rich.console import Console

from gongji_local.clock import wait_until
from gongji_local.postgres.home import find_home
from gongji_local.processes import send
from gongji_local.services import SERVICES
from gongji_local.stack import Stack
from gongji_local.state import StateBook
from gongji_local.topics import create_topics
from kit.clock import Elapsed

BY: Final = ("--by", "drill")
GONE_SECONDS: Final = 30.0
MARGIN: Final = timedelta(minutes=1)
"""How far a consumer may have been behind at its point."""


class DrillFailedError(Exception):
    """A step did not do what it has to."""


@dataclass(slots=True)
class Steps:
    """What was done, and how long it took."""

    console: Console
    took: list[tuple[str, float]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step."""
        elapsed = Elapsed()
        self.console.print(f"[bold]{name}[/bold]")
        yield
        self.took.append((name, elapsed.seconds))
        self.console.print(f"  {elapsed.seconds:.1f} s")

    async def of(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """One step that is waited for."""
        with self.step(name):
            await work()


def destroy(stack: Stack) -> None:
    """Everything is killed at once; the data of PostgreSQL and Kafka are gone. Keys, certificates and backup stay."""
    book = StateBook(stack.folder)
    for process in book.read().processes.values():
        send(process, signal.SIGKILL)
    for service in SERVICES:
        stack.stop_service(service)  # forgets it
    for data in (find_home(book).data, stack.folder.kafka / "data"):
        if not wait_until(lambda data=data: _gone(data), GONE_SECONDS):  # type: ignore[misc]
            raise DrillFailedError(f"{data} could not be deleted")


def _gone(folder: Path) -> bool:
    """Deleted; what a dying child of a server still writes is deleted, too."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


class Recovery:
    """What an operator does after the disaster."""

    def __init__(self, stack: Stack, backup: Path, points: Mapping[str, datetime], console: Console) -> None:
        self._stack = stack
        self._backup = backup
        self._points = points
        self._console = console

    def restore(self) -> None:
        """`gongji-local restore`."""
        each = [f"--service-at={service}={point.isoformat()}" for service, point in self._points.items()]
        local(self._stack, "restore", str(self._backup), *each)

    def make_topics(self) -> None:
        """A new Kafka, and `python -m kit topics create`."""
        create_topics(self._stack.start_kafka())

    def raise_epochs(self) -> None:
        """`raise-epoch` of each service."""
        for service in SERVICES:
            self.run(service, "raise-epoch", *BY, "--reason", "restored after the loss of all data")

    def republish(self) -> None:
        """`republish` of each service, from before the earliest point on."""
        for service in SERVICES:
            self.run(service, "republish", "--since", self.since.isoformat(), *BY)

    @property
    def since(self) -> datetime:
        """A database that was restored to the earliest point must hear of all that came later."""
        return min(self._points.values()) - MARGIN

    def serve(self) -> None:
        """`gongji-local up`."""
        self._stack.up()

    def run(self, service: str, action: str, *arguments: str) -> None:
        """A command of a service; the last line that it printed is shown."""
        done = self._stack.run_command(service, action, *arguments)
        if done.returncode != 0:
            raise DrillFailedError(f"{service} {action} ended with {done.returncode}:\n{done.stdout}")
        lines = [line for line in done.stdout.splitlines() if line.startswith(f"{service}: ")]
        for line in lines[-1:]:
            self._console.print(f"  {line}", markup=False, highlight=False)


def local(stack: Stack, *arguments: str) -> None:
    """A command of `gongji-local`, in a process of its own."""
    command = [sys.executable, "-m", "gongji_local", f"--state={stack.folder.root}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    if done.returncode != 0:
        raise DrillFailedError(f"gongji-local {arguments[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


async def in_thread(work: Callable[[], None]) -> None:
    """Plain code beneath the event loop."""
    await asyncio.to_thread(work)
