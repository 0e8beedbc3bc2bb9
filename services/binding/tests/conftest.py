"""Units of work for binding's tests: in memory, and on a database of one's own."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from binding.memory import MemoryRepository
from binding.repository import PostgresRepository
from binding.testing_desk import Desk
from binding.testing_served import Binding, serving
from kit.db import Database, PostgresWork
from kit.testing import MemoryWork, patient_database
from kit.testing_tls import Pki


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


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Certificates of services."""
    return Pki(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def binding(tmp_path: Path, pki: Pki, memory_work: MemoryWork[MemoryRepository]) -> AsyncIterator[Binding]:
    """Served over gRPC, on the fake."""
    async with serving(tmp_path, pki, memory_work) as binding:
        yield binding


@pytest.fixture
def desk(memory_work: MemoryWork[MemoryRepository]) -> Desk:
    """The use cases on the fake."""
    return Desk(memory_work)


@pytest.fixture
def postgres_work(database: Database) -> PostgresWork[PostgresRepository]:
    """The real one."""
    return PostgresWork(database, PostgresRepository)
