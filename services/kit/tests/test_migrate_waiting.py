"""A new pod waits for its migration, says what for, and does not wait for ever."""

from collections.abc import Sequence

import pytest

from kit.clock import Elapsed
from kit.failures import OperatorError
from kit.migrate_waiting import until_applied


class World:
    """What is found at each look; the last stays."""

    def __init__(self, *found: Sequence[str] | Exception) -> None:
        self._found = list(found)
        self.told: list[str] = []
        self.now = 0.0

    def look(self) -> Sequence[str]:
        found = self._found.pop(0) if len(self._found) > 1 else self._found[0]
        if isinstance(found, Exception):
            raise found
        return found

    def passes(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, seconds: float) -> Sequence[str]:
        return until_applied(
            self.look,
            lambda error: OperatorError("nobody answers") if isinstance(error, OSError) else None,
            self.told.append,
            seconds,
            pause=self.passes,
            elapsed=Elapsed(lambda: self.now),
        )


def test_what_is_applied_already_is_not_waited_for() -> None:
    world = World([])
    assert list(world.wait(600)) == []
    assert (world.now, world.told) == (0, [])


def test_it_says_once_for_what_it_waits_and_goes_on_when_that_is_there() -> None:
    world = World(OSError(), OSError(), ["0001 a", "0002 b"], ["0002 b"], ["0002 b"], [])
    assert list(world.wait(600)) == []
    assert world.told == [
        "waiting: nobody answers",
        "waiting for the migration 0001 a",
        "waiting for the migration 0002 b",
    ]


def test_patience_ends_with_what_is_missing() -> None:
    world = World(["0002 b"])
    assert list(world.wait(600)) == ["0002 b"]
    assert world.now == 600


def test_without_patience_it_looks_once() -> None:
    world = World(["0002 b"], [])
    assert list(world.wait(0)) == ["0002 b"]
    assert (world.now, world.told) == (0, [])


def test_a_database_that_never_comes_is_told_at_last() -> None:
    world = World(ConnectionRefusedError("5432"))
    with pytest.raises(ConnectionRefusedError):
        world.wait(600)
    assert world.now == 600


def test_what_waiting_cannot_mend_ends_it_at_once() -> None:
    world = World(KeyError("bug"))
    with pytest.raises(KeyError):
        world.wait(600)
    assert world.now == 0
