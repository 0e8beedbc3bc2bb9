"""A process starts its parts in order and stops them backwards, whatever happens."""

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import structlog

from kit.health import Health
from kit.lifecycle import COLLECT_AFTER, Application


@pytest.fixture(autouse=True)
def _collections_as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - other threads ask health too, so it has no event of the loop
        await asyncio.sleep(0)


class Parts:
    """Parts that note what happens to them."""

    def __init__(self) -> None:
        self.health = Health()
        self.app = Application(self.health)
        self.happened: list[str] = []

    def note(self, what: str) -> Callable[[], Awaitable[None]]:
        async def step() -> None:
            self.happened.append(what)

        return step

    def add(self, name: str, **options: Any) -> None:
        self.app.add(name, self.note(f"start {name}"), self.note(f"stop {name}"), **options)

    async def stop_when_ready(self) -> None:
        await until(self.health.ready)
        self.app.stop()


async def fails() -> None:
    raise ConnectionError("no database")


async def test_parts_start_in_order_and_stop_backwards_after_draining() -> None:
    parts = Parts()
    for name in ("database", "batcher", "grpc"):
        parts.add(name)
    parts.app.on_draining(parts.note("not serving"))
    parts.app.background("stopper", parts.stop_when_ready)
    assert await parts.app.serve() == 0
    assert parts.happened == [
        *("start database", "start batcher", "start grpc", "not serving"),
        *("stop grpc", "stop batcher", "stop database"),
    ]
    assert not parts.health.ready()


async def test_what_a_serving_process_is_made_of_is_spared_from_collections() -> None:
    parts = Parts()
    frozen = gc.get_freeze_count()
    parts.app.background("stopper", parts.stop_when_ready)
    await parts.app.serve()
    assert gc.get_freeze_count() > frozen + 1000
    assert gc.get_threshold() == COLLECT_AFTER


async def test_a_part_that_cannot_start_stops_those_before_it_and_tells_by_the_status() -> None:
    parts = Parts()
    parts.add("database")
    parts.app.add("kafka", fails, parts.note("stop kafka"))
    parts.add("grpc")
    assert await parts.app.serve() == 1
    assert parts.happened == ["start database", "stop database"]


async def ends() -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (lambda app: app.add("kafka", fails, None), "kafka: no database"),
        (lambda app: app.background("relay", ends), "relay: ended"),
        (lambda app: app.background("relay", fails), "relay: no database"),
    ],
)
async def test_the_last_line_says_what_failed_first(fault: Callable[[Application], None], why: str) -> None:
    parts = Parts()
    parts.add("database")
    fault(parts.app)
    with structlog.testing.capture_logs() as logged:
        assert await asyncio.wait_for(parts.app.serve(), 5) == 1
    assert logged[-1] == {"event": "stopped", "failed": True, "why": why, "log_level": "info"}
    assert sum(line["log_level"] == "error" for line in logged) == ("ended" not in why)


async def test_a_part_that_cannot_stop_does_not_keep_the_others_from_stopping() -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    parts = Parts()
    parts.add("database")
    parts.app.add("kafka", None, hangs, stop_timeout_seconds=0.01)
    parts.app.add("grpc", None, fails)
    parts.app.background("stopper", parts.stop_when_ready)
    assert await parts.app.serve() == 1
    assert parts.happened == ["start database", "stop database"]


async def test_a_signal_while_a_part_is_still_starting_gives_it_up() -> None:
    starting = asyncio.Event()

    async def never_there() -> None:
        starting.set()
        await asyncio.Event().wait()

    parts = Parts()
    parts.add("probes")
    parts.app.add("database", never_there, parts.note("stop database"))
    serving = asyncio.ensure_future(parts.app.serve())
    await starting.wait()
    parts.app.stop()
    assert await asyncio.wait_for(serving, 5) == 0
    assert parts.happened == ["start probes", "stop probes"]


async def test_a_background_task_that_ends_takes_the_process_with_it() -> None:
    parts = Parts()
    parts.app.background("relay", ends)
    assert await asyncio.wait_for(parts.app.serve(), 5) == 1
    assert not parts.health.live()


async def test_a_background_task_is_cancelled_at_its_place_in_the_order() -> None:
    parts = Parts()

    async def works() -> None:
        try:
            await parts.stop_when_ready()
            await asyncio.Event().wait()
        finally:
            parts.happened.append("relay cancelled")

    parts.add("database")
    parts.app.background("relay", works)
    parts.add("grpc")
    assert await asyncio.wait_for(parts.app.serve(), 5) == 0
    assert parts.happened[-3:] == ["stop grpc", "relay cancelled", "stop database"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_both_signals_stop_it_cleanly(number: signal.Signals) -> None:
    parts = Parts()
    parts.app.add("signaller", None, None)
    serving = asyncio.ensure_future(parts.app.serve())
    await until(parts.health.ready)
    os.kill(os.getpid(), number)
    assert await asyncio.wait_for(serving, 5) == 0


async def test_a_watched_thing_is_asked_before_the_process_calls_itself_ready() -> None:
    parts = Parts()
    parts.app.watch("database", fails)
    serving = asyncio.ensure_future(parts.app.serve())
    await until(lambda: "process" in parts.health.checks() and parts.health.checks()["process"].ok)
    assert "database" in parts.health.checks()
    assert not parts.health.ready()
    parts.app.stop()
    assert await asyncio.wait_for(serving, 5) == 0


async def test_a_process_is_started_when_the_last_part_is_and_not_before() -> None:
    parts = Parts()
    seen: list[bool] = []

    async def look() -> None:
        seen.append(parts.health.started())

    parts.app.add("database", look, None)
    parts.app.background("stopper", parts.stop_when_ready)
    parts.app.add("grpc", look, look)
    assert await parts.app.serve() == 0
    assert seen == [False, False, True]


async def test_a_process_that_could_not_start_was_never_started() -> None:
    parts = Parts()
    parts.app.add("database", fails, None)
    assert await parts.app.serve() == 1
    assert not parts.health.started()


def test_the_longest_stop_is_what_all_parts_may_take_together() -> None:
    parts = Parts()
    parts.add("database")
    parts.add("batcher", stop_timeout_seconds=15.0)
    parts.app.add("tracing", parts.note("start tracing"), None, stop_timeout_seconds=99.0)
    assert parts.app.longest_stop_seconds == 20 + 15
    parts.app.on_draining(parts.note("not serving"))
    assert parts.app.longest_stop_seconds == 20 + 15 + 5
