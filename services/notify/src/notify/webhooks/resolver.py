"""Finds the addresses of receivers' hosts."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

THREADS_FOR_EACH_CONNECTION: Final = 2
"""A lookup whose request is over goes on until the system's resolver gives up, up to twice as long."""


class Resolver(AbstractResolver):
    """Looks names up in threads of its own.

    The loop's own are few, and the rest of the process finds its database and Kafka by them: a name whose servers are
    silent holds up webhooks at most.
    """

    def __init__(self, connections: int) -> None:
        threads = connections * THREADS_FOR_EACH_CONNECTION
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="webhook-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host, as the system's resolver tells them.

        Raises:
            OSError: there are none.
        """
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _looked_up, host, port, family)
        return [_result(host, *place) for place in found]

    async def close(self) -> None:
        """Look nothing up any more; nobody waits for what is under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _looked_up(host: str, port: int, family: socket.AddressFamily) -> list[tuple[Any, ...]]:
    return [*socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)]


def _result(host: str, family: int, _kind: int, protocol: int, _name: str, address: tuple[Any, ...]) -> ResolveResult:
    found, port = address[:2]
    return ResolveResult(
        hostname=host, host=found, port=port, family=family, proto=protocol, flags=socket.AI_NUMERICHOST
    )
