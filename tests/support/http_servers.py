"""An HTTP server of the tests that answers well, or fails in whatever way it is told to."""

import asyncio
import contextlib
import gzip
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web
from multidict import CIMultiDict


@dataclass(frozen=True, slots=True)
class Received:
    """One request, read to its end."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    raw: web.Request = field(repr=False)


Behaviour = Callable[["HttpServer", Received], Awaitable[web.StreamResponse]]
"""What the server does with one request."""


class HttpServer:
    """Keeps every request; does with each what `behave` queued, or else what `usual` does."""

    def __init__(self, usual: Behaviour) -> None:
        self.received: list[Received] = []
        self.usual = usual
        self._queued: deque[Behaviour] = deque()
        self._closing = asyncio.Event()
        self._came = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.origin = ""
        """`http://127.0.0.1:PORT`."""

    def behave(self, *behaviours: Behaviour) -> Self:
        """Do these with the next requests, one each."""
        self._queued.extend(behaviours)
        return self

    async def start(self) -> None:
        """Listen on a free port of this machine."""
        app = web.Application(client_max_size=2**20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.origin = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """End, also what is slow."""
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def is_closing(self) -> bool:
        """Whether what is slow must end."""
        return self._closing.is_set()

    async def until_closing(self) -> None:
        """Return when the server ends."""
        await self._closing.wait()

    async def until_received(self, requests: int) -> None:
        """Return when so many requests have come."""
        async with self._came:
            await self._came.wait_for(lambda: len(self.received) >= requests)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        received = Received(
            request.method,
            request.path,
            dict(request.query),
            CIMultiDict(request.headers),
            await request.read(),
            request,
        )
        async with self._came:
            self.received.append(received)
            self._came.notify_all()
        behaviour = self._queued.popleft() if self._queued else self.usual
        return await behaviour(self, received)


@asynccontextmanager
async def serving(server: HttpServer) -> AsyncIterator[HttpServer]:
    """The server while the block runs."""
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def answers(status: int = 200, content: Any = None, **headers: str) -> Behaviour:
    """Answers with this status, JSON content and headers (`Retry_After="3"`)."""

    async def answer(_server: HttpServer, _received: Received) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(content, status=status, headers=named)

    return answer


def says(text: str, status: int = 200) -> Behaviour:
    """Answers with a text that is not what the contract says."""

    async def answer(_server: HttpServer, _received: Received) -> web.StreamResponse:
        return web.Response(text=text, status=status)

    return answer


async def is_slow(server: HttpServer, _received: Received) -> web.StreamResponse:
    """Takes the request and says nothing until it ends."""
    await server.until_closing()
    return web.Response(status=503)


async def drips(server: HttpServer, received: Received) -> web.StreamResponse:
    """Answers a byte now and then, and never comes to the end."""
    response = web.StreamResponse()
    await response.prepare(received.raw)
    while not server.is_closing:
        await response.write(b" ")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                await server.until_closing()
    return response


async def never_ends(server: HttpServer, received: Received) -> web.StreamResponse:
    """Answers as much as the other side takes."""
    response = web.StreamResponse()
    await response.prepare(received.raw)
    while not server.is_closing:
        await response.write(b"[" * 65_536)
    return response


async def cuts(_server: HttpServer, received: Received) -> web.StreamResponse:
    """Ends the connection without a word."""
    if received.raw.transport is not None:
        received.raw.transport.abort()
    return web.Response()


async def cuts_in_the_middle(_server: HttpServer, received: Received) -> web.StreamResponse:
    """Promises a long answer and ends the connection within it."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(received.raw)
    await response.write(b'{"message_id": ')
    if received.raw.transport is not None:
        received.raw.transport.abort()
    return response


def speaks(raw: bytes) -> Behaviour:
    """Writes these bytes instead of an answer of HTTP, then hangs up."""

    async def answer(_server: HttpServer, received: Received) -> web.StreamResponse:
        transport = received.raw.transport
        assert isinstance(transport, asyncio.Transport)
        transport.write(raw)
        transport.close()
        return web.Response()

    return answer


def unpacks_into(size_bytes: int) -> Behaviour:
    """Answers with so many bytes, packed into a thousandth of them."""

    async def answer(_server: HttpServer, _received: Received) -> web.StreamResponse:
        packed = gzip.compress(b" " * size_bytes)
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"}, content_type="application/json")

    return answer
