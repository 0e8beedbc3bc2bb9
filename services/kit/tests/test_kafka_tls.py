"""Connections to Kafka show and believe what their files say when they are made, whichever event loop makes them."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509

from kit import followed
from kit.followed import Misfit
from kit.kafka_client import KafkaAddress, client_options, ssl_context
from kit.kafka_tls import KafkaContext
from kit.testing_tls import Authority

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(autouse=True)
def _look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed, "LOOK_EVERY_SECONDS", 0.0)


class Broker:
    """Speaks TLS, asks for a certificate, and tells whose it was."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = 0

    async def start(self, certificate_of: Authority, believes: bytes) -> asyncio.Server:
        certificate, key = certificate_of.issue("broker", [], ("localhost",))
        pair = self._folder / "broker.pem"
        pair.write_bytes(certificate + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair)
        context.load_verify_locations(cadata=believes.decode())
        context.verify_mode = ssl.CERT_REQUIRED
        server = await asyncio.start_server(self._tell, "localhost", self.port, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _tell(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.write(str(x509.load_der_x509_certificate(der).serial_number).encode())
        await writer.drain()
        writer.close()

    async def hears(self, context: ssl.SSLContext) -> int:
        reader, writer = await asyncio.open_connection("localhost", self.port, ssl=context)
        told = await reader.read()
        writer.close()
        return int(told)


class Files:
    """What a client is given."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.address = KafkaAddress("localhost:9093", folder / "ca.crt", folder / "user.crt", folder / "user.key")
        self.ca, self.cert, self.key = (folder / name for name in ("ca.crt", "user.crt", "user.key"))
        self.ca.write_bytes(authority.pem)
        self.renew(authority)

    def renew(self, authority: Authority) -> int:
        certificate, key = authority.issue("settlement", [])
        self.key.write_bytes(key)
        self.cert.write_bytes(certificate)
        return x509.load_pem_x509_certificate(certificate).serial_number


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def run(work: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(work)

    return run


def test_a_renewed_certificate_and_another_ca_are_used_by_the_next_connection(tmp_path: Path, run: Run) -> None:
    old, new = Authority("kafka 1"), Authority("kafka 2")
    files, broker = Files(tmp_path, old), Broker(tmp_path)

    async def replaced() -> None:
        context = client_options(files.address, "settlement")["ssl_context"]
        async with await broker.start(old, old.pem + new.pem):
            await broker.hears(context)
            renewed = files.renew(old)
            assert await broker.hears(context) == renewed
            files.ca.write_bytes(old.pem + new.pem)
            of_new = files.renew(new)
            assert await broker.hears(context) == of_new
        async with await broker.start(new, new.pem):
            assert await broker.hears(context) == of_new
            files.ca.write_bytes(new.pem)
            assert await broker.hears(context) == of_new
        async with await broker.start(old, new.pem):  # whom it no longer believes
            with pytest.raises(ssl.SSLCertVerificationError):
                await broker.hears(context)

    run(replaced())


def test_a_broken_pair_is_not_taken_up(tmp_path: Path, run: Run) -> None:
    authority = Authority("kafka")
    files, broker = Files(tmp_path, authority), Broker(tmp_path)

    async def broken() -> None:
        context = ssl_context(files.address)
        assert context is not None
        async with await broker.start(authority, authority.pem):
            before = await broker.hears(context)
            files.cert.write_bytes(authority.issue("settlement", [])[0])
            assert await broker.hears(context) == before

    run(broken())


def test_files_that_cannot_be_used_are_told_at_the_start(tmp_path: Path) -> None:
    files = Files(tmp_path, Authority("kafka"))
    files.key.write_bytes(b"no key")
    with pytest.raises(Misfit, match="the files for Kafka cannot be used"):
        ssl_context(files.address)


def test_a_ca_alone_is_enough(tmp_path: Path) -> None:
    files = Files(tmp_path, Authority("kafka"))
    assert isinstance(KafkaContext.of_files(files.ca, None, None), ssl.SSLContext)
