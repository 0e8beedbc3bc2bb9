"""A small regional platform for tests: real TLS and HTTP, and as unwell as a test wants it. Serves nobody else."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from identity.domain.certificate import comparable_name
from kit.grpc_client import TlsFiles

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""What one request is answered with; the connection is closed afterwards."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        """The body, read."""
        told: dict[str, Any] = json.loads(self.body)
        return told


class TestPlatform:
    """Serves `https://localhost:<port>/check` while it is entered.

    `register` maps (psn_cert_type, certno, name) to psn_no. `behaviours` are used up first, one a request.
    """

    __test__ = False  # no test class, whatever its name begins with

    def __init__(self, tls: TlsFiles) -> None:
        self.register: dict[tuple[str, str, str], str] = {}
        self.behaviours: list[Behaviour] = []
        self.always: Behaviour | None = None
        """What every request gets, if set."""
        self.asked: list[Asked] = []
        self.port = 0
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(tls.cert, tls.key)
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where the check is."""
        return f"https://localhost:{self.port}/check"

    def keep(self, psn_no: str, psn_cert_type: str, certno: str, name: str) -> None:
        """Have this person on record."""
        self.register[psn_cert_type, certno, comparable_name(name)] = psn_no

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the former port if there was one."""
        self._server = await asyncio.start_server(self._serve, "localhost", self.port, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be gone: connections are refused from now on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.asked.append(await _request(reader))
            chosen = self.behaviours.pop(0) if self.behaviours else self.always
            await (chosen or self._truthfully)(writer)
        with suppress(ConnectionError, asyncio.CancelledError):
            writer.close()

    async def _truthfully(self, writer: asyncio.StreamWriter) -> None:
        told = self.asked[-1].told
        key = (told["psn_cert_type"], told["certno"], comparable_name(told["psn_name"]))
        psn_no = self.register.get(key)
        await answers(200, {"result": "MATCH", "psn_no": psn_no} if psn_no else {"result": "MISMATCH"})(writer)


async def _request(reader: asyncio.StreamReader) -> Asked:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:]) if name}
    return Asked(lines[0].split(" ")[1], headers, await reader.readexactly(int(headers["content-length"])))


def answers(status: int, body: object, **headers: str) -> Behaviour:
    """An answer; bytes are sent as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())

    async def behave(writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} Whatever\r\ncontent-length: {len(content)}\r\nconnection: close\r\n{more}\r\n"
        writer.write(head.encode() + content)
        await writer.drain()

    return behave


async def hangs(_writer: asyncio.StreamWriter) -> None:
    """No answer, ever."""
    await asyncio.Event().wait()


async def cuts(writer: asyncio.StreamWriter) -> None:
    """The connection ends in the middle of the answer."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
    await writer.drain()


async def floods(writer: asyncio.StreamWriter) -> None:
    """An answer without an end, as fast as it can."""
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
    while True:
        writer.write(b" " * 65536)
        await writer.drain()


async def drips(writer: asyncio.StreamWriter) -> None:
    """An answer without an end, a byte at a time: never silent for as long as a read may take."""
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)
