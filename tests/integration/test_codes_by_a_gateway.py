"""One-time codes go out by a gateway: signed, once, and one that the gateway loses holds up nobody."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.gateways import Gateway, receipt, write_gateway_ring
from support.http_servers import answers, serving
from support.newcomers import newcomer, start

from gongji_local.client import Connections, Portal
from gongji_local.ports import free_port
from gongji_local.stack import Stack

TEMPLATES = {"verification-code": {"zh-CN": "SMS_100"}}


@dataclass(frozen=True, slots=True)
class Reached:
    """A gateway that notify hands messages to, and where it takes receipts."""

    gateway: Gateway
    callback: str

    async def code_of(self, requests: int) -> str:
        """The code in the newest message, once so many requests have come."""
        async with asyncio.timeout(60):
            await self.gateway.until_received(requests)
        return next(one["value"] for one in self._newest()["params"] if one["name"] == "code")

    def _newest(self) -> dict[str, list[dict[str, str]]]:
        return list(self.gateway.messages.values())[-1]


@pytest.fixture
async def reached(stack: Stack, tmp_path: Path) -> AsyncIterator[Reached]:
    """Notify is told of a gateway; afterwards it writes files again."""
    ring = write_gateway_ring(tmp_path / "gateway-keyring.json")
    async with serving(Gateway(ring)) as gateway:
        assert isinstance(gateway, Gateway)
        file, port = tmp_path / "channels.json", free_port(None, ())
        channel = {"adapter": "gateway", "url": gateway.url, "templates": TEMPLATES}
        await asyncio.to_thread(file.write_text, json.dumps({"SMS": channel}))
        stated = {"CHANNELS_FILE": file, "GATEWAY_KEYRING_FILE": ring, "CALLBACK_ADDRESS": f"127.0.0.1:{port}"}
        await again(stack, {f"GONGJI_{name}": str(value) for name, value in stated.items()})
        try:
            yield Reached(gateway, f"http://127.0.0.1:{port}")
        finally:
            await again(stack, {})


async def again(stack: Stack, extra: dict[str, str]) -> None:
    await asyncio.to_thread(stack.stop_service, "notify")
    await asyncio.to_thread(stack.start_service, "notify", extra)


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
