"""The embedded Kafka survives what machines do to it."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]

from gongji_local import ports
from gongji_local.blocking import run_blocking
from gongji_local.clock import wait_until
from gongji_local.errors import StackError
from gongji_local.kafka import server
from gongji_local.kafka.server import ADMIN, EmbeddedKafka, serves_metadata
from gongji_local.processes import is_alive, send
from gongji_local.stack import Stack
from gongji_local.state import StateBook
from kit.kafka_client import KafkaAddress, new_consumer

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]  # a broker starts slowly on a busy machine

TOPIC = "kafka-trial"


async def publish(bootstrap: str, value: bytes) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer:
        await producer.send_and_wait(TOPIC, value)


async def read_first(kafka: KafkaAddress) -> bytes:
    async with new_consumer(kafka, "reader", TOPIC, group_id=None) as consumer:
        value: bytes = (await consumer.getone()).value
        return value


def test_what_was_confirmed_survives_kill_9_and_a_change_of_ports(
    own_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gongji_local.ports.PATIENCE_SECONDS", 0.1)
    former = own_stack.info.kafka_bootstrap
    run_blocking(lambda: publish(former, b"confirmed"))
    broker = StateBook(own_stack.folder).read().processes["kafka"]
    send(broker, signal.SIGKILL)
    assert wait_until(lambda: not is_alive(broker), 60)
    assert not serves_metadata(former)
    with listening_at(int(former.rpartition(":")[2])):
        assert own_stack.start_kafka() != former
    assert run_blocking(lambda: read_first(own_stack.info.kafka)) == b"confirmed"


def test_a_secured_broker_goes_on_with_the_same_data_and_answers_nobody_without_a_certificate(
    book: StateBook, plain_environ: dict[str, str]
) -> None:
    plain, secured = EmbeddedKafka(book, plain_environ), EmbeddedKafka(book, plain_environ, secured=True)
    try:
        plain.start()
        run_blocking(lambda: publish(plain.bootstrap, b"before"))
        plain.stop()
        secured.start()
        assert secured.is_ready()
        assert not serves_metadata(secured.bootstrap)
        assert run_blocking(lambda: read_first(secured.client(ADMIN))) == b"before"
    finally:
        secured.stop()


def test_a_port_taken_in_the_last_moment_gives_a_sentence(
    own_stack: Stack, monkeypatch: pytest.MonkeyPatch, kafka_bootstrap: str
) -> None:
    """The stranger at the port is a Kafka too, whose answers must not be taken for our own."""
    own_stack.stop_kafka()
    with pytest.raises(StackError, match="does not answer"):
        own_stack.quiesce(0.3)
    taken, choose = int(kafka_bootstrap.rpartition(":")[2]), ports.free_port
    monkeypatch.setattr(
        server, "free_port", lambda former, others: choose(former, others) if taken in others else taken
    )
    with pytest.raises(StackError, match=f"Another program took port {taken}"):
        own_stack.start_kafka()
    assert {process.name: process.alive for process in own_stack.status()}["kafka"] is False
    assert serves_metadata(kafka_bootstrap)


def test_a_data_folder_that_cannot_be_formatted_gives_a_sentence(
    book: StateBook, plain_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = EmbeddedKafka(book, plain_environ)
    monkeypatch.setattr(kafka, "_data", Path("/proc/no/such/folder"))
    with pytest.raises(StackError, match="could not be formatted"):
        kafka.start()


@contextmanager
def listening_at(port: int) -> Iterator[None]:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        yield


def test_nothing_listening_is_not_metadata() -> None:
    assert not serves_metadata("127.0.0.1:1")
    assert not serves_metadata("not an address")
