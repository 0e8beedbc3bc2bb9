"""Runs the services out of their trees, as containers would, on the embedded stack's PostgreSQL and Kafka."""

import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console

from gongji_images import confine, tree
from gongji_images.dockerfile import Stage, environment
from gongji_images.errors import ImagesError
from gongji_images.interpreter import python_for_others
from gongji_images.workplace import RUNS_AS, Workplace, is_root, placed
from gongji_local.demo import play
from gongji_local.errors import StackError
from gongji_local.parallel import in_parallel
from gongji_local.progress import Progress, told
from gongji_local.services import Launcher
from gongji_local.stack import Stack

COMMANDS: Final = (("settlement", "audit"), *((service, "config") for service in tree.SERVICES))


def launcher(workplace: Workplace, stages: Mapping[str, Stage]) -> Launcher:
    """Starts a service's command as its image would: its entry point, its variables, its user, one folder to write."""

    def launched(service: str, action: str) -> Sequence[str]:
        places = workplace.places(service)
        writable = [workplace.tmp(service), *([workplace.state / "sms"] if service == "notify" else [])]
        variables = {"TMPDIR": "/tmp", **environment(stages["runtime"])}  # noqa: S108 - the container's
        return (
            *(str(python_for_others()), str(Path(confine.__file__).resolve())),
            *(("--user", str(RUNS_AS)) if is_root() else ()),
            *(word for folder in writable for word in ("--writable", str(folder))),
            *("--secrets", str(workplace.secrets(service))),
            *(word for name, value in variables.items() for word in ("--set", f"{name}={placed(value, places)}")),
            *("--", *(placed(word, places) for word in stages[service].last("ENTRYPOINT").argv), action),
        )

    return launched


def run_all(workplace: Workplace, stages: Mapping[str, Stage], progress: Progress) -> None:
    """Migrates, serves until ready, plays the demo, asks the commands, and ends everything.

    Raises:
        ImagesError: a service does not work out of its tree, or is not what it has to be.
    """
    stack = Stack(workplace.state, launcher=launcher(workplace, stages))
    stack.folder.create()
    if is_root():  # the one folder beside /tmp that is written: it stands for the gateway of telephones
        os.chown(stack.folder.sms, RUNS_AS, RUNS_AS)
    try:
        _run_all(stack, workplace, progress)
    except StackError as error:
        raise ImagesError(f"a service does not work out of its tree: {error}") from error
    finally:
        stack.wipe()


def _run_all(stack: Stack, workplace: Workplace, progress: Progress) -> None:
    stack.up(progress)
    with told(progress, "Processes") as step:
        step.detail = _require_own_processes(stack, workplace)
    with told(progress, "Demo", "played on what runs out of the trees"):
        _play(stack)
    with told(progress, "Commands", ", ".join(" ".join(each) for each in COMMANDS)):
        in_parallel(lambda each: _require_success(stack, *each), COMMANDS)
    with told(progress, "Ending"):
        stack.down()


def _require_own_processes(stack: Stack, workplace: Workplace) -> str:
    for service, info in stack.info.services.items():
        if info.pid is None:
            raise ImagesError(f"{service} does not run")
        process = psutil.Process(info.pid)
        program, user = process.cmdline()[0], process.uids().real
        if not program.startswith(str(workplace.tree(service))):
            raise ImagesError(f"{service} runs {program}, which is not in its tree")
        if user != (RUNS_AS if is_root() else os.geteuid()):
            raise ImagesError(f"{service} runs as the user {user}")
    return f"out of the trees, as user {RUNS_AS if is_root() else os.geteuid()}"


def _play(stack: Stack) -> None:
    told_there = io.StringIO()
    try:
        play(stack, Console(file=told_there, width=120))
    except StackError as error:
        raise ImagesError(f"the demo failed: {error}\n{told_there.getvalue()}") from error


def _require_success(stack: Stack, service: str, action: str) -> None:
    done = stack.run_command(service, action)
    if done.returncode != 0:
        raise ImagesError(f"python -m {service} {action} ended with {done.returncode}:\n{done.stdout}")


def unchanged(trees: Mapping[str, Path], work: Callable[[], None]) -> list[str]:
    """Does the work; what of the trees it has changed, a sentence each."""
    before = {name: tree.snapshot(place) for name, place in trees.items()}
    work()
    after = {name: tree.snapshot(place) for name, place in trees.items()}
    return [
        f"{name}: {path} was written while it ran"
        for name in trees
        for path in sorted({path for path, _stat in before[name].items() ^ after[name].items()})
    ]
