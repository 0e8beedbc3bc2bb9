"""The SMS gateway of `make bench-notify`: takes each message at once, and remembers when each key first came.

`python -m bench.notify_gateway` listens on a free port of the loopback, prints it, and runs until it is ended. It
checks no signature and sends no receipt: what is measured is notify, and it has the same cores.
"""

import asyncio
import sys
import time
from typing import Final

import uvloop
from aiohttp import web

MESSAGES: Final = "/v1/messages"
COUNTS: Final = "/counts"
TIMES: Final = "/times"
KEY: Final = "Idempotency-Key"


class Taken:
    """What was handed over, by the key that each message has at every attempt."""

    def __init__(self) -> None:
        self.first: dict[str, float] = {}
        """When each key first came; seconds since 1970."""
        self.doubles = 0

    def take(self, key: str, now: float) -> None:
        """A message came."""
        if key in self.first:
            self.doubles += 1
        else:
            self.first[key] = now

    @property
    def counts(self) -> dict[str, int]:
        """How many keys came, and how many messages besides the first of each."""
        return {"unique": len(self.first), "doubles": self.doubles}


def application(taken: Taken) -> web.Application:
    """The gateway as a web application."""

    async def message(request: web.Request) -> web.Response:
        key = request.headers[KEY]
        await request.read()
        taken.take(key, time.time())
        return web.json_response({"message_id": f"gw-{key}", "receipt": False})

    async def counts(request: web.Request) -> web.Response:
        del request
        return web.json_response(taken.counts)

    async def times(request: web.Request) -> web.Response:
        del request
        return web.json_response(taken.first)

    gateway = web.Application()
    gateway.add_routes([web.post(MESSAGES, message), web.get(COUNTS, counts), web.get(TIMES, times)])
    return gateway


async def _serve() -> None:
    runner = web.AppRunner(application(Taken()), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve())
