"""Commands that take long: a bar that shows how far they are, and an end that loses nothing."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


@contextmanager
def stop_when_told() -> Iterator[asyncio.Event]:
    """Set by the first Ctrl-C or SIGTERM; a second one ends the process at once, which loses no row either."""
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop() -> None:
        stopping.set()
        for one in signals:
            loop.remove_signal_handler(one)

    for one in signals:
        loop.add_signal_handler(one, stop)
    try:
        yield stopping
    finally:
        for one in signals:
            loop.remove_signal_handler(one)


def progress_of(console: Console) -> Progress:
    """A bar of rows, with their speed where somebody looks."""
    return Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *([_Speed()] if console.is_terminal else []),
        TimeRemainingColumn(),
        console=console,
    )


class _Speed(ProgressColumn):
    """Rows a second; nothing before there are any, where there is no speed either."""

    def render(self, task: Task) -> Text:
        """The speed of one task."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.0f} rows/s" if speed is not None else "", style="progress.data.speed")
