"""A receiver of webhooks that behaves as badly as it is told to."""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def webhook_id(self) -> str:
        """The id of the event."""
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """The content, if the signature is by this secret and the time is now; raises what the library raises."""
        return Webhook(secret).verify(self.body, dict(self.headers))


def status(code: int, headers: str = "", body: bytes = b"ok") -> Answer:
    """Says this status."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {code} Something\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body)

    return answer


async def silence(writer: asyncio.StreamWriter) -> None:
    """Says nothing, as long as anybody listens."""
    await writer.wait_closed()


async def cut(writer: asyncio.StreamWriter) -> None:
    """Ends the connection without an answer."""
    writer.transport.abort()


async def cut_in_the_body(writer: asyncio.StreamWriter) -> None:
    """Says that it took the event, then ends the connection before its body does."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf")
    await writer.drain()
    writer.transport.abort()


async def no_http(writer: asyncio.StreamWriter) -> None:
    """Speaks something else."""
    writer.write(b"220 smtp.example.com ESMTP\r\n")


async def endless_body(writer: asyncio.StreamWriter) -> None:
    """Never comes to an end."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            await writer.drain()


async def endless_head(writer: asyncio.StreamWriter) -> None:
    """Sends headers without end."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(b"x-more: " + b"x" * 1000 + b"\r\n")
            await writer.drain()


async def trickle(writer: asyncio.StreamWriter) -> None:
    """Sends a byte now and then, so that no single read takes long."""
    with contextlib.suppress(ConnectionError):
        for byte in b"HTTP/1.1 200 OK\r\n" + b"x" * 10_000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)


@dataclass
class Receiver:
    """Answers each request with the next of `answers`, or with 204 when there is none."""

    port: int = 0
    scheme: str = "http"
    answers: deque[Answer] = field(default_factory=deque)
    otherwise: Answer = field(default_factory=lambda: status(204, body=b""))
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                self.received.append(await _read(reader))
                await (self.answers.popleft() if self.answers else self.otherwise)(writer)
                await writer.drain()
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    request, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(request.split(" ")[1], headers, body)


@asynccontextmanager
async def receiver(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """A receiver on a free port."""
    made = Receiver(scheme="https" if tls else "http")
    open_now: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            open_now.add(task)
            task.add_done_callback(open_now.discard)
        with contextlib.suppress(asyncio.CancelledError):  # the end of the test
            await made.serve(reader, writer)

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in list(open_now):
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)
