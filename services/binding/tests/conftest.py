"""Units of work for binding's tests: in memory, and on a database of one's own."""

from collections.abc import AsyncIterator, Callable

import pytest

from binding.memory import MemoryRepository
from binding.repository import PostgresRepository
from kit.db import Database, PostgresWork
from kit.testing import MemoryWork, patient_database


@pytest.fixture
def memory_work() -> MemoryWork[MemoryRepository]:
    """A fake without anything in it."""
    return MemoryWork(MemoryRepository())


@pytest.fixture
async def database(service_database: Callable[[str], str]) -> AsyncIterator[Database]:
    """A migrated database without anything in it."""
    database = patient_database(service_database("binding"), 6)
    yield database
    await database.close()


@pytest.fixture
def postgres_work(database: Database) -> PostgresWork[PostgresRepository]:
    """The real one."""
    return PostgresWork(database, PostgresRepository)
