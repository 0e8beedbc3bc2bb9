"""How the stack speaks to the person at the terminal."""

import threading
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gongji_local.errors import StackError
from gongji_local.info import NOT_STARTED, ProcessStatus, StackInfo
from gongji_local.progress import Step

if TYPE_CHECKING:
    from rich.status import Status

NAME_WIDTH: Final = 22


class ConsoleProgress:
    """A line per finished step; on a terminal also what is under way."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._mutex = threading.Lock()
        self._under_way: list[Step] = []
        self._status: Status | None = None

    def begun(self, step: Step) -> None:
        """Shows the step among what is under way."""
        with self._mutex:
            self._under_way.append(step)
            self._show()

    def done(self, step: Step, seconds: float) -> None:
        """Prints the step, its detail and its seconds."""
        self._finish(step, seconds, "[green]✓[/green]")

    def failed(self, step: Step, seconds: float) -> None:
        """Prints the step as failed; the error itself is told once, at the end."""
        self._finish(step, seconds, "[red]✗[/red]")

    def close(self) -> None:
        """Takes the line of what is under way off the terminal."""
        with self._mutex:
            self._under_way.clear()
            self._show()

    def _finish(self, step: Step, seconds: float, mark: str) -> None:
        with self._mutex:
            self._under_way.remove(step)
            self._console.print(f"{mark} {step.name:<{NAME_WIDTH}} [dim]{seconds:6.2f} s[/dim]  {escape(step.detail)}")
            self._show()

    def _show(self) -> None:
        if not self._console.is_terminal:
            return
        names = ", ".join(step.name for step in self._under_way)
        if self._status is None and names:
            self._status = self._console.status(names)
            self._status.start()
        elif self._status is not None and names:
            self._status.update(names)
        elif self._status is not None:
            self._status.stop()
            self._status = None


def print_error(console: Console, error: StackError) -> None:
    """One clear sentence and the next step."""
    console.print(f"[red]✗[/red] {escape(error.problem.rstrip())}", highlight=False, soft_wrap=True)
    console.print(f"  [bold]Next:[/bold] {escape(error.next_step)}", highlight=False, soft_wrap=True)


def addresses(info: StackInfo) -> Table:
    """Where everything listens."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "gRPC (mutual TLS)", "metrics and probes"):
        table.add_column(heading)
    for name, service in info.services.items():
        table.add_row(name, service.grpc_address, f"http://{service.http_address}/readyz")
    table.add_row("postgres", _host_and_port(info.postgres_admin_url), "")
    table.add_row("kafka", info.kafka_bootstrap, "")
    return table


def states(processes: list[ProcessStatus]) -> Table:
    """What each process is doing."""
    table = Table(box=None, pad_edge=False)
    for heading in ("", "state", "process", "address"):
        table.add_column(heading)
    for process in processes:
        table.add_row(process.name, _state(process), str(process.pid or ""), process.address)
    return table


def reasons(processes: list[ProcessStatus]) -> list[str]:
    """A sentence for each process that is not well, and the next step; nothing when all are."""
    unwell = [process for process in processes if not process.well]
    sentences = [f"{process.name}: {' '.join((process.why or process.warning).split())}." for process in unwell]
    return [*sentences, f"Next: {_next_step(unwell)}"] if unwell else []


def _next_step(unwell: list[ProcessStatus]) -> str:
    down = [process.name for process in unwell if not process.alive]
    started = [process.name for process in unwell if process.why != NOT_STARTED]
    if not started:
        return "`gongji-local up` starts everything."
    more = f"`gongji-local logs {started[0]}`{' (or another name)' if len(started) > 1 else ''} tells more."
    if down:
        return f"`gongji-local up` starts {', '.join(down)} again; {more}"
    return f"{more} `gongji-local down`, then `gongji-local up`, starts everything anew."


def _state(process: ProcessStatus) -> str:
    if process.ready:
        return "[yellow]ready, degraded[/yellow]" if process.warning else "[green]ready[/green]"
    return "[yellow]not ready[/yellow]" if process.alive else "[red]down[/red]"


def _host_and_port(url: str) -> str:
    return url.rpartition("@")[2].partition("/")[0]
