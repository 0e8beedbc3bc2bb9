"""One-time codes go out by a gateway: signed, once, and one that the gateway loses holds up nobody."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.families import Families
from support.gateways import receipt
from support.http_servers import answers, is_slow
from support.newcomers import newcomer, start
from support.reached import Reached, reaching

from gongji_local.client import Connections, Portal
from gongji_local.stack import Stack


@pytest.fixture
async def reached(stack: Stack, tmp_path: Path) -> AsyncIterator[Reached]:
    async with reaching(stack, tmp_path) as made:
        yield made


async def test_a_code_goes_by_the_gateway_and_one_that_is_lost_is_asked_for_again(
    stack: Stack, connections: Connections, reached: Reached
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
    reached.gateway.keys["g1"] = b"x" * 32
    assert (await reached.gateway.send_receipts(reached.callback, receipt(lost.verification_id)))[0] == 401
    assert len(reached.gateway.received) == 2  # what was lost is not sent again: at most once

    log = await asyncio.to_thread(stack.folder.log_of("notify").read_text)
    assert "a one-time code was not sent" in log
    assert not [secret for secret in (code, person.tel) if secret in log]


async def test_a_gateway_that_does_not_answer_holds_up_no_debit(
    stack: Stack, connections: Connections, families: Families, tmp_path: Path
) -> None:
    family = await families.make({"father": 100_000})  # registered while codes are still written into files
    async with reaching(stack, tmp_path, {"timeout_seconds": 60.0}) as reached:
        log = stack.folder.log_of("notify")
        gave_up = (await asyncio.to_thread(log.read_text)).count("a one-time code was not sent")
        reached.gateway.behave(*[is_slow] * 3)
        for _ in range(3):
            await start(Portal(connections), await newcomer(connections))
        async with asyncio.timeout(60):
            await reached.gateway.until_received(3)  # side by side, and none is answered
        await family.settle("child", 12_345)
        father, bodies = family.world.portal("father"), ""
        async with asyncio.timeout(50):
            while "¥123.45" not in bodies:
                bodies = "".join(one.body for one in await father.messages())
        assert (await asyncio.to_thread(log.read_text)).count("a one-time code was not sent") == gave_up
