"""Plays files of acceptance cases on a stack of their own and says of each case whether it passed."""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer
from grpc import aio
from rich.console import Console
from rich.markup import escape

from gongji_local.cases.play import Player
from gongji_local.cases.script import Case, ScriptError, read
from gongji_local.cases.world import World, WorldError
from gongji_local.client import Connections
from gongji_local.console import ConsoleProgress, print_error
from gongji_local.errors import StackError
from gongji_local.stack import Stack
from kit.clock import Elapsed

EXIT_FAILED: Final = 1
EXIT_UNUSABLE: Final = 2
CASE_TIMEOUT_SECONDS: Final = 120.0
out = Console(highlight=False, soft_wrap=True)


def main(
    files: Annotated[list[Path], typer.Argument(help="Files of cases (YAML).")],
    only: Annotated[list[str] | None, typer.Option(help="Play only this case; may be given again.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="Play on the stack of this state folder, and leave it running.")
    ] = None,
) -> None:
    """Play acceptance cases through the public interfaces of running services."""
    try:
        failed = _on_stack(state, _chosen(files, only))
    except ScriptError as error:
        out.print(f"[red]✗[/red] {escape(str(error))}")
        raise typer.Exit(EXIT_UNUSABLE) from error
    except StackError as error:
        print_error(out, error)
        raise typer.Exit(EXIT_UNUSABLE) from error
    raise typer.Exit(EXIT_FAILED if failed else 0)


def _chosen(files: list[Path], only: list[str] | None) -> list[Case]:
    cases = [case for file in files for case in read(file) if not only or case.id in only]
    if not cases:
        raise ScriptError("no case has one of the ids asked for")
    return cases


def _on_stack(state: Path | None, cases: list[Case]) -> int:
    if state is not None:
        return _report(Stack(state), cases)
    # A stack of their own: cases move the clock, which nobody else at this machine would like.
    with tempfile.TemporaryDirectory(prefix="gongji-cases-", ignore_cleanup_errors=True) as folder:
        stack = Stack(Path(folder) / "state")
        try:
            return _report(stack, cases)
        finally:
            stack.wipe()


def _report(stack: Stack, cases: list[Case]) -> int:
    stack.up(ConsoleProgress(out))
    try:
        return asyncio.run(_play_all(stack, cases))
    finally:
        stack.reset_clock()


async def _play_all(stack: Stack, cases: list[Case]) -> int:
    passed, failed = 0, 0
    async with Connections(stack) as connections:
        for case in cases:
            elapsed = Elapsed()
            problems = await _play(stack, connections, case)
            _tell(case, "[red]✗[/red]" if problems else "[green]✓[/green]", f"[dim]{elapsed.seconds:.1f} s[/dim]")
            for problem in problems:
                out.print(f"    [red]{escape(problem)}[/red]")
            failed, passed = failed + bool(problems), passed + (not problems)
    out.print(f"cases: {passed} passed, {failed} failed")
    return failed


def _tell(case: Case, mark: str, end: str) -> None:
    out.print(f"{mark} {case.id}  {escape(case.title)}  {end}")


async def _play(stack: Stack, connections: Connections, case: Case) -> list[str]:
    try:
        async with asyncio.timeout(CASE_TIMEOUT_SECONDS):
            world = World(stack, connections, case)
            await world.make()
            return await Player(world, case).play()
    except aio.AioRpcError as error:
        return [f"a call ended with {error.code().name}: {error.details()}"]
    except TimeoutError:
        return [f"not done within {CASE_TIMEOUT_SECONDS:g} s"]
    except (WorldError, ScriptError, StackError) as error:
        return [str(error)]


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    typer.run(main)
