"""The same stack on a Kafka as in production: TLS, StandardAuthorizer, and the rights that Strimzi's users have."""

from collections.abc import Iterator

import pytest
from support.stacks import brought_up

from gongji_local.choice import Named
from gongji_local.stack import Stack
from kit.kafka_client import KafkaAddress


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """For all tests of this folder."""
    with brought_up(Named(kafka_secured=True)) as running:
        yield running


@pytest.fixture
def admin(stack: Stack) -> KafkaAddress:
    """How an administrator reaches Kafka."""
    return stack.info.kafka
