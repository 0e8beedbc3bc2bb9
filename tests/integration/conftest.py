"""One real stack for all scenarios: PostgreSQL, Kafka and the four services as processes, with TLS between them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.families import Families
from support.marking import mark_stack
from support.stacks import brought_up

from gongji_local.cases.world import OPENING
from gongji_local.client import Connections
from gongji_local.stack import Stack

TIMEOUT_SECONDS = 400
"""Of one test with whatever it starts, also on a machine that others use."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Scenarios need the stack, also those that only look at it."""
    mark_stack(items, Path(__file__).parent, TIMEOUT_SECONDS)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The stack of the session, in a state folder of its own, gone afterwards."""
    with brought_up() as running:
        yield running


@pytest.fixture(autouse=True)
def _same_time_for_everybody(stack: Stack) -> None:
    """Each scenario begins on the same morning: whatever the one before did to the clock, and not around midnight."""
    stack.move_clock(OPENING)


@pytest.fixture
async def connections(stack: Stack) -> AsyncIterator[Connections]:
    """Channels to the services, closed after the test."""
    async with Connections(stack) as opened:
        yield opened


@pytest.fixture
def families(stack: Stack, connections: Connections) -> Families:
    """Makes families with accounts and relations, each of its own."""
    return Families(stack, connections)
