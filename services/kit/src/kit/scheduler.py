"""Regular work in the background: every replica runs every job, and one replica at a time is at a job.

What is due follows from the tables, never from when a job last ran: so it does not matter which replica runs it, or
that none did for days. A batch is one transaction under the job's advisory lock. The lock ends with the transaction,
however that ends, so a replica that dies leaves nothing behind that the others would have to wait for. It only spares
useless work: a job takes its rows with `FOR UPDATE SKIP LOCKED` and marks them, and would be right without it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from kit.backoff import backoff_seconds
from kit.clock import Elapsed
from kit.db import Database
from kit.db_errors import trouble
from kit.metrics import ERROR, EVERY, Label, error_name
from kit.observability import get_logger

MAX_BATCHES = 1000
"""Batches of one run; a job that claims to have done something for ever must not keep its replica busy for ever."""
FIRST_BACKOFF_SECONDS = 1.0
MOST_BACKOFF_SECONDS = 60.0
JITTER = 0.1
LOCK_SPACE = 0x6A6F62
"""The first half of the jobs' advisory locks ("job"), apart from everybody else's."""

_TRY = "SELECT pg_try_advisory_xact_lock($1, hashtext($2))"

# Not `job`: Prometheus calls the target so.
JOB = Label("job_name", "name of the job, as the code states it", most=64)

SUCCEEDED_AT = EVERY.gauge(
    "gongji_job_last_success_seconds",
    "When this process last ran the job to its end, Unix time.",
    unit="s",
    labels=(JOB,),
)
FAILURES = EVERY.counter("gongji_job_failures_total", "Runs that failed.", unit="runs", labels=(JOB, ERROR))
FAILING = EVERY.gauge(
    "gongji_job_failures_in_row", "Runs that failed since the last one that did not.", unit="runs", labels=(JOB,)
)
DONE = EVERY.counter("gongji_job_done_total", "What jobs did, in the unit of each.", unit="", labels=(JOB,))
DURATION = EVERY.histogram(
    "gongji_job_duration_seconds",
    "How long a run took.",
    unit="s",
    labels=(JOB,),
    buckets=(0.01, 0.05, 0.2, 1.0, 5.0, 30.0, 120.0, 600.0),
)

Alone = Callable[[str], AbstractAsyncContextManager[bool]]
"""Entering it tells whether the job of this name is ours until the block ends."""


@dataclass(frozen=True, slots=True)
class Job:
    """Work that becomes due as time goes by."""

    name: str
    """Such as `expire-relations`: of the lock, the metrics and the log; the same in every replica."""
    every_seconds: float
    """Pause after a run, by real time."""
    batch: Callable[[], Awaitable[int]]
    """Does a bounded part of what is due and returns how much that was; 0 when nothing is left."""


def alone_on(database: Database) -> Alone:
    """One replica at a time, told by an advisory lock of the transaction that the batch works in."""

    @asynccontextmanager
    async def alone(name: str) -> AsyncIterator[bool]:
        async with database.shared() as transaction:
            yield bool(await transaction.raw.fetchval(_TRY, LOCK_SPACE, name))

    return alone


class Scheduler:
    """Runs jobs until it is cancelled. No failure ends it, and no job waits for another.

    Args:
        jobs: what to run; names are unique.
        alone: what keeps two replicas from the same job at a time; `alone_on(database)`.
    """

    def __init__(self, jobs: Sequence[Job], alone: Alone) -> None:
        if len({job.name for job in jobs}) != len(jobs):
            raise RepeatedJobError("two jobs have the same name; they would lock each other out")
        self._jobs = tuple(jobs)
        self._alone = alone
        self._log = get_logger()

    async def run(self) -> None:
        """Run every job again and again. A batch that cancelling meets is rolled back whole."""
        async with asyncio.TaskGroup() as group:
            for job in self._jobs:
                group.create_task(self._keep_running(job), name=f"job {job.name}")

    async def _keep_running(self, job: Job) -> None:
        failures = 0
        while True:
            failures = 0 if await self._succeeds(job) else failures + 1
            FAILING.labels(job.name).set(failures)
            await asyncio.sleep(pause_seconds(job, failures))

    async def _succeeds(self, job: Job) -> bool:
        elapsed = Elapsed()
        try:
            done = await self.run_once(job)
        except Exception as error:  # noqa: BLE001 - whatever it is, what is due stays due and is tried again
            FAILURES.labels(job.name, error_name(type(error).__name__)).inc()
            self._log.warning("job failed", job=job.name, error=type(error).__name__, **trouble(error))
            return False
        DURATION.labels(job.name).observe(elapsed.seconds)
        if done:
            self._log.info("job done", job=job.name, done=done, seconds=round(elapsed.seconds, 3))
        return True

    async def run_once(self, job: Job) -> int:
        """Batch after batch until nothing is left, or another replica is at it; how much was done."""
        done = 0
        for _ in range(MAX_BATCHES):
            async with self._alone(job.name) as ours:
                count = await job.batch() if ours else None
            if count is None:
                return done
            DONE.labels(job.name).inc(count)
            done += count
            if count == 0:
                break
        SUCCEEDED_AT.labels(job.name).set_to_current_time()
        return done


class RepeatedJobError(Exception):
    """Two jobs have one name; a fault in the code."""


def pause_seconds(job: Job, failures: int) -> float:
    """How long to wait after a run, with jitter, so that replicas do not come all at once."""
    if failures:
        most_seconds = max(FIRST_BACKOFF_SECONDS, min(job.every_seconds, MOST_BACKOFF_SECONDS))
        return backoff_seconds(failures, first_seconds=FIRST_BACKOFF_SECONDS, most_seconds=most_seconds)
    return job.every_seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - jitter, no secret
