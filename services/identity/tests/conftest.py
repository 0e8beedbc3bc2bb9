"""What several test files of the service use."""

from collections.abc import Callable
from pathlib import Path

import pytest

from identity.testing import Bench, credential_keyring


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """The servicers on a repository in memory."""
    return Bench(credential_keyring(tmp_path))


@pytest.fixture
def database_url(service_database: Callable[[str], str]) -> str:
    """A fresh, migrated database; made outside of the event loop, in which migrations cannot run."""
    return service_database("identity")
