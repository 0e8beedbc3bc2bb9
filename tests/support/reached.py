"""Notify with a gateway for telephones, in the stack of the scenarios."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import web

from gongji_local.ports import free_port
from gongji_local.stack import Stack
from support.gateways import Gateway, write_gateway_ring
from support.http_servers import Received, serving

TEMPLATES = {"verification-code": {"zh-CN": "SMS_100"}, "debit-family": {"zh-CN": "SMS_200"}}


class StackGateway(Gateway):
    """What it takes is also in the stack's folder of messages, where people read their codes in every scenario."""

    def __init__(self, ring: Path, folder: Path) -> None:
        super().__init__(ring)
        self._folder = folder

    def take(self, received: Received) -> web.Response:
        """See `Gateway.take`."""
        answer = super().take(received)
        if answer.status == HTTPStatus.ACCEPTED:
            self._write(json.loads(received.body))
        return answer

    def _write(self, content: Mapping[str, Any]) -> None:
        file = self._folder / f"{content['delivery_id']}.json"
        body = " ".join(param["value"] for param in content["params"])
        said = {"delivery_id": content["delivery_id"], "address": content["to"], "body": body}
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(said), encoding="utf-8")
        draft.replace(file)  # whoever waits for the file reads all of it


@dataclass(frozen=True, slots=True)
class Reached:
    """A gateway that notify hands messages to, and where it takes receipts."""

    gateway: Gateway
    callback: str
    settings: Mapping[str, str]
    """What notify is started with."""

    async def code_of(self, requests: int) -> str:
        """The code in the newest message, once so many requests have come."""
        async with asyncio.timeout(60):
            await self.gateway.until_received(requests)
        newest: dict[str, list[dict[str, str]]] = list(self.gateway.messages.values())[-1]
        return next(one["value"] for one in newest["params"] if one["name"] == "code")


@asynccontextmanager
async def reaching(
    stack: Stack,
    folder: Path,
    policy: Mapping[str, float] | None = None,
    templates: Mapping[str, Mapping[str, str]] = TEMPLATES,
) -> AsyncIterator[Reached]:
    """Notify is told of a gateway, and by which policy it is used; afterwards it writes files again.

    Without `templates` the gateway knows every text by its name.
    """
    ring = write_gateway_ring(folder / "gateway-keyring.json")
    async with serving(StackGateway(ring, stack.folder.sms)) as gateway:
        assert isinstance(gateway, Gateway)
        file, port = folder / "channels.json", free_port(None, ())
        channel: dict[str, Any] = {"adapter": "gateway", "url": gateway.url, "templates": templates}
        channels = {"SMS": channel | {"policy": dict(policy or {})}}
        await asyncio.to_thread(file.write_text, json.dumps(channels))
        stated = {"CHANNELS_FILE": file, "GATEWAY_KEYRING_FILE": ring, "CALLBACK_ADDRESS": f"127.0.0.1:{port}"}
        settings = {f"GONGJI_{name}": str(value) for name, value in stated.items()}
        await notify_again(stack, settings)
        try:
            yield Reached(gateway, f"http://127.0.0.1:{port}", settings)
        finally:
            await notify_again(stack, {})


async def notify_again(stack: Stack, settings: Mapping[str, str]) -> None:
    """Notify is ended and started with these settings."""
    await asyncio.to_thread(stack.stop_service, "notify")
    await asyncio.to_thread(stack.start_service, "notify", settings)
