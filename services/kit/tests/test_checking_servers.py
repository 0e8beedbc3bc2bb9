"""What the servers say of a service is judged before it serves."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kit.checking_database import clocks, database
from kit.checking_kafka import judged, kafka, wanted
from kit.config import ConsumerSettings, DatabaseSettings
from kit.demands import Surroundings
from kit.kafka_rights import NO_SUCH_TOPIC, Operation, Rights
from kit.testing_tls import Pki
from kit.topics import catalogue

READ, WRITE = Operation.READ, Operation.WRITE
AROUND = Surroundings("binding", Path("migrations"), {"binding": ["settlement-events-v1"]})
NOON = datetime(2025, 6, 10, 12, tzinfo=UTC)


def consumer(bootstrap: str, **files: Path) -> ConsumerSettings:
    return ConsumerSettings.model_construct(kafka_bootstrap=bootstrap, environment="test", **files)  # type: ignore[arg-type]


def test_a_service_writes_what_it_owns_reads_what_it_consumes_and_buries_what_fails() -> None:
    does = wanted(AROUND.service, AROUND.consumed, catalogue())
    assert does.topics == {
        "binding-events-v1": {WRITE},
        "settlement-events-v1": {READ},
        "settlement-events-v1-dlq": {READ, WRITE},
    }
    assert does.groups == {"binding"}


@pytest.mark.parametrize(
    ("rights", "fault"),
    [
        (Rights(partitions=12, allowed=frozenset({READ, WRITE})), ""),
        (Rights(NO_SUCH_TOPIC), "is not there"),
        (Rights(29), "no ACL allows CN=binding to READ and WRITE"),
        (Rights(partitions=6, allowed=frozenset({READ, WRITE})), "has 6 partitions, not the 12"),
        (Rights(partitions=12, allowed=frozenset({READ})), "no ACL allows CN=binding to WRITE"),
        (Rights(partitions=12), "no ACL allows CN=binding to READ and WRITE"),
        (Rights(5), "error 5"),
    ],
)
def test_a_topic_is_there_as_stated_and_open(rights: Rights, fault: str) -> None:
    found = judged("topic t", rights, frozenset({READ, WRITE}), "CN=binding", 12)
    assert bool(found.fault) == bool(fault)
    assert fault in found.fault


def test_a_group_that_is_closed_is_told() -> None:
    assert judged("group g", Rights(allowed=frozenset({READ})), frozenset({READ}), "CN=b").fault == ""
    assert judged("group g", Rights(30), frozenset({READ}), "CN=b").fault == "no ACL allows CN=b to READ"


async def test_a_kafka_that_nobody_listens_at_is_told() -> None:
    (found,) = await kafka(consumer("127.0.0.1:1"), AROUND)
    assert found.fault.startswith("127.0.0.1:1 does not answer")


async def test_a_kafka_whose_certificate_is_of_another_ca_is_told(tmp_path: Path) -> None:
    pki, others = Pki(tmp_path), Pki(tmp_path / "..")
    own, theirs = pki.service("binding"), others.files(others.institutions, "kafka", [], ["localhost"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(theirs.cert, theirs.key)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    files = {"kafka_ca_file": pki.service_ca_file, "kafka_cert_file": own.cert, "kafka_key_file": own.key}
    (found,) = await kafka(consumer(f"localhost:{port}", **files), AROUND)
    server.close()
    assert "shows a certificate that GONGJI_KAFKA_CA_FILE does not vouch for" in found.fault


async def test_what_does_not_speak_to_kafka_is_told_nothing_of_it() -> None:
    assert await kafka(DatabaseSettings.model_construct(), AROUND) == []


async def test_a_database_that_nobody_listens_at_is_told() -> None:
    url = "postgresql://gongji_binding:s3cret@127.0.0.1:1/gongji_binding"
    settings = DatabaseSettings.model_construct(database_url=url, environment="test", database_pool_size=8)
    (found,) = await database(settings, Path("migrations"))
    assert "does not answer (connection refused)" in found.fault
    assert "s3cret" not in found.fault


@pytest.mark.parametrize(
    ("apart", "fault"),
    [(0, ""), (29, ""), (-29, ""), (600, "600 s ahead of the database's"), (-600, "600 s behind the database's")],
)
def test_clocks_that_are_apart_are_told(apart: int, fault: str) -> None:
    found = clocks(NOON + timedelta(seconds=apart), NOON)
    assert bool(found.fault) == bool(fault)
    assert fault in found.fault
