"""Certificates and CAs are replaced under calls, and not one call fails."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from kit import followed, grpc_channel
from kit.grpc_client import TlsFiles, call
from kit.testing import eventually
from kit.testing_tls import Authority, Pki

CODE = "H65270100001"
SERVER = ("service/binding", ("binding", "localhost", "127.0.0.1"))
CLIENT = (f"institution/{CODE}", ())
CALLERS = 4


@pytest.fixture(autouse=True)
def _look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed, "LOOK_EVERY_SECONDS", 0.0)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """Authorities of this test's own: it replaces them."""
    return Pki(tmp_path)


def put(path: Path, content: bytes) -> None:
    """The file has this content, at once."""
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(path)


class Hospital:
    """Callers who go on and on, and what became of their calls."""

    def __init__(self, running: Any, tls: TlsFiles) -> None:
        self.running = running
        self.tls = tls
        self.answered = 0
        self.failed: list[grpc.aio.AioRpcError] = []
        self.shown: set[bytes] = set()
        """The certificates that the server saw, since this was emptied."""

        async def see(_request: Any, context: Any) -> None:
            self.shown |= set(context.auth_context()["x509_pem_cert"])

        running.echo.do = see

    async def calls(self, method: Any) -> None:
        while True:
            try:
                await call(method, self.running.messages.EchoRequest(text="x"), 10.0)
            except grpc.aio.AioRpcError as error:
                self.failed.append(error)
            self.answered += 1

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        async with self.running.channel(self.tls) as channel:
            method = self.running.method(channel, "One")
            callers = [asyncio.create_task(self.calls(method)) for _ in range(CALLERS)]
            yield
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)

    async def shows(self, certificate: bytes) -> None:
        """The server sees this certificate, and soon no other."""
        await eventually(lambda: self._only(certificate))

    async def _only(self, certificate: bytes) -> bool:
        self.shown.clear()
        seen = self.answered
        await eventually(lambda: self.answered >= seen + 2 * CALLERS)
        return {_serial(each) for each in self.shown} == {_serial(certificate)}


def _serial(pem: bytes) -> int:
    return x509.load_pem_x509_certificate(pem).serial_number


async def shown_by(running: Any, tls: TlsFiles) -> int:
    """The serial number of the certificate that the server shows to a new connection."""
    context = ssl.create_default_context(cafile=str(tls.ca))
    context.load_cert_chain(tls.cert, tls.key)
    context.set_alpn_protocols(["h2"])
    _reader, writer = await asyncio.open_connection("127.0.0.1", running.server.port, ssl=context)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await writer.wait_closed()
    return x509.load_der_x509_certificate(der).serial_number


def renew(tls: TlsFiles, authority: Authority, whom: tuple[str, tuple[str, ...]]) -> bytes:
    """Issue a new certificate into the files, key first; gives it."""
    certificate, key = authority.spiffe("gongji-test", *whom)
    put(tls.key, key)
    put(tls.cert, certificate)
    return certificate


async def test_certificates_and_cas_are_replaced_with_no_failed_call(serve: Callable[..., Any], pki: Pki) -> None:
    tls, server_tls = pki.institution(CODE), pki.service("binding")
    async with serve(max_connection_age_seconds=0.2) as running:
        hospital = Hospital(running, tls)
        async with hospital.calling():
            # Certificates alone.
            server = renew(server_tls, pki.services, SERVER)
            assert await shown_by(running, tls) == _serial(server)
            await hospital.shows(renew(tls, pki.institutions, CLIENT))
            # The CAs: both are believed, then whatever they vouch for is replaced, then only the new ones are believed.
            services, institutions = Authority("services 2"), Authority("institutions 2")
            put(pki.service_ca_file, pki.services.pem + services.pem)
            put(pki.institution_ca_file, pki.institutions.pem + institutions.pem)
            server = renew(server_tls, services, SERVER)
            assert await shown_by(running, tls) == _serial(server)
            old = (tls.cert.read_bytes(), tls.key.read_bytes())
            await hospital.shows(renew(tls, institutions, CLIENT))
            put(pki.service_ca_file, services.pem)
            put(pki.institution_ca_file, institutions.pem)
            answered = hospital.answered
            await eventually(lambda: hospital.answered > answered + 50)
        assert hospital.failed == []
        # Whom nobody vouches for any more is out.
        put(tls.cert, old[0])
        put(tls.key, old[1])
        async with running.channel(tls) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(running.method(channel, "One"), running.messages.EchoRequest(text="x"), 5.0)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert hospital.answered > 100


async def test_a_pair_that_does_not_fit_is_told_once_and_the_old_one_goes_on(
    serve: Callable[..., Any], pki: Pki
) -> None:
    tls, server_tls = pki.institution(CODE), pki.service("binding")
    async with serve() as running:
        before = _serial(server_tls.cert.read_bytes())
        certificate, key = pki.services.spiffe("gongji-test", *SERVER)
        with capture_logs() as logs:
            put(server_tls.cert, certificate)
            assert [await shown_by(running, tls) for _ in range(3)] == [before] * 3
        assert [line["why"] for line in logs if line["log_level"] == "error"] == [
            f"{server_tls.cert} and its key do not belong together"
        ]
        put(server_tls.key, key)
        assert await shown_by(running, tls) == _serial(certificate)


async def test_a_certificate_of_an_unknown_ca_is_not_taken_up_before_the_ca_is(
    serve: Callable[..., Any], pki: Pki
) -> None:
    tls, server_tls = pki.institution(CODE), pki.service("binding")
    async with serve() as running:
        before = _serial(server_tls.cert.read_bytes())
        new = Authority("services 2")
        certificate = renew(server_tls, new, SERVER)
        assert await shown_by(running, tls) == before
        put(pki.service_ca_file, pki.services.pem + new.pem)
        assert await shown_by(running, tls) == _serial(certificate)


async def test_a_call_under_way_ends_on_the_channel_that_it_began_on(serve: Callable[..., Any], pki: Pki) -> None:
    tls = pki.institution(CODE)
    async with serve() as running, running.channel(tls) as channel:
        method, began, may_end = running.method(channel, "One"), asyncio.Event(), asyncio.Event()

        async def wait(_request: Any, _context: Any) -> None:
            began.set()
            await may_end.wait()

        running.echo.do = wait
        first = asyncio.ensure_future(call(method, running.messages.EchoRequest(text="1"), 10.0))
        await began.wait()
        renew(tls, pki.institutions, CLIENT)
        running.echo.do = None
        assert (await call(method, running.messages.EchoRequest(text="2"), 10.0)).text == "2"
        may_end.set()
        assert (await first).text == "1"


async def test_days_left_are_told_of_what_the_files_say_if_it_is_in_use(serve: Callable[..., Any], pki: Pki) -> None:
    server_tls = pki.service("binding")

    def days() -> float | None:
        return REGISTRY.get_sample_value("gongji_certificate_days_left", {"certificate": "server"})

    async with serve():
        assert days() == pytest.approx(0.5, abs=0.01)
        certificate, key = pki.services.spiffe("gongji-test", *SERVER, timedelta(days=90))
        put(server_tls.cert, certificate)
        assert days() != days()  # NaN: what the files say is not in use, which an alert tells
        put(server_tls.key, key)
        assert days() == pytest.approx(90, abs=0.01)


def test_channels_of_before_are_closed_in_the_end() -> None:
    assert grpc_channel.RETIRED_SECONDS >= 300
