"""Stacks whose services are stand-ins, so that the stack's own behaviour is tried without the real ones."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from gongji_local.sessions import new_session_folder, quick_folder, remove_session
from gongji_local.stack import Stack
from gongji_local.state import StateBook, StateFolder

STAND_IN = Path(__file__).with_name("stand_in.py")
BEHAVIOURS = "behaviours"


def stand_in(service: str, action: str) -> Sequence[str]:
    return (sys.executable, str(STAND_IN), service, action)


def new_stack(folder: Path, environ: dict[str, str], services: Sequence[str]) -> Stack:
    """A stack of stand-ins; files in `behaviours` tell them how to misbehave."""
    behaviours = folder / BEHAVIOURS
    behaviours.mkdir(exist_ok=True)
    told = {**environ, "STAND_IN_FOLDER": str(behaviours)}
    return Stack(folder, environ=told, services=services, launcher=stand_in)


@pytest.fixture(scope="session")
def plain_environ() -> dict[str, str]:
    """Without what the machine at hand names, so that the stack under test is its own."""
    named = {"DATABASE_URL", "KAFKA_BOOTSTRAP", "GONGJI_STACK", "GONGJI_STATE"}
    return {name: value for name, value in os.environ.items() if name not in named}


@pytest.fixture(scope="session")
def _own_stack(plain_environ: dict[str, str]) -> Iterator[Stack]:
    """One embedded stack for all these tests: PostgreSQL, Kafka and two stand-ins."""
    stack = new_stack(new_session_folder(quick_folder()), plain_environ, ("binding", "notify"))
    yield stack
    remove_session(stack)


@pytest.fixture
def own_stack(_own_stack: Stack) -> Stack:
    """The embedded stack, up and well-behaved at the start of each test."""
    for file in (_own_stack.folder.root / BEHAVIOURS).iterdir():
        file.unlink()
    _own_stack.reset_clock()
    _own_stack.up()
    return _own_stack


@pytest.fixture
def second_view(own_stack: Stack, plain_environ: dict[str, str]) -> Stack:
    """The same state folder as another command sees it."""
    return new_stack(own_stack.folder.root, plain_environ, ("binding", "notify"))


@pytest.fixture
def let(own_stack: Stack) -> Callable[[str, str], None]:
    """`let("binding", "crash")`: how a stand-in misbehaves from its next start or answer on."""

    def say(service: str, behaviour: str) -> None:
        (own_stack.folder.root / BEHAVIOURS / service).write_text(behaviour)

    return say


@pytest.fixture
def book(tmp_path: Path) -> StateBook:
    """The record of an empty state folder."""
    folder = StateFolder(tmp_path / "state")
    folder.create()
    return StateBook(folder)


@pytest.fixture
def scratch(plain_environ: dict[str, str]) -> Iterator[Path]:
    """A session folder that PostgreSQL's account can walk through; what runs from it is ended afterwards."""
    folder = new_session_folder(quick_folder())
    yield folder
    remove_session(Stack(folder, environ=plain_environ))
