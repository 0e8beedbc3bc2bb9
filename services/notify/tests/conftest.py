"""The backends of notify's contract suite."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kit.db import Database, Work
from kit.testing import MemoryWork
from notify.main import work
from notify.memory import MemoryRepository
from notify.repository import Repository
from notify.testing import keyring


@pytest.fixture
async def database(service_database: Callable[[str], str]) -> AsyncIterator[Database]:
    opened = Database(service_database("notify"), pool_size=3, application_name="notify-test")
    yield opened
    await opened.close()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.stack)])
def backend(request: pytest.FixtureRequest) -> Work[Repository]:
    """The same suite on the fake and on the real database."""
    if request.param == "memory":
        fake: MemoryWork[Any] = MemoryWork(MemoryRepository())
        return fake
    return work(request.getfixturevalue("database"), keyring())
