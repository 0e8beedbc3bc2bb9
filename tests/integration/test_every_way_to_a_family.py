"""Every way that a family chose reaches them, though one is down: the payer of a debit, the beneficiary of an end."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.families import Families, Family
from support.gateways import Gateway, write_gateway_ring
from support.http_servers import HttpServer, answers, serving
from support.reached import TEMPLATES, notify_again

from gongji.notify.v1 import contact_pb2 as pb
from gongji.notify.v1 import inbox_pb2, notice_pb2
from gongji_local.client import Portal
from gongji_local.stack import Stack
from kit.testing import eventually

POLICY = {"timeout_seconds": 2.0, "breaker_failures": 1, "breaker_rest_seconds": 0.5}
DEVICE, DEVICE_OF_CHILD, ROBOT = "d" * 32, "c" * 32, "0f3a9c1e-2b4d-4c7e-9a51-77aa00bb11cc"


@dataclass(frozen=True, slots=True)
class Ways:
    """The other sides of notify's channels."""

    sms: Gateway
    """Has templates in Chinese alone."""
    push: Gateway
    robots: HttpServer

    def pushed(self, device: str) -> list[dict[str, Any]]:
        """What a device got, oldest first."""
        return [one for one in self.push.messages.values() if one["to"] == device]

    def by_sms(self, tel: str) -> list[dict[str, Any]]:
        """What a telephone got, oldest first."""
        return [one for one in self.sms.messages.values() if one["to"] == tel]

    def said(self) -> list[str]:
        """What the robot said in its chat, oldest first."""
        return [json.loads(one.body)["text"]["content"] for one in self.robots.received]


@pytest.fixture
async def family(families: Families) -> Family:
    """Registered while codes are still written into files."""
    return await families.make({"father": 100_000})


@pytest.fixture
async def ways(stack: Stack, tmp_path: Path, family: Family) -> AsyncIterator[Ways]:
    del family
    ring = write_gateway_ring(tmp_path / "gateway-keyring.json")
    sms, push, robots = Gateway(ring), Gateway(ring), HttpServer(answers(200, {"errcode": 0}))
    async with serving(sms), serving(push), serving(robots):
        channels = {
            "SMS": {"adapter": "gateway", "url": sms.url, "templates": TEMPLATES, "policy": POLICY},
            "PUSH": {"adapter": "gateway", "url": push.origin, "policy": POLICY},
            "WECOM": {"adapter": "robot", "url": robots.origin, "policy": POLICY},
        }
        file = tmp_path / "channels.json"
        await asyncio.to_thread(file.write_text, json.dumps(channels))
        await notify_again(stack, {"GONGJI_CHANNELS_FILE": str(file), "GONGJI_GATEWAY_KEYRING_FILE": str(ring)})
        try:
            yield Ways(sms, push, robots)
        finally:
            await notify_again(stack, {})


async def added(portal: Portal, channel: notice_pb2.Channel.ValueType, address: str) -> str:
    request = pb.AddContactRequest(psn_no=portal.psn_no, channel=channel, address=address)
    return (await portal.call(portal.contacts.AddContact, request)).contact.contact_id


async def verified(portal: Portal, contact_id: str, code: str) -> None:
    request = pb.VerifyContactRequest(psn_no=portal.psn_no, contact_id=contact_id, code=code)
    await portal.call(portal.contacts.VerifyContact, request)


def code_in(message: dict[str, Any]) -> str:
    return next(str(one["value"]) for one in message["params"] if one["name"] == "code")


def values(message: dict[str, Any]) -> list[str]:
    return [one["value"] for one in message["params"]]


async def on_a_device(portal: Portal, ways: Ways, device: str) -> None:
    contact_id = await added(portal, notice_pb2.CHANNEL_PUSH, device)
    await eventually(lambda: len(ways.pushed(device)) == 1)
    await verified(portal, contact_id, code_in(ways.pushed(device)[0]))


async def in_a_chat(portal: Portal, ways: Ways) -> None:
    contact_id = await added(portal, notice_pb2.CHANNEL_WECOM, ROBOT)
    await eventually(lambda: len(ways.said()) == 1)
    (code,) = re.findall(r"(?<!\d)\d{6}(?!\d)", ways.said()[0])
    await verified(portal, contact_id, code)


async def by_telephone(portal: Portal, ways: Ways, tel: str) -> None:
    """The code comes in Chinese, which is all that the gateway has templates of."""
    contact_id = await added(portal, notice_pb2.CHANNEL_SMS, tel)
    await eventually(lambda: len(ways.by_sms(tel)) == 1)
    (message,) = ways.by_sms(tel)
    assert (message["template_id"], message["language"]) == ("SMS_100", "zh-CN")
    await verified(portal, contact_id, code_in(message))


async def test_a_debit_and_an_end_reach_devices_and_a_chat_while_sms_is_down_and_sms_afterwards(
    stack: Stack, family: Family, ways: Ways
) -> None:
    father, child = family.world.portal("father"), family.world.portal("child")
    tel = f"19{family.world.persons['father'].tel[2:]}"
    await father.call(father.contacts.SetSettings, pb.SetSettingsRequest(psn_no=father.psn_no, language="en"))
    await on_a_device(father, ways, DEVICE)
    await on_a_device(child, ways, DEVICE_OF_CHILD)
    await in_a_chat(father, ways)
    await by_telephone(father, ways, tel)
    unread = inbox_pb2.UnreadCountRequest(psn_no=father.psn_no)
    before = (await father.call(father.inbox.UnreadCount, unread)).unread

    usual, ways.sms.usual = ways.sms.usual, answers(503)
    await family.settle("child", 12_345)
    await eventually(lambda: len(ways.pushed(DEVICE)) == 2 and len(ways.said()) == 2)
    told = ways.pushed(DEVICE)[1]
    assert (told["template_id"], told["language"], "¥123.45" in values(told)) == ("debit-family", "en", True)
    assert "through family mutual aid" in ways.said()[1]
    assert len(ways.by_sms(tel)) == 1
    assert (await father.call(father.inbox.UnreadCount, unread)).unread == before + 1

    await father.unbind(family.relation_id("father", "child"))
    await eventually(lambda: len(ways.pushed(DEVICE_OF_CHILD)) == 2)
    assert ways.pushed(DEVICE_OF_CHILD)[1]["template_id"] == "relation-ended-beneficiary"

    ways.sms.usual = usual
    stack.move_clock(stack.now() + timedelta(hours=1))
    await eventually(lambda: len(ways.by_sms(tel)) == 2)
    late = ways.by_sms(tel)[1]
    assert (late["template_id"], late["language"], "¥123.45" in values(late)) == ("SMS_200", "zh-CN", True)
