"""Bulk on a real database: whole lists, several at once, and with single requests between them."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from kit.db import Database, PostgresWork
from kit.testing import patient_database
from settlement.account_repository import PostgresAccountRepository
from settlement.domain.state import Settlement
from settlement.intents import Answer
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.testing import FakeRelation, World, account, bill, settle

PATIENTS = [f"child{number}" for number in range(120)]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = patient_database(database_url)
    await database.connect()
    async with PostgresWork(database, PostgresAccountRepository)() as repository:
        await repository.add(account("father", 100_000))
    yield database
    await database.close()


@pytest.fixture
def world(database: Database) -> World:
    relations = [FakeRelation("father", patient, 10_000) for patient in PATIENTS]
    return World(PostgresWork(database, PostgresSettlementRepository), *relations)


@pytest.fixture
async def raw(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


def paid(answers: list[Answer]) -> list[int]:
    return [each.split.acct_mulaid_pay_fen if isinstance(each, Settlement) and each.split else -1 for each in answers]


async def test_a_batch_with_patients_that_come_again_is_settled_in_order_until_the_money_is_gone(
    world: World, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    twice = [*PATIENTS, *PATIENTS[:10]]
    batch = [settle(number, bill(patient, 800)) for number, patient in enumerate(twice)]
    answers = await world.bulk.settle(batch)
    assert paid(answers) == [800] * 125 + [0] * 5
    assert paid(await world.bulk.settle(batch)) == paid(answers)
    assert await raw.fetchval("SELECT balance_fen FROM account WHERE psn_no = 'father'") == 0
    versions = await raw.fetch("SELECT version FROM entry WHERE account_kind = 'PERSONAL' ORDER BY id")
    assert [row["version"] for row in versions] == list(range(2, 127))


async def test_batches_and_single_requests_at_once_spend_every_fen_once(
    world: World, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    batches = [
        [settle(1000 * lane + number, bill(patient, 900)) for number, patient in enumerate(PATIENTS[lane::3])]
        for lane in range(3)
    ]
    single = asyncio.gather(*(world.settle(settle(9000 + number, bill(f"x{number}", 5))) for number in range(5)))
    answers = [answer for each in await asyncio.gather(*map(world.bulk.settle, batches)) for answer in each]
    await single
    assert all(isinstance(answer, Settlement) for answer in answers)
    assert sum(paid(answers)) == 100_000
    assert await raw.fetchval("SELECT sum(amount_fen) FROM entry") == 0


async def test_a_batch_sent_twice_at_once_settles_every_bill_once(
    world: World, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    batch = [settle(number, bill(patient, 100)) for number, patient in enumerate(PATIENTS)]
    one, other = await asyncio.gather(world.bulk.settle(batch), world.bulk.settle(batch))
    assert paid(one) == paid(other) == [100] * len(PATIENTS)
    assert await raw.fetchval("SELECT balance_fen FROM account WHERE psn_no = 'father'") == 100_000 - 12_000
