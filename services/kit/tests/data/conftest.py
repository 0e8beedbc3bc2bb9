"""A fresh database and a fresh topic for each test that wants a real one."""

from collections.abc import AsyncIterator, Iterator

import pytest

from gongji_local.ports import free_port
from gongji_local.postgres.databases import execute
from gongji_local.templates import DatabaseTemplates
from kit import dlq_actions, inbox, month_tables, outbox, outbox_actions, requests, used_assertions
from kit.bus_months import INBOX_MONTHS, OUTBOX_MONTHS
from kit.clock import SystemClock
from kit.db import Database
from kit.kafka_client import KafkaAddress
from kit.month_tables import swap_sql
from kit.months import month_of
from kit.testing import patient_database
from kit.testing_events import SampleTopic
from kit.topic_admin import ensure_topics

FACT = "CREATE TABLE fact (id text PRIMARY KEY, number bigint NOT NULL DEFAULT 0 CHECK (number >= 0));"


def _make_tables(_service: str, url: str) -> None:
    outboxes = (outbox.SCHEMA, outbox.RUNS, outbox_actions.SCHEMA)
    month = month_of(SystemClock().now())
    months = (swap_sql(turned, month, month) for turned in (OUTBOX_MONTHS, INBOX_MONTHS))
    schemas = (*outboxes, inbox.SCHEMA, month_tables.SCHEMA, *months)
    schemas = (*schemas, requests.SCHEMA, used_assertions.SCHEMA, dlq_actions.SCHEMA)
    execute(url, "".join(schemas) + FACT)


@pytest.fixture(scope="session")
def _copies(postgres_admin_url: str) -> Iterator[DatabaseTemplates]:
    copies = DatabaseTemplates(postgres_admin_url, _make_tables)
    yield copies
    copies.drop_all()


@pytest.fixture
def database_url(_copies: DatabaseTemplates) -> Iterator[str]:
    url = _copies.fresh("kit")
    yield url
    _copies.drop(url)


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
