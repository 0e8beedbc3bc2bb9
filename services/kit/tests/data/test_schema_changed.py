"""A migration changes a table that running processes read: none of their work fails for it."""

import asyncio
from contextlib import AsyncExitStack
from typing import Literal

import asyncpg
import pytest
from sqlalchemy import text

from kit.db import Database, Transaction, retrying
from kit.db_errors import is_contention, refusal_for
from kit.testing import patient_database

ALL = "SELECT * FROM fact"
Library = Literal["raw", "sql"]


async def read(transaction: Transaction, library: Library) -> None:
    await (transaction.raw.fetch(ALL) if library == "raw" else transaction.sql.execute(text(ALL)))


async def used(database: Database, connections: int, library: Library) -> None:
    """So many connections that have read the table."""
    async with AsyncExitStack() as opened:
        transactions = [await opened.enter_async_context(database.transaction()) for _ in range(connections)]
        await asyncio.gather(*(read(each, library) for each in transactions))


async def add_a_column(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("ALTER TABLE fact ADD COLUMN note text NOT NULL DEFAULT ''")
    await connection.close()


@pytest.mark.parametrize("library", ["raw", "sql"])
async def test_work_that_is_tried_again_meets_a_changed_table_once(database_url: str, library: Library) -> None:
    database = patient_database(database_url)
    await used(database, 8, library)
    await add_a_column(database_url)
    attempts = 0

    async def work() -> None:
        nonlocal attempts
        attempts += 1
        async with database.transaction() as transaction:
            await read(transaction, library)

    for _ in range(8):
        await retrying(work)
    assert attempts <= 9
    await database.close()


async def test_many_at_once_all_succeed(database_url: str) -> None:
    database = patient_database(database_url)
    await used(database, 8, "raw")
    await add_a_column(database_url)

    async def work() -> None:
        async with database.transaction() as transaction:
            await read(transaction, "raw")

    await asyncio.gather(*(retrying(work) for _ in range(40)))
    await database.close()


async def test_work_that_is_not_tried_again_is_refused_as_something_to_send_again(database_url: str) -> None:
    database = patient_database(database_url)
    await used(database, 1, "raw")
    await add_a_column(database_url)
    with pytest.raises(asyncpg.InvalidCachedStatementError) as caught:
        async with database.transaction() as transaction:
            await read(transaction, "raw")
    assert is_contention(caught.value)
    refusal = refusal_for(caught.value)
    assert refusal is not None
    assert refusal.reason == "UNAVAILABLE"
    await database.close()
