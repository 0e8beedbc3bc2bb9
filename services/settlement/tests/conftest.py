"""What several test files of the service use."""

from collections.abc import Callable

import pytest

from kit.observability import configure_logging


@pytest.fixture(scope="session", autouse=True)
def _logs_as_when_serving() -> None:
    """The default would paint tracebacks with every local variable, which takes seconds and shows what no log may."""
    configure_logging("settlement")


@pytest.fixture
def database_url(service_database: Callable[[str], str]) -> str:
    """A fresh, migrated database; made outside of the event loop, in which migrations cannot run."""
    return service_database("settlement")
