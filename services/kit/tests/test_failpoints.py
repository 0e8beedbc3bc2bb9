"""Failpoints: a process stands still or dies between two steps, where a test says so."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from kit.failpoints import EXIT_STATUS, Action, Boundary, Failpoints, UnknownFailpointError, parse


def test_a_setting_names_boundaries_and_actions() -> None:
    points = parse("after_authorize=pause, after_commit=exit")
    assert points == {Boundary.AFTER_AUTHORIZE: Action.PAUSE, Boundary.AFTER_COMMIT: Action.EXIT}
    assert parse("") == {}


@pytest.mark.parametrize("text", ["nowhere=pause", "after_commit=sing", "after_commit"])
def test_an_unknown_failpoint_is_refused_with_those_that_there_are(text: str) -> None:
    with pytest.raises(UnknownFailpointError, match="after_authorize"):
        parse(text)


async def test_a_pause_stands_still_at_its_boundary_only() -> None:
    failpoints = Failpoints({Boundary.AFTER_AUTHORIZE: Action.PAUSE})
    await failpoints.reach(Boundary.AFTER_INTENT)
    standing = asyncio.create_task(failpoints.reach(Boundary.AFTER_AUTHORIZE))
    done, _ = await asyncio.wait([standing], timeout=0.05)
    assert not done
    standing.cancel()


async def test_sigcont_lets_go_what_stands_still_and_all_that_comes_later() -> None:
    failpoints = Failpoints(dict.fromkeys(Boundary, Action.PAUSE))
    standing = [asyncio.create_task(failpoints.reach(boundary)) for boundary in Boundary]
    done, _ = await asyncio.wait(standing, timeout=0.05)
    assert not done
    os.kill(os.getpid(), signal.SIGCONT)
    async with asyncio.timeout(10):
        await asyncio.gather(*standing)
        await failpoints.reach(Boundary.AFTER_COMMIT)


def test_an_exit_ends_the_process_at_once_and_says_where() -> None:
    script = """
import asyncio
from kit.failpoints import Boundary, Failpoints, parse
try:
    asyncio.run(Failpoints(parse("after_hold=exit")).reach(Boundary.AFTER_HOLD))
finally:
    print("went on")
"""
    done = subprocess.run(  # noqa: S603 - this file's own words
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == EXIT_STATUS
    assert "after_hold" in done.stdout + done.stderr
    assert "went on" not in done.stdout
