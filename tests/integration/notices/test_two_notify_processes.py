"""Two processes of notify share the work, and neither repeats the other's: in the inbox, and at one gateway.

Who watches at one hears of what the other took in, though that one dies; so does a telephone.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from urllib.error import URLError
from urllib.request import urlopen

from aiohttp import web
from support.deliveries import deliveries_of, end_leases
from support.families import Families, Family
from support.gateways import Gateway, takes, write_gateway_ring
from support.http_servers import HttpServer, Received
from support.reached import Reached, reaching
from support.telephones import with_a_telephone

from gongji.notify.v1 import delivery_pb2
from gongji_local.client import Caller, Connections, Portal
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
async def beside(
    stack: Stack, more: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A second process of notify with the settings of the first and `more`, on addresses of its own."""
    grpc_port, http_port = free_port(None, ()), free_port(None, ())
    settings = await asyncio.to_thread(stack.environment, "notify")
    own = {"GONGJI_GRPC_ADDRESS": f"127.0.0.1:{grpc_port}", "GONGJI_HTTP_ADDRESS": f"127.0.0.1:{http_port}"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "notify", "serve"),
        env={**os.environ, **settings, **more, **own},
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


ONE_AFTER_THE_OTHER = {"timeout_seconds": 30.0, "concurrency": 1}
"""Each process hands over one message at a time, in the order in which it took them from the queue."""
FIRST, SECOND = "g1", "g2"
"""The keys that the two sign with, by which the gateway tells them apart."""


def for_the_second(reached: Reached, folder: Path) -> dict[str, str]:
    """What the second process is told: the same gateway, and a key of its own. The first one hears receipts."""
    ring = write_gateway_ring(folder / "second-keyring.json", SECOND)
    reached.gateway.keys |= Gateway(ring).keys
    stated = {**reached.settings, "GONGJI_GATEWAY_KEYRING_FILE": str(ring)}
    return {name: value for name, value in stated.items() if name != "GONGJI_CALLBACK_ADDRESS"}


def handed_over(gateway: Gateway, tel: str) -> list[tuple[str, str]]:
    """Who asked the gateway to tell this telephone something, and the delivery, one request after the other."""
    found = [(one.headers["Gongji-Key"], json.loads(one.body)) for one in gateway.received]
    return [(key, content["delivery_id"]) for key, content in found if content["to"] == tel]


def amounts_at(gateway: Gateway, tel: str) -> dict[str, str]:
    """What this telephone is told, by delivery: the gateway passes on each once."""
    own = [one for one in gateway.messages.values() if one["to"] == tel]
    return {one["delivery_id"]: param["value"] for one in own for param in one["params"] if param["name"] == "amount"}


async def until(what: str, holds: Callable[[], bool | Awaitable[bool]]) -> None:
    await eventually(holds, timeout_seconds=PATIENCE_SECONDS, what=what)


async def test_a_gateway_gets_each_message_once_from_two_processes_and_what_a_killed_one_gave_it_under_the_same_key(
    stack: Stack, families: Families, connections: Connections, tmp_path: Path
) -> None:
    family = await families.make({"father": 100_000})
    father, tel = await with_a_telephone(stack, family)
    operator = Caller(connections, title="operator", principal="service/operator")
    goes_on = asyncio.Event()

    async def takes_and_waits(server: HttpServer, received: Received) -> web.StreamResponse:
        answer = await takes(server, received)
        await goes_on.wait()
        return answer

    async def sent() -> set[str]:
        found = await deliveries_of(operator, father.psn_no)
        return {one.delivery_id for one in found if one.state == delivery_pb2.DELIVERY_STATE_SENT}

    async def first_is_done() -> bool:
        return handed_over(gateway, tel)[-1][1] in await sent()

    async def all_are_done() -> bool:
        return len(await sent()) == 9

    async with reaching(stack, tmp_path, ONE_AFTER_THE_OTHER) as reached:
        gateway = reached.gateway
        gateway.usual = takes_and_waits
        async with beside(stack, for_the_second(reached, tmp_path)) as second:
            for amount_fen in range(1_100, 9_900, 1_100):
                await family.settle("child", amount_fen)
            await until("each has handed over one", lambda: len(handed_over(gateway, tel)) == 2)
            second.kill()
            await second.wait()
        held = dict(handed_over(gateway, tel))
        assert set(held) == {FIRST, SECOND}
        assert held[FIRST] != held[SECOND]
        # What comes now goes after all that the first has in its hands; what is left then was in the second's.
        await family.settle("child", 9_900)
        goes_on.set()
        await until("the last one came", lambda: "¥99.00" in amounts_at(gateway, tel).values())
        await until("the first process is done", first_is_done)
        assert held[SECOND] not in await sent()
        await end_leases(stack)
        await until("all are done", all_are_done)
        amounts = amounts_at(gateway, tel)
        assert sorted(amounts.values()) == [f"¥{yuan}.00" for yuan in range(11, 100, 11)]
        given = Counter(delivery_id for _, delivery_id in handed_over(gateway, tel))
        assert given == Counter([*amounts, held[SECOND]])
