"""The fixtures that other tests build on."""

from collections.abc import Callable

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer  # type: ignore[import-untyped]
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]


async def test_two_databases_of_one_service_share_nothing(service_database: Callable[[str], str]) -> None:
    first = await asyncpg.connect(service_database("trial"))
    second = await asyncpg.connect(service_database("trial"))
    await first.execute("CREATE TABLE only_here (id bigint)")
    assert await second.fetchval("SELECT to_regclass('only_here')") is None
    await first.close()
    await second.close()


async def test_a_services_role_may_not_enter_another_services_database(service_database: Callable[[str], str]) -> None:
    first, second = service_database("trial"), service_database("other")
    other_database = second.rpartition("/")[2]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(f"{first.rpartition('/')[0]}/{other_database}")


async def test_an_event_goes_through_the_real_broker(kafka_bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("plugin-trial", num_partitions=1, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, acks="all") as producer:
        await producer.send_and_wait("plugin-trial", b"hello")
    consumer = AIOKafkaConsumer("plugin-trial", bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest")
    async with consumer:
        record = await consumer.getone()
    assert record.value == b"hello"


def test_what_uses_a_server_is_marked(request: pytest.FixtureRequest, postgres_admin_url: str) -> None:
    assert postgres_admin_url.startswith("postgresql://")
    assert request.node.get_closest_marker("stack") is not None


def test_what_uses_no_server_is_not_marked(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("stack") is None
