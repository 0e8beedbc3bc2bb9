"""One request to a webhook's address: what may be reached is judged at the moment of connecting."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp

from kit.clock import Clock
from kit.retry_after import retry_after
from kit.tls_context import believing
from notify.domain.webhook_address import Reach
from notify.domain.webhooks import Outcome, Result
from notify.webhooks.resolver import Resolver

CONNECT_SECONDS: Final = 5.0
MOST_ANSWER_BYTES: Final = 16 * 1024
"""Of an answer; whoever sends more is cut off. What it says does not matter, only the status does."""
KEPT_OPEN_SECONDS: Final = 15.0
_OK: Final = range(200, 300)


class Client(Protocol):
    """Sends requests."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Send one and tell how it went; whatever the other side does is an outcome."""
        ...


class HttpClient:
    """Sends by aiohttp: without redirects, proxies of the surroundings, cookies, and answers that are too long or late.

    Args:
        reach: where it may connect to. Each connection is judged by the address that it is made to, so a name that
            leads elsewhere since it was looked at is found out.
        timeout_seconds: for the whole of one request.
        connections: open at once.
        clock: real time, which receivers date their answers by.
        ca_file: certificates that are trusted besides the usual ones, PEM.
    """

    def __init__(
        self, reach: Reach, timeout_seconds: float, connections: int, clock: Clock, ca_file: Path | None = None
    ) -> None:
        self._reach = reach
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(
            total=timeout_seconds,
            sock_connect=min(CONNECT_SECONDS, timeout_seconds),
            ceil_threshold=timeout_seconds + 1,
        )
        self._connections = connections
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None
        self._resolver: Resolver | None = None

    async def start(self) -> None:
        """Be ready to send."""
        if self._ca_file is None:
            context = ssl.create_default_context()
        else:
            context = believing(self._ca_file, besides_usual=True)
        self._resolver = Resolver(self._connections)
        connector = aiohttp.TCPConnector(
            limit=self._connections,
            resolver=self._resolver,
            ssl=context,
            socket_factory=self._socket,
            keepalive_timeout=KEPT_OPEN_SECONDS,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def stop(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """See `Client.post`."""
        if self._session is None:
            raise NotStartedError("start comes before post")
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                await _skim(answer)
                return self._said(answer)
        except TimeoutError:
            return Outcome(Result.TIMED_OUT)
        except aiohttp.ClientError as error:
            return Outcome(_result_of(error))

    def _said(self, answer: aiohttp.ClientResponse) -> Outcome:
        if answer.status in _OK:
            return Outcome(Result.DELIVERED, answer.status)
        asked = retry_after(answer.headers.get("Retry-After"), self._clock.now())
        return Outcome(Result.REFUSED, answer.status, asked)

    def _socket(self, place: Any) -> socket.socket:
        family, kind, protocol, _, address = place
        if not self._reach.allows(ip_address(address[0]), address[1]):
            raise PermissionError(errno.EACCES, "the address is not allowed")
        return socket.socket(family, kind, protocol)


class NotStartedError(Exception):
    """The client is used before its start; a fault in the code."""


async def _skim(answer: aiohttp.ClientResponse) -> None:
    """Read a short answer to its end, so that the connection can be used again; close it on any other.

    The status has been said by then: what becomes of the rest does not change whether the event was taken.
    """
    try:
        await answer.content.readexactly(MOST_ANSWER_BYTES)
    except asyncio.IncompleteReadError:
        return
    except (aiohttp.ClientError, TimeoutError):
        pass
    answer.close()


def _result_of(error: aiohttp.ClientError) -> Result:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return Result.UNTRUSTED
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno == errno.EACCES:
        return Result.ADDRESS_REFUSED
    if isinstance(error, aiohttp.InvalidURL):
        return Result.ADDRESS_REFUSED
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return Result.NOT_HTTP
    return Result.UNREACHABLE
