import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from kit.kafka import Consumer, KafkaAddress
from kit.kafka_client import KafkaError, client_options, new_producer, started
from kit.testing_events import SampleTopic
from kit.testing_tls import Pki


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


def address(pki: Pki, port: int = 9092) -> KafkaAddress:
    files = pki.service("kit")
    return KafkaAddress(f"localhost:{port}", files.ca, files.cert, files.key)


def test_without_files_it_is_plain_text() -> None:
    options = client_options(KafkaAddress("one:9092,two:9092"), "kit")
    assert (options["security_protocol"], options["ssl_context"]) == ("PLAINTEXT", None)
    assert options["bootstrap_servers"] == ["one:9092", "two:9092"]


def test_with_files_the_broker_is_verified(pki: Pki) -> None:
    options = client_options(address(pki), "kit")
    assert options["security_protocol"] == "SSL"
    assert options["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert options["ssl_context"].check_hostname


async def greeting(pki: Pki) -> tuple[asyncio.Server, "asyncio.Future[Any]"]:
    """A server that asks for a certificate, tells what it got, and hangs up."""
    files = pki.service("broker")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files.ca))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files.cert, files.key)
    shown: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def connected(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not shown.done():
            shown.set_result(writer.get_extra_info("peercert"))
        writer.close()

    return await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context), shown


async def test_a_producer_shows_its_certificate(pki: Pki) -> None:
    server, shown = await greeting(pki)
    with pytest.raises((KafkaError, OSError)):
        await started(lambda: new_producer(address(pki, server.sockets[0].getsockname()[1]), "kit"))
    assert "spiffe://gongji-test/service/kit" in str(await shown)
    server.close()


async def test_a_consumer_shows_its_certificate(pki: Pki) -> None:
    server, shown = await greeting(pki)
    topic = SampleTopic()

    async def handle(_envelopes: object) -> None:
        """Nothing arrives."""

    kafka = address(pki, server.sockets[0].getsockname()[1])
    consumer = Consumer(kafka, [topic.name], "group", handle, catalogue=topic.catalogue)
    await consumer.start()
    async with asyncio.timeout(60):
        assert "spiffe://gongji-test/service/kit" in str(await shown)
    await consumer.stop()
    server.close()
