"""How often settling asks the database: each statement of a lone one is time in which a patient waits."""

import asyncio

import asyncpg

from kit.db import Database, PostgresWork
from settlement import settlement_sql
from settlement.account_repository import PostgresAccountRepository
from settlement.domain.state import Settlement
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.testing import FakeRelation, World, account, bill, settle

FIRST = ["BEGIN", "SELECT", "WITH", "SELECT", "COMMIT"]
"""What is there, the intent with its credential, what was decided lately."""
SECOND = ["BEGIN", "WITH", "WITH", "WITH", "WITH", "COMMIT"]
"""Locks, entries and balances, what was decided, events."""


class Sent:
    """The first words of the statements that a pool of one connection sends."""

    def __init__(self, raw: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.words: list[str] = []
        raw.add_query_logger(self._note)

    def _note(self, query: asyncpg.connection.LoggedQuery) -> None:
        self.words.append(query.query.split()[0].rstrip(";"))

    async def take(self) -> list[str]:
        """Those since the last look; what was logged is told in the loop's next round."""
        await asyncio.sleep(0)
        words, self.words = self.words, []
        return words


async def test_settling_asks_the_database_as_often_for_one_as_for_many(database_url: str) -> None:
    database = Database(database_url, pool_size=1)
    await database.connect()
    patients = [f"child{number}" for number in range(30)]
    async with PostgresWork(database, PostgresAccountRepository)() as repository:
        await repository.add(account("father", 100_000))
    relations = [FakeRelation("father", patient, 10_000) for patient in patients]
    world = World(PostgresWork(database, PostgresSettlementRepository), *relations)
    await world.settle(settle(0, bill(patients[0], 100)))  # the first of a day makes the day's row
    async with database.transaction() as transaction:
        sent = Sent(transaction.raw)
    await sent.take()
    (lone,) = await world.settle(settle(1, bill(patients[1], 100)))
    assert isinstance(lone, Settlement)
    assert await sent.take() == [*FIRST, *SECOND]
    many = [settle(2 + place, bill(patient, 100)) for place, patient in enumerate(patients)]
    assert all(isinstance(each, Settlement) for each in await world.settle(*many))
    assert await sent.take() == [*FIRST, *SECOND]
    await world.settle(settle(99, bill("stranger", 100), use_mutual_aid=False))
    # Nobody is asked and no account pays.
    assert await sent.take() == ["BEGIN", "SELECT", "WITH", "COMMIT", "BEGIN", "WITH", "WITH", "WITH", "COMMIT"]
    await database.close()


async def test_locking_to_settle_does_not_search_what_was_pending_once(database_url: str) -> None:
    # The index of what is PENDING keeps an entry of each settlement until the next vacuum: searching it takes longer
    # with every one that is settled.
    database = Database(database_url, pool_size=1)
    await database.connect()
    async with database.transaction() as transaction:
        await transaction.raw.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await transaction.raw.execute(f"PREPARE locking (uuid[], text[], date) AS {settlement_sql.LOCK_TO_SETTLE}")
        plan = await transaction.raw.fetch("EXPLAIN EXECUTE locking ('{}', '{}', '2025-06-10')")
    text = "\n".join(line for (line,) in plan)
    assert "settlement_pkey" in text
    assert "settlement_pending_of_patient" not in text
    await database.close()
