"""Real servers for tests: started when the first test wants one, ended with the session.

Tests that use a fixture of this module get the marker `stack`, so `-m "not stack"` needs no server at all.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from gongji_local.stack import Stack
from gongji_local.templates import DatabaseTemplates

STACK_FIXTURES: Final = frozenset({"server_stack", "postgres_admin_url", "kafka_bootstrap", "service_database"})


@pytest.hookimpl(tryfirst=True)  # before `-m` is applied
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a real server, so that nobody has to remember to."""
    for item in items:
        if STACK_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="session")
def server_stack() -> Iterator[Stack]:
    """The session's own stack in a temporary state folder (or on the servers that the environment names)."""
    folder = Path(tempfile.mkdtemp(prefix="gongji-test-"))
    stack = Stack(folder)
    yield stack
    stack.wipe()


@pytest.fixture(scope="session")
def postgres_admin_url(server_stack: Stack) -> str:
    """Administrator's URL of a real PostgreSQL."""
    return server_stack.start_postgres()


@pytest.fixture(scope="session")
def kafka_bootstrap(server_stack: Stack) -> str:
    """`host:port` of a real Kafka; topics are the test's to create."""
    return server_stack.start_kafka()


@pytest.fixture(scope="session")
def _database_templates(postgres_admin_url: str) -> Iterator[DatabaseTemplates]:
    templates = DatabaseTemplates(postgres_admin_url)
    yield templates
    templates.drop_all()


@pytest.fixture
def service_database(_database_templates: DatabaseTemplates) -> Iterator[Callable[[str], str]]:
    """`service_database("binding")` is the URL of a fresh, migrated database that this test has for itself."""
    made: list[str] = []

    def fresh(service: str) -> str:
        url = _database_templates.fresh(service)
        made.append(url)
        return url

    yield fresh
    for url in made:
        _database_templates.drop(url)
