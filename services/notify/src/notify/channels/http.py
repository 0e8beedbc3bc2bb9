"""HTTP as channels need it: one POST, no redirects, a bounded answer, a time-out, failures without personal data."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from kit.clock import Clock
from kit.followed import Misfit
from kit.retry_after import retry_after
from kit.tls_context import believing
from notify.channels.port import UndeliveredError

MOST_ANSWER_BYTES: Final = 16 * 1024
_CHUNK_BYTES: Final = 4096
_HTTP_OK: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said."""

    status: int
    body: bytes
    retry_after_seconds: float | None
    """How long it wants to be left alone; None if it did not say."""

    @property
    def is_success(self) -> bool:
        """Whether the status says so."""
        return self.status in _HTTP_OK

    def failure(self) -> UndeliveredError:
        """What a status that is no success means: whoever is overloaded or set up wrongly may take it later."""
        why = f"answered {self.status}"
        return UndeliveredError(why, is_final=False, retry_after_seconds=self.retry_after_seconds)


class HttpClient:
    """Posts to the one place that an adapter talks to, over connections that it keeps.

    Args:
        timeout_seconds: for the whole of one request.
        connections: open at once.
        clock: real time, which the other side dates its answers by.
        ca_file: authorities to believe instead of the usual ones, PEM.
    """

    def __init__(self, timeout_seconds: float, connections: int, clock: Clock, ca_file: Path | None = None) -> None:
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._connections = connections
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post and read the answer, whatever its status.

        Raises:
            UndeliveredError: there was no answer, or none that ends; nobody knows what became of the request.
        """
        try:
            async with self._opened().post(url, data=body, headers=dict(headers), allow_redirects=False) as response:
                answered = await _bounded(response.content)
                asked = retry_after(response.headers.get("Retry-After"), self._clock.now())
                return Answer(response.status, answered, asked.total_seconds() if asked is not None else None)
        except (aiohttp.ClientError, OSError, Misfit) as error:
            # Its text may have the address in it, and so may what it was raised from.
            raise UndeliveredError(f"no answer ({type(error).__name__})", is_final=False) from None

    async def close(self) -> None:
        """End the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, ssl=self._tls()),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                # An answer that unpacks into gigabytes stays as small as it came.
                auto_decompress=False,
                headers={"Accept-Encoding": "identity", "User-Agent": "gongji-notify"},
            )
        return self._session

    def _tls(self) -> ssl.SSLContext | bool:
        return believing(self._ca_file) if self._ca_file else True


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    while chunk := await content.read(_CHUNK_BYTES):
        body += chunk
        if len(body) > MOST_ANSWER_BYTES:
            raise UndeliveredError(f"the answer is longer than {MOST_ANSWER_BYTES} bytes", is_final=False)
    return bytes(body)
