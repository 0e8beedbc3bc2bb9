"""One-time codes go out by a gateway: signed, once, and one that the gateway loses holds up nobody."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from support.families import Families
from support.gateways import receipt, takes
from support.http_servers import HttpServer, Received, answers
from support.newcomers import newcomer, start
from support.reached import Reached, reaching

from gongji_local.client import Connections, Portal
from gongji_local.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reached(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Reached]:
    """One gateway for all of them, which may take its time."""
    async with reaching(stack, tmp_path_factory.mktemp("gateway"), {"timeout_seconds": 60.0}) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def connections(stack: Stack) -> AsyncIterator[Connections]:
    """The same as everywhere, in the event loop of the gateway."""
    async with Connections(stack) as opened:
        yield opened


async def test_a_code_goes_by_the_gateway_and_one_that_is_lost_is_asked_for_again(
    stack: Stack, connections: Connections, reached: Reached, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, portal = await newcomer(connections), Portal(connections)
    reached.gateway.behave(answers(500))
    lost = await start(portal, person)
    async with asyncio.timeout(60):
        await reached.gateway.until_received(1)
    assert reached.gateway.messages == {}

    started = await start(portal, person)
    code = await reached.code_of(requests=2)
    (message,) = reached.gateway.messages.values()
    assert (message["delivery_id"], message["to"], message["template_id"]) == (
        started.verification_id,
        person.tel,
        "SMS_100",
    )
    by = (person.psn_name, person.certificate, started.verification_id)
    assert await portal.register_with_code(*by, code) == person.psn_no

    # A code has no delivery that a receipt could be about; a stranger's receipt is not even read.
    answered = await reached.gateway.send_receipts(reached.callback, receipt(started.verification_id))
    assert answered == (200, {"taken": 0, "unknown": [started.verification_id]})
    monkeypatch.setitem(reached.gateway.keys, "g1", b"x" * 32)
    assert (await reached.gateway.send_receipts(reached.callback, receipt(lost.verification_id)))[0] == 401
    assert len(reached.gateway.received) == 2  # what was lost is not sent again: at most once

    log = await asyncio.to_thread(stack.folder.log_of("notify").read_text)
    assert "a one-time code was not sent" in log
    assert not [secret for secret in (code, person.tel) if secret in log]


async def test_a_gateway_that_does_not_answer_holds_up_no_debit(
    stack: Stack, connections: Connections, families: Families, reached: Reached
) -> None:
    family = await families.make({"father": 100_000})
    log, before = stack.folder.log_of("notify"), len(reached.gateway.received)
    gave_up = (await asyncio.to_thread(log.read_text)).count("a one-time code was not sent")
    goes_on = asyncio.Event()

    async def is_slow(server: HttpServer, received: Received) -> web.StreamResponse:
        await goes_on.wait()
        return await takes(server, received)

    reached.gateway.behave(*[is_slow] * 3)
    for _ in range(3):
        await start(Portal(connections), await newcomer(connections))
    async with asyncio.timeout(60):
        await reached.gateway.until_received(before + 3)  # side by side, and none is answered
    await family.settle("child", 12_345)
    father, bodies = family.world.portal("father"), ""
    async with asyncio.timeout(50):
        while "¥123.45" not in bodies:
            bodies = "".join(one.body for one in await father.messages())
    assert (await asyncio.to_thread(log.read_text)).count("a one-time code was not sent") == gave_up
    goes_on.set()  # or ending notify would wait for them
