"""Two processes of notify share the work: who watches at one hears of what the other took in, though that one dies."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from urllib.error import URLError
from urllib.request import urlopen

from support.families import Families, Family

from gongji_local.client import Portal
from gongji_local.ports import free_port
from gongji_local.stack import Stack
from kit.testing import eventually

PATIENCE_SECONDS = 60.0
FAMILIES = 4
"""Of as many payers: their events are in several partitions, which the two have parted."""


def is_ready(port: int) -> bool:
    """Whether the process that has its probes here says so."""
    with suppress(URLError, OSError), urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1.0) as answer:
        return int(answer.status) == 200
    return False


@asynccontextmanager
async def beside(stack: Stack) -> AsyncIterator[asyncio.subprocess.Process]:
    """A second process of notify with the settings of the first, on addresses of its own."""
    grpc_port, http_port = free_port(None, ()), free_port(None, ())
    settings = await asyncio.to_thread(stack.environment, "notify")
    own = {"GONGJI_GRPC_ADDRESS": f"127.0.0.1:{grpc_port}", "GONGJI_HTTP_ADDRESS": f"127.0.0.1:{http_port}"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "notify", "serve"),
        env={**os.environ, **settings, **own},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await asyncio.to_thread(is_ready, http_port):
                assert process.returncode is None
                await asyncio.sleep(0.1)  # what is waited for is in another process
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Watching:
    """One payer's messages as they arrive at the first process."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.has_begun = False
        self.bodies: dict[str, str] = {}
        """By message_id: one may come again."""

    async def run(self) -> None:
        async with aclosing(self.portal.watch()) as answers:
            async for answer in answers:
                self.has_begun = True
                if answer.HasField("message"):
                    self.bodies[answer.message.message_id] = answer.message.body

    def heard(self, shown: str) -> int:
        return sum(shown in body for body in self.bodies.values())


async def settled(made: list[Family], amount_fen: int) -> None:
    for family in made:
        await family.settle("child", amount_fen)


async def test_who_watches_hears_of_every_debit_once_whichever_process_takes_it_in_and_though_one_is_killed(
    stack: Stack, families: Families
) -> None:
    made = [await families.make({"father": 100_000}) for _ in range(FAMILIES)]
    watching = [Watching(family.world.portal("father")) for family in made]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one.run()) for one in watching]
        await eventually(lambda: all(one.has_begun for one in watching))
        async with beside(stack) as other:
            await settled(made, 1_100)
            await eventually(lambda: all(one.heard("¥11.00") for one in watching))
            await settled(made, 2_200)
            other.kill()
            await other.wait()
            await settled(made, 3_300)
            await eventually(lambda: all(one.heard("¥33.00") for one in watching))
        for task in tasks:
            task.cancel()
    await asyncio.to_thread(stack.quiesce, 120.0)
    for one in watching:
        assert [one.heard(shown) for shown in ("¥11.00", "¥22.00", "¥33.00")] == [1, 1, 1]
        kept = "".join(message.body for message in await one.portal.messages())
        assert [kept.count(shown) for shown in ("支付¥11.00", "支付¥22.00", "支付¥33.00")] == [1, 1, 1]
