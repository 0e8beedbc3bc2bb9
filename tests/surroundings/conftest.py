"""Services started by themselves where something is wrong on purpose."""

from pathlib import Path

import pytest
from support.marking import mark_stack
from support.starting import Ground

TIMEOUT_SECONDS = 300


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each starts processes: none of them is a unit test."""
    mark_stack(items, Path(__file__).parent, TIMEOUT_SECONDS)


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """Certificates and keys for all of them."""
    return Ground(tmp_path_factory.mktemp("ground"))
