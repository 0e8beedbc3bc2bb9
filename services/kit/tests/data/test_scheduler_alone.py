"""On PostgreSQL a job is one replica's at a time, and whatever ends its transaction frees it."""

from collections.abc import AsyncIterator

import pytest

from kit.db import Database, PostgresWork
from kit.scheduler import Job, Scheduler, alone_on


@pytest.fixture
async def replica(database_url: str) -> AsyncIterator[Database]:
    """Another process's pool on the same database."""
    replica = Database(database_url, pool_size=2)
    yield replica
    await replica.close()


async def test_two_replicas_are_never_at_one_job_together(database: Database, replica: Database) -> None:
    async with alone_on(database)("one") as first:
        async with alone_on(replica)("one") as second, alone_on(replica)("two") as other:
            assert (first, second) == (True, False)
        async with alone_on(replica)("two") as other:
            assert other
    async with alone_on(replica)("one") as again:
        assert again


async def test_a_batch_that_fails_is_undone_and_frees_the_job(database: Database, replica: Database) -> None:
    work = PostgresWork(database, lambda transaction: transaction.raw)

    async def fails_after_writing() -> int:
        async with work() as raw:
            await raw.execute("INSERT INTO fact (id) VALUES ('half')")
        raise ValueError("after writing")

    with pytest.raises(ValueError, match="after writing"):
        await Scheduler([], alone_on(database)).run_once(Job("half", 1.0, fails_after_writing))
    async with alone_on(replica)("half") as ours, work() as raw:
        assert ours
        assert await raw.fetchval("SELECT count(*) FROM fact") == 0
