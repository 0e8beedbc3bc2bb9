"""A fresh database and a fresh topic for each test that wants a real one."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from gongji_local.ports import free_port
from kit import inbox, outbox, requests, used_assertions
from kit.db import Database
from kit.kafka_client import KafkaAddress
from kit.testing import patient_database
from kit.testing_events import SampleTopic
from kit.topics import ensure_topics

FACT = "CREATE TABLE fact (id text PRIMARY KEY, number bigint NOT NULL DEFAULT 0 CHECK (number >= 0));"


def _named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


async def _admin(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def template_database(postgres_admin_url: str) -> Iterator[str]:
    name = f"kit_template_{uuid4().hex[:12]}"

    async def make() -> None:
        await _admin(postgres_admin_url, f"CREATE DATABASE {name}")
        await _admin(
            _named(postgres_admin_url, name),
            outbox.SCHEMA + inbox.SCHEMA + requests.SCHEMA + used_assertions.SCHEMA + FACT,
        )

    asyncio.run(make())
    yield name
    asyncio.run(_admin(postgres_admin_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def empty_database_url(postgres_admin_url: str) -> AsyncIterator[str]:
    name = f"kit_{uuid4().hex[:12]}"
    await _admin(postgres_admin_url, f"CREATE DATABASE {name}")
    yield _named(postgres_admin_url, name)
    await _admin(postgres_admin_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database_url(postgres_admin_url: str, template_database: str) -> AsyncIterator[str]:
    name = f"kit_{uuid4().hex[:12]}"
    await _admin(postgres_admin_url, f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY file_copy")
    yield _named(postgres_admin_url, name)
    await _admin(postgres_admin_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = patient_database(database_url, 4)
    await database.connect()
    yield database
    await database.close()


@pytest.fixture
def unused_tcp_port() -> int:
    """Where nobody listens. The usual fixture's port may be taken by any outgoing connection, even by one to it."""
    return free_port(None, ())


@pytest.fixture
def kafka(kafka_bootstrap: str) -> KafkaAddress:
    return KafkaAddress(kafka_bootstrap)


@pytest.fixture
async def topic(kafka: KafkaAddress) -> SampleTopic:
    topic = SampleTopic()
    await ensure_topics(kafka, 1, topic.catalogue)
    return topic
