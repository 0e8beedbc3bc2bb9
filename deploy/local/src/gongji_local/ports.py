"""Free TCP ports on loopback."""

import secrets
import socket
from collections.abc import Collection
from typing import Final

from gongji_local.clock import wait_until
from gongji_local.errors import StackError

LOOPBACK: Final = "127.0.0.1"
# Below the ranges from which Linux (32768) and macOS (49152) take ports of outgoing connections: a port that is free
# now must not be taken by a client's connection before the server comes back to it.
FIRST_PORT: Final = 20_000
LAST_PORT: Final = 32_700
ATTEMPTS: Final = 200
PATIENCE_SECONDS: Final = 3.0


def is_free(port: int) -> bool:
    """Whether a server could listen there now; connections that are winding down do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None, taken: Collection[int]) -> int:
    """The preferred port if nobody listens there, else a random free one that is not in `taken`.

    A process that was just killed gives its port back a moment later: that long the preferred one is waited for, since
    others have been told of it.
    """
    if preferred is not None and preferred not in taken and wait_until(lambda: is_free(preferred), PATIENCE_SECONDS):
        return preferred
    for _ in range(ATTEMPTS):
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)
        if port not in taken and is_free(port):
            return port
    raise StackError(
        f"No free port was found between {FIRST_PORT} and {LAST_PORT} on {LOOPBACK}.",
        "End what listens there, then run `gongji-local up` again.",
    )


def listens(port: int, host: str = LOOPBACK, timeout_seconds: float = 1.0) -> bool:
    """Whether anything accepts connections there; costs next to nothing where nothing does."""
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds):
            return True
    except OSError:
        return False
