"""Real servers for tests: started when the first test wants one, ended with the session.

Tests that use a fixture of this module get the marker `stack`, so `-m "not stack"` needs no server at all.
"""

import secrets
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

import pytest

from gongji_local.postgres.databases import execute
from gongji_local.sessions import (
    new_session_folder,
    quick_folder,
    remove_orphans,
    remove_session,
    start_session_postgres,
)
from gongji_local.stack import Stack
from gongji_local.templates import DatabaseTemplates

STACK_FIXTURES: Final = frozenset(
    {"server_stack", "running_stack", "postgres_admin_url", "kafka_bootstrap", "service_database", "empty_database_url"}
)


@pytest.hookimpl(tryfirst=True)  # before `-m` is applied
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a real server, so that nobody has to remember to."""
    for item in items:
        if STACK_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="session")
def server_stack() -> Iterator[Stack]:
    """The session's own stack in a temporary state folder (or on the servers that the environment names)."""
    remove_orphans()
    stack = Stack(new_session_folder(quick_folder()))
    yield stack
    remove_session(stack)


@pytest.fixture(scope="session")
def postgres_admin_url(server_stack: Stack) -> str:
    """Administrator's URL of a real PostgreSQL."""
    return start_session_postgres(server_stack)


@pytest.fixture(scope="session")
def kafka_bootstrap(server_stack: Stack) -> str:
    """`host:port` of a real Kafka; topics are the test's to create."""
    return server_stack.start_kafka()


@pytest.fixture
def running_stack(server_stack: Stack) -> Iterator[Stack]:
    """The whole stack, every part of it ready again before each test, whatever the one before did to it.

    The clock is put back afterwards. The data stay: a test uses persons and institutions of its own.
    """
    server_stack.up()
    yield server_stack
    server_stack.reset_clock()


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


@pytest.fixture
def empty_database_url(postgres_admin_url: str) -> Iterator[str]:
    """URL of a new database without tables, the administrator's."""
    name = f"empty_{secrets.token_hex(6)}"
    execute(postgres_admin_url, f"CREATE DATABASE {name}")
    yield urlsplit(postgres_admin_url)._replace(path=f"/{name}").geturl()
    execute(postgres_admin_url, f"DROP DATABASE {name} WITH (FORCE)")
