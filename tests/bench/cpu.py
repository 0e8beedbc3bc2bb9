"""CPU seconds of processes that a bench watches."""

from contextlib import suppress

import asyncpg
import psutil


def own(process: psutil.Process) -> float:
    """Of this process alone."""
    return float(sum(process.cpu_times()[:2]))


def whole(server: psutil.Process) -> float:
    """Of a server and its children, those that have ended included."""
    total = float(sum(server.cpu_times()[:4]))
    for child in server.children():
        with suppress(psutil.NoSuchProcess):
            total += own(child)
    return total


async def postgres(connection: asyncpg.Connection) -> psutil.Process:
    """The server behind a connection to this machine."""
    backend = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()"))
    return psutil.Process(backend.ppid())
