"""What several test files of the service use."""

from collections.abc import Callable

import pytest


@pytest.fixture
def database_url(service_database: Callable[[str], str]) -> str:
    """A fresh, migrated database; made outside of the event loop, in which migrations cannot run."""
    return service_database("settlement")
