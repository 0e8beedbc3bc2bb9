"""A process tells the truth about itself."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog

from kit import health as health_module
from kit.failures import OperatorError
from kit.health import Health, NotWell


def test_a_process_of_which_nothing_is_known_is_not_ready() -> None:
    health = Health()
    assert health.live()
    assert not health.ready()


def test_ready_means_every_check_is_well() -> None:
    health = Health()
    health.set("database", True)
    health.set("kafka", True)
    assert health.ready()
    health.set("kafka", False, "the loop has ended")
    assert not health.ready()
    assert health.live()
    assert health.checks()["kafka"].why == "the loop has ended"


def test_what_calls_do_not_need_is_told_and_takes_nobody_out_of_service() -> None:
    health = Health()
    health.set("database", True)
    health.set("consumer binding", False, "Kafka does not answer", serving=False)
    assert (health.ready(), health.live(), health.degraded()) == (True, True, ["consumer binding"])
    health.set("database", False, "down")
    assert (health.ready(), health.degraded()) == (False, ["consumer binding"])
    health.set("consumer binding", True, serving=False)
    assert health.degraded() == []
    health.set("consumer binding", False, "ended", vital=True, serving=False)
    assert (health.ready(), health.live(), health.degraded()) == (False, False, [])


def test_what_only_a_restart_helps_against_ends_liveness_too() -> None:
    health = Health()
    health.set("relay", False, "ended", vital=True)
    assert not health.live()


def test_a_loop_that_has_stopped_turning_is_neither_live_nor_ready() -> None:
    health = Health(heartbeat_limit_seconds=-1)
    health.set("database", True)
    assert not health.live()
    assert not health.ready()


async def test_a_turning_loop_keeps_the_heart_beating() -> None:
    health = Health()
    health.set("database", True)
    before = health.checks()["event_loop"].since
    health._limit_seconds = before.seconds  # whatever has passed is too long from now on
    assert not health.live()
    health._limit_seconds = 5
    beating = asyncio.ensure_future(health.beat())
    await asyncio.sleep(0)
    assert health.ready()
    beating.cancel()


def test_a_state_keeps_the_time_since_which_it_has_been_so() -> None:
    health = Health()
    health.set("database", False, "down")
    since = health.checks()["database"].since
    health.set("database", False, "still down")
    assert health.checks()["database"].since is since
    assert health.checks()["database"].why == "still down"
    health.set("database", True)
    assert health.checks()["database"].since is not since


async def test_a_probe_that_fails_or_hangs_is_not_ok_and_its_words_stay_inside() -> None:
    async def fails() -> None:
        raise ConnectionRefusedError("password of gongji@10.0.0.1")

    async def hangs() -> None:
        await asyncio.Event().wait()

    health = Health()
    await health.ask("database", fails)
    await health.ask("kafka", hangs, timeout_seconds=0.01)
    checks = health.checks()
    assert (checks["database"].ok, checks["database"].why) == (False, "ConnectionRefusedError when asked")
    assert (checks["kafka"].ok, checks["kafka"].why) == (False, "no answer within 0.01 s")


async def test_what_is_said_for_the_operator_is_told_in_full_and_may_leave_calls_alone() -> None:
    async def refused() -> None:
        raise OperatorError("PostgreSQL at db:5432 refuses the password of the role gongji_binding.")

    async def late() -> None:
        raise NotWell("the clock is 40 s ahead", serving=False)

    health = Health()
    health.set("process", True)
    await health.ask("clock", late)
    assert (health.ready(), health.degraded()) == (True, ["clock"])
    await health.ask("database", refused)
    assert not health.ready()
    assert health.checks()["database"].why == "PostgreSQL at db:5432 refuses the password of the role gongji_binding."


async def test_a_change_is_one_line_of_the_log_and_what_stays_is_none() -> None:
    health = Health()
    with structlog.testing.capture_logs() as logged:
        for found in (None, NotWell("a"), NotWell("b"), NotWell("c", serving=False), NotWell("d"), None, None):
            await health.ask("clock", probe_that_finds(found))
    assert [(line["log_level"], line["event"], line.get("why")) for line in logged] == [
        ("error", "not ready", "a"),
        ("warning", "degraded", "c"),
        ("error", "not ready", "d"),
        ("info", "well again", None),
    ]
    assert health.checks()["clock"].ok


def probe_that_finds(trouble: Exception | None) -> Callable[[], Awaitable[None]]:
    async def probe() -> None:
        if trouble is not None:
            raise trouble

    return probe


async def test_a_watch_notices_both_the_fall_and_the_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([True, False, True])
    seen: list[bool] = []
    done = asyncio.Event()
    health = Health()

    async def probe() -> None:
        answer = next(answers, None)
        if answer is None:
            done.set()
        elif not answer:
            raise ConnectionError

    def record(_name: str, ok: bool, _why: str = "") -> None:  # noqa: FBT001 - as in Health
        seen.append(ok)

    monkeypatch.setattr(health, "set", record)
    watching = asyncio.ensure_future(health.watch("database", probe, every_seconds=0))
    await asyncio.wait_for(done.wait(), 5)
    watching.cancel()
    assert seen[:3] == [True, False, True]
    assert health_module.HEARTBEAT_SECONDS < health_module.HEARTBEAT_LIMIT_SECONDS
