"""One relay publishes at a time; another takes over when it stops, dies, or loses its connections."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from kit.db import Database
from kit.events import StoredEvent
from kit.testing import eventually
from kit.testing_relay import Recorder, Running, relay_of, tell, until_sent


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


async def test_only_one_of_two_relays_is_active(database: Database, database_url: str) -> None:
    one, other = Recorder(), Recorder()
    async with (
        Running(relay_of(database, database_url, one, "one", poll_seconds=0.02)),
        Running(relay_of(database, database_url, other, "other", poll_seconds=0.02)),
    ):
        for number in range(20):
            await tell(database, f"{number:02}")
            await until_sent(database)
    assert sorted([len(one.kafka), len(other.kafka)]) == [0, 20]


class Timed(Recorder):
    """Remembers when, by the database's clock, it was first asked to publish."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self.first_at: Any = None

    async def publish(self, rows: Sequence[StoredEvent]) -> list[int]:
        async with self._database.transaction() as transaction:
            self.first_at = self.first_at or await transaction.raw.fetchval("SELECT clock_timestamp()")
        return await super().publish(rows)


async def test_a_dead_relay_is_succeeded_when_its_lease_has_run_out_and_not_before(
    database: Database, database_url: str
) -> None:
    timed = Timed(database)
    await tell(database, "first")
    async with database.transaction() as transaction:
        expires_at = await transaction.raw.fetchval(
            "INSERT INTO outbox_lease VALUES (true, 'dead', clock_timestamp() + interval '1 s') RETURNING expires_at"
        )
    async with Running(relay_of(database, database_url, timed, poll_seconds=0.02)):
        await eventually(lambda: timed.texts() == ["first"])
    assert timed.first_at >= expires_at


async def test_a_relay_that_stops_hands_over_at_once(database: Database, database_url: str) -> None:
    one, other = Recorder(), Recorder()
    first = Running(relay_of(database, database_url, one, "one", lease_seconds=300.0))
    await first.__aenter__()
    await tell(database, "first")
    await eventually(lambda: one.texts() == ["first"])
    async with Running(relay_of(database, database_url, other, "other", poll_seconds=0.02)):
        await first.__aexit__()
        await tell(database, "second")
        await eventually(lambda: other.texts() == ["second"])


async def test_it_survives_the_loss_of_every_connection(
    database: Database, database_url: str, postgres_admin_url: str, recorder: Recorder
) -> None:
    async with Running(relay_of(database, database_url, recorder, poll_seconds=0.1)):
        await tell(database, "first")
        await eventually(lambda: recorder.texts() == ["first"])
        admin = await asyncpg.connect(postgres_admin_url)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database.engine.url.database
        )
        await admin.close()
        await tell(database, "second")
        await eventually(lambda: recorder.texts() == ["first", "second"])


async def test_a_busy_pool_delays_it_and_costs_neither_producer_nor_lease(
    database: Database, database_url: str, recorder: Recorder
) -> None:
    small = Database(database_url, pool_size=1, pool_timeout_seconds=0.3)
    await tell(database, "first")
    async with Running(relay_of(small, database_url, recorder)) as running:
        await eventually(lambda: recorder.texts() == ["first"])
        async with small.transaction():
            await tell(database, "second")
            await eventually(lambda: running.relay._failures >= 2)
        await eventually(lambda: recorder.texts() == ["first", "second"])
        assert recorder.closed == 0
    await small.close()
