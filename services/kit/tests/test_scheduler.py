"""Jobs run again and again, each by itself; a failure is counted, tried again and ends nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY

from kit import scheduler
from kit.health import Health
from kit.lifecycle import Application
from kit.scheduler import Job, RepeatedJobError, Scheduler, pause_seconds
from kit.testing import eventually

SOON_SECONDS = 0.001


@asynccontextmanager
async def always(_name: str) -> AsyncIterator[bool]:
    yield True


@asynccontextmanager
async def never(_name: str) -> AsyncIterator[bool]:
    yield False


def metric(name: str, job: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"job_name": job, **labels}) or 0.0


class Work:
    """A job that gives back what it is told to, and counts how often it was asked."""

    def __init__(self, name: str, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.job = Job(name, SOON_SECONDS, self.batch)

    async def batch(self) -> int:
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else 0
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def running(*work: Work, alone: scheduler.Alone = always) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(Scheduler([it.job for it in work], alone).run())
    yield task
    task.cancel()
    await asyncio.wait([task])


async def test_a_run_goes_on_until_nothing_is_left() -> None:
    work = Work("until-empty", 200, 200, 7, 0, 5)
    assert await Scheduler([], always).run_once(work.job) == 407
    assert work.asked == 4
    assert metric("gongji_job_done_total", "until-empty") == 407
    assert metric("gongji_job_last_success_seconds", "until-empty") > 0


async def test_what_another_replica_is_at_is_left_to_it() -> None:
    work = Work("elsewhere", 3)
    assert await Scheduler([], never).run_once(work.job) == 0
    assert work.asked == 0
    assert metric("gongji_job_last_success_seconds", "elsewhere") == 0


async def test_a_job_that_never_ends_gives_way_after_a_bounded_number_of_batches(monkeypatch: Any) -> None:
    monkeypatch.setattr(scheduler, "MAX_BATCHES", 5)
    work = Work("endless", *([1] * 50))
    assert await Scheduler([], always).run_once(work.job) == 5


async def test_jobs_run_again_and_again_and_none_waits_for_another() -> None:
    hanging = asyncio.Event()

    async def hang() -> int:
        await hanging.wait()
        return 0

    quick, stuck = Work("quick"), Work("stuck")
    stuck.job = Job("stuck", SOON_SECONDS, hang)
    async with running(quick, stuck):
        await eventually(lambda: quick.asked >= 3)


async def test_a_failure_is_counted_and_the_job_tried_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(scheduler, "FIRST_BACKOFF_SECONDS", SOON_SECONDS)
    other = Work("well")
    work = Work("failing", ValueError("no"), ValueError("no"))
    async with running(work, other) as task:
        await eventually(lambda: work.asked >= 4 and other.asked >= 3)
        assert not task.done()
    assert metric("gongji_job_failures_total", "failing", error="ValueError") == 2
    assert metric("gongji_job_failures_in_row", "failing") == 0


async def test_what_was_done_before_a_failure_is_not_undone() -> None:
    work = Work("partly", 200, ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await Scheduler([], always).run_once(work.job)
    assert metric("gongji_job_done_total", "partly") == 200
    assert metric("gongji_job_last_success_seconds", "partly") == 0


def test_pauses_are_the_jobs_own_with_jitter_and_grow_with_failures() -> None:
    job = Job("any", 3600.0, Work("any").batch)
    assert all(0.9 * 3600 <= pause_seconds(job, 0) <= 1.1 * 3600 for _ in range(100))
    assert all(pause_seconds(job, 1) <= 1.0 for _ in range(100))
    assert all(30.0 <= pause_seconds(job, 50) <= 60.0 for _ in range(100))
    often = Job("often", 2.0, Work("often").batch)
    assert all(pause_seconds(often, 50) <= 2.0 for _ in range(100))


def test_two_jobs_of_one_name_are_refused() -> None:
    with pytest.raises(RepeatedJobError):
        Scheduler([Work("same").job, Work("same").job], always)


async def test_stopping_the_process_ends_a_batch_under_way_at_once() -> None:
    started, undone = asyncio.Event(), asyncio.Event()

    async def long_batch() -> int:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            undone.set()
        return 1

    health = Health()
    application = Application(health)
    application.background("scheduler", Scheduler([Job("long", 1.0, long_batch)], always).run)
    application.background("stopper", _stop_when(application, started))
    async with asyncio.timeout(5):
        assert await application.serve() == 0
    assert undone.is_set()


def _stop_when(application: Application, started: asyncio.Event) -> Callable[[], Any]:
    async def stopper() -> None:
        await started.wait()
        application.stop()

    return stopper
