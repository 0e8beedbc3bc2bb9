"""Clients that keep one context for life believe whom the file names when they connect."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import httpx
import pytest

from kit import followed
from kit.followed import Misfit
from kit.testing_tls import Authority
from kit.tls_context import FollowingContext, believing

BROKEN = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
Get = Callable[[str], Awaitable[int]]


@pytest.fixture(autouse=True)
def _look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed, "LOOK_EVERY_SECONDS", 0.0)


@asynccontextmanager
async def served_by(authority: Authority, folder: Path) -> AsyncIterator[str]:
    """Answers each request on a connection of its own."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    certificate, key = authority.issue("gateway", [], ("localhost",))
    pair = folder / "server.pem"
    pair.write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    async with await asyncio.start_server(answer, "localhost", 0, ssl=context) as server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def by_aiohttp(context: FollowingContext) -> AsyncIterator[Get]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:

        async def get(url: str) -> int:
            async with session.get(url) as answer:
                return answer.status

        yield get


@asynccontextmanager
async def by_httpx(context: FollowingContext) -> AsyncIterator[Get]:
    async with httpx.AsyncClient(verify=context) as client:

        async def get(url: str) -> int:
            return (await client.get(url)).status_code

        yield get


@pytest.mark.parametrize("client", [by_aiohttp, by_httpx])
@pytest.mark.parametrize("besides_usual", [False, True])
async def test_another_authority_is_believed_and_the_one_of_before_is_not(
    tmp_path: Path, client: Callable[..., AsyncIterator[Get]], *, besides_usual: bool
) -> None:
    old, new, file = Authority("gateways 1"), Authority("gateways 2"), tmp_path / "ca.crt"
    file.write_bytes(old.pem)
    async with client(believing(file, besides_usual=besides_usual)) as get:  # type: ignore[attr-defined]
        async with served_by(old, tmp_path) as url:
            assert await get(url) == 204
            file.write_bytes(b"no certificate")
            assert await get(url) == 204
            file.write_bytes(new.pem)
            with pytest.raises((aiohttp.ClientConnectorCertificateError, httpx.ConnectError)):
                await get(url)
        async with served_by(new, tmp_path) as url:
            assert await get(url) == 204


@pytest.mark.parametrize("content", [b"", b"no certificate", BROKEN])
def test_a_file_without_authorities_is_refused_at_the_start(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(content)
    with pytest.raises(Misfit, match=r"ca\.crt"):
        believing(file)
