"""A connection that does not come about is told with its cause, and whether waiting helps."""

import contextlib
import socket
import ssl
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from kit.grpc_client import TlsFiles
from kit.kafka_client import KafkaAddress
from kit.kafka_reach import principal_of, unreachable
from kit.testing_tls import Pki

REQUEST = b"\x00\x00\x00\x0a"
ANSWER = b"\x00\x00\x00\x06\x00\x00\x00\x01\x00\x00"


class Broker:
    """Listens in threads, as asyncio's own server ends a connection before it says why.

    What is no request of Kafka's is not answered; of one that is silent, nothing is.
    """

    def __init__(self, context: ssl.SSLContext | None = None, *, silent: bool = False) -> None:
        self._context = context
        self._silent = silent
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> str:
        threading.Thread(target=self._serve, daemon=True).start()
        return self.address

    def __exit__(self, *_error: object) -> None:
        self._listening.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self._silent:
                return
            connection.settimeout(10)
            if self._context is None:
                _answer(connection)
            else:
                with self._context.wrap_socket(connection, server_side=True) as secured:
                    _answer(secured)


def _answer(connection: socket.socket) -> None:
    if connection.recv(4) == REQUEST:
        connection.sendall(ANSWER)
        connection.recv(100)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


def demanding(pki: Pki, shown: TlsFiles) -> ssl.SSLContext:
    """A listener that wants a certificate of the services' CA."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki.service_ca_file)
    context.load_cert_chain(shown.cert, shown.key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def over_tls(address: str, pki: Pki, own: TlsFiles) -> KafkaAddress:
    return KafkaAddress(address, pki.service_ca_file, own.cert, own.key)


async def test_what_answers_is_reached_in_plain_text_and_in_tls(pki: Pki) -> None:
    with Broker() as plain, Broker(demanding(pki, pki.service("kafka"))) as secured:
        assert await unreachable(KafkaAddress(plain)) is None
        assert await unreachable(over_tls(secured, pki, pki.service("notify"))) is None


async def test_nobody_there_is_an_outage_and_one_address_of_several_is_enough() -> None:
    found = await unreachable(KafkaAddress("127.0.0.1:1"))
    assert found is not None
    assert not found.misfit
    assert found.why.startswith("does not answer")
    with Broker() as there:
        assert await unreachable(KafkaAddress(f"127.0.0.1:1,{there}")) is None


async def test_a_broker_that_ends_is_not_taken_for_one_that_speaks_otherwise(pki: Pki) -> None:
    with Broker(silent=True) as ending:
        for own in (KafkaAddress(ending), over_tls(ending, pki, pki.service("notify"))):
            found = await unreachable(own)
            assert found is not None
            assert not found.misfit, found.why


async def test_plain_text_is_not_spoken_to_tls_nor_tls_to_plain_text(pki: Pki) -> None:
    with Broker() as plain, Broker(demanding(pki, pki.service("kafka"))) as secured:
        found = await unreachable(KafkaAddress(secured))
        assert found is not None
        assert found.misfit
        assert found.why.startswith("wants TLS, and this service speaks plain text: set GONGJI_KAFKA_CA_FILE")
        found = await unreachable(over_tls(plain, pki, pki.service("notify")))
        assert found is not None
        assert found.misfit
        assert found.why == "speaks plain text, and this service TLS"


async def test_a_broker_of_another_ca_and_one_of_another_name_are_told_apart(pki: Pki) -> None:
    others = pki.files(pki.institutions, "others", [], ["127.0.0.1"])
    elsewhere = pki.files(pki.services, "elsewhere", [], ["kafka.example"])
    own = pki.service("notify")
    with Broker(demanding(pki, others)) as other, Broker(demanding(pki, elsewhere)) as far:
        found = await unreachable(over_tls(other, pki, own))
        assert found is not None
        assert found.misfit
        assert "GONGJI_KAFKA_CA_FILE does not vouch for" in found.why
        found = await unreachable(over_tls(far, pki, own))
        assert found is not None
        assert found.misfit
        assert "of other names" in found.why


async def test_a_certificate_that_ended_or_is_of_another_ca_is_named_with_its_end(pki: Pki, tmp_path: Path) -> None:
    stranger = pki.files(pki.institutions, "stranger", [])
    shown = demanding(pki, pki.service("kafka"))
    certificate, key = pki.services.issue("notify", [], life=timedelta(minutes=-1))
    ended = TlsFiles(tmp_path / "ended.crt", tmp_path / "ended.key", pki.service_ca_file)
    ended.cert.write_bytes(certificate)
    ended.key.write_bytes(key)
    with Broker(shown) as secured:
        found = await unreachable(over_tls(secured, pki, ended))
        assert found is not None
        assert found.misfit
        assert "does not accept this service's certificate, CN=notify by CN=services, which ended 2" in found.why
        found = await unreachable(over_tls(secured, pki, stranger))
        assert found is not None
        assert found.misfit
        assert "CN=stranger by CN=institutions, good until" in found.why
        found = await unreachable(KafkaAddress(secured, pki.service_ca_file))
        assert found is not None
        assert "of which there is none" in found.why


async def test_files_that_do_not_go_together_are_told_before_anybody_is_asked(pki: Pki) -> None:
    one, other = pki.service("one"), pki.service("other")
    found = await unreachable(KafkaAddress("127.0.0.1:1", pki.service_ca_file, one.cert, other.key))
    assert found is not None
    assert found.misfit
    assert "do not go together" in found.why


def test_who_one_is_is_in_the_certificate(pki: Pki, tmp_path: Path) -> None:
    own = pki.service("notify")
    assert principal_of(KafkaAddress("k:1", pki.service_ca_file, own.cert, own.key)) == "CN=notify"
    assert principal_of(KafkaAddress("k:1")) == "ANONYMOUS"
    assert principal_of(KafkaAddress("k:1", None, tmp_path / "gone.crt")) == "ANONYMOUS"
