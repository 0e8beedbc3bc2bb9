"""A TCP proxy between two programs that delays, cuts, half-opens, and drops answers."""

import asyncio
from contextlib import suppress
from enum import StrEnum
from typing import Final

CHUNK_BYTES: Final = 64 * 1024
DELAY_SECONDS: Final = 0.4


class Mode(StrEnum):
    """What happens to what passes through."""

    PASS = "pass"
    DELAY = "delay"
    """Everything comes later."""
    DEAF = "deaf"
    """Connections stay open, nothing passes any more: half-open."""
    DROP_ANSWERS = "drop answers"
    """Requests arrive, answers never do: what was committed is not told."""


class Proxy:
    """Listens on a free port of the loopback; `mode` may be changed at any time.

    Args:
        behind: `host:port` of the server behind it.
    """

    def __init__(self, behind: str) -> None:
        self._behind = tuple(behind.rsplit(":", 1))
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.mode = Mode.PASS
        self.address = ""

    async def start(self, port: int = 0) -> None:
        """Listen, on a free port unless it is given."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.address = f"{host}:{port}"

    async def stop(self) -> None:
        """Listen no more, and end what is open."""
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()

    def cut(self) -> None:
        """End every connection at once, in the middle of whatever it is saying."""
        for writer in list(self._open):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._behind)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, up_writer}
        for source, sink, is_answer in ((reader, up_writer, False), (up_reader, writer, True)):
            task = asyncio.create_task(self._pump(source, sink, is_answer=is_answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_answer: bool) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while data := await source.read(CHUNK_BYTES):
                if self.mode is Mode.DELAY:
                    await asyncio.sleep(DELAY_SECONDS)
                if self.mode is Mode.DEAF or (self.mode is Mode.DROP_ANSWERS and is_answer):
                    continue
                sink.write(data)
                await sink.drain()
        self._open.discard(sink)
        sink.transport.abort()
