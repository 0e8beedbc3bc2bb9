"""Messengers' robots: each is asked in its own dialect, and its answers mean what its maker says."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.http_servers import Behaviour, HttpServer, Received, answers, cuts, never_ends, says, serving

from kit.clock import FixedClock
from notify.channels.guarded import Guarded, LeftAloneError
from notify.channels.http import HttpClient
from notify.channels.policy import Policy
from notify.channels.port import Accepted, AddressBusyError, Outgoing, UndeliveredError
from notify.channels.robots import ADDRESS, DIALECTS, MOST_TEXT_BYTES, RobotAdapter, shortened
from notify.domain.addresses import normalised
from notify.domain.channels import Channel

AT = datetime(2025, 6, 10, 2, 0, tzinfo=UTC)
TOKEN, SECRET = "0f3a9c1e-2b4d-4c6f-8a10-77aa55cc3311", "SECb1946ac92492d2347c6235b4d2611184"
ROBOTS = [Channel.WECOM, Channel.DINGTALK, Channel.FEISHU]
FIELD = {Channel.WECOM: "errcode", Channel.DINGTALK: "errcode", Channel.FEISHU: "code"}


def outgoing(channel: Channel, address: str = TOKEN, body: str = "您的账户支出¥12.30。") -> Outgoing:
    return Outgoing(uuid4(), channel, "debit", "zh-CN", address, "共济账户支出提醒", body, {})


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    served = HttpServer(answers(200, {"errcode": 0, "code": 0}))
    async with serving(served):
        yield served


class Adapters:
    """Adapters of the three, each reached at its path of the test's server."""

    def __init__(self, server: HttpServer) -> None:
        self._http = HttpClient(5.0, 4, FixedClock(AT))
        self._server = server

    def of(self, channel: Channel) -> RobotAdapter:
        return RobotAdapter(self._http, DIALECTS[channel], FixedClock(AT), f"{self._server.origin}/robot")

    async def close(self) -> None:
        await self._http.close()


@pytest.fixture
async def adapters(server: HttpServer) -> AsyncIterator[Adapters]:
    made = Adapters(server)
    yield made
    await made.close()


def asked(received: Received) -> tuple[str, dict[str, str], Any]:
    return received.path, dict(received.query), json.loads(received.body)


async def refusal(adapters: Adapters, channel: Channel, address: str = TOKEN) -> UndeliveredError:
    with pytest.raises(UndeliveredError) as refused:
        await adapters.of(channel).send(outgoing(channel, address))
    for secret in (TOKEN, SECRET, "支出", "127.0.0.1"):
        assert secret not in f"{refused.value!r} {refused.value.why}"
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return refused.value


TEXT = "共济账户支出提醒\n您的账户支出¥12.30。"


async def test_wecom_takes_the_key_in_the_query(server: HttpServer, adapters: Adapters) -> None:
    sent = outgoing(Channel.WECOM)
    assert await adapters.of(Channel.WECOM).send(sent) == Accepted(None, awaits_receipt=False)
    assert asked(server.received[0]) == ("/robot", {"key": TOKEN}, {"msgtype": "text", "text": {"content": TEXT}})


async def test_dingtalk_takes_a_signature_over_milliseconds_in_the_query(
    server: HttpServer, adapters: Adapters
) -> None:
    await adapters.of(Channel.DINGTALK).send(outgoing(Channel.DINGTALK, f"{TOKEN}:{SECRET}"))
    path, query, content = asked(server.received[0])
    milliseconds = str(int(AT.timestamp()) * 1000)
    mac = hmac.new(SECRET.encode(), f"{milliseconds}\n{SECRET}".encode(), hashlib.sha256).digest()
    assert (path, content) == ("/robot", {"msgtype": "text", "text": {"content": TEXT}})
    assert query == {"access_token": TOKEN, "timestamp": milliseconds, "sign": base64.b64encode(mac).decode()}


async def test_feishu_takes_a_signature_over_seconds_in_the_body(server: HttpServer, adapters: Adapters) -> None:
    await adapters.of(Channel.FEISHU).send(outgoing(Channel.FEISHU, f"{TOKEN}:{SECRET}"))
    seconds = str(int(AT.timestamp()))
    mac = hmac.new(f"{seconds}\n{SECRET}".encode(), b"", hashlib.sha256).digest()
    assert asked(server.received[0]) == (
        f"/robot/{TOKEN}",
        {},
        {
            "msg_type": "text",
            "content": {"text": TEXT},
            "timestamp": seconds,
            "sign": base64.b64encode(mac).decode(),
        },
    )


@pytest.mark.parametrize("channel", ROBOTS)
async def test_a_robot_that_asks_for_no_signature_gets_none(
    server: HttpServer, adapters: Adapters, channel: Channel
) -> None:
    await adapters.of(channel).send(outgoing(channel))
    _path, query, content = asked(server.received[0])
    assert "sign" not in query | content


@pytest.mark.parametrize("channel", ROBOTS)
@pytest.mark.parametrize(
    "address",
    ["", "short", "../../admin/x", f"{TOKEN}?x=1", f"{TOKEN}&x=1", f"{TOKEN}#", f"{TOKEN}:", f"{TOKEN}/x", f"{TOKEN} ",
     f"{TOKEN}\n", f"{TOKEN}:{SECRET}:x", "http://10.0.0.1/", "x" * 129, "ü" * 20],
)  # fmt: skip
async def test_an_address_cannot_lead_anywhere_else(
    server: HttpServer, adapters: Adapters, channel: Channel, address: str
) -> None:
    with pytest.raises(UndeliveredError, match="the address is no robot's") as refused:
        await adapters.of(channel).send(outgoing(channel, address))
    assert refused.value.is_final
    assert server.received == []


@pytest.mark.parametrize(
    ("channel", "code", "seconds"),
    [(Channel.WECOM, 45009, 60.0), (Channel.DINGTALK, 130101, 600.0), (Channel.FEISHU, 11232, 60.0)],
)
async def test_a_robot_that_is_asked_too_often_rests_and_the_others_go_on(
    server: HttpServer, adapters: Adapters, channel: Channel, code: int, seconds: float
) -> None:
    server.behave(answers(200, {FIELD[channel]: code}))
    refused = await refusal(adapters, channel)
    assert isinstance(refused, AddressBusyError)
    assert refused.retry_after_seconds == seconds


@pytest.mark.parametrize("channel", ROBOTS)
async def test_a_robot_that_is_gone_is_final(server: HttpServer, adapters: Adapters, channel: Channel) -> None:
    for code in sorted(DIALECTS[channel].final_codes):
        server.behave(answers(200, {FIELD[channel]: code, "errmsg": TOKEN, "msg": TOKEN}))
        refused = await refusal(adapters, channel)
        assert (refused.is_final, refused.why) == (True, f"{DIALECTS[channel].name} refused with {code}")


@pytest.mark.parametrize("channel", ROBOTS)
async def test_a_code_that_nobody_knows_is_tried_again(
    server: HttpServer, adapters: Adapters, channel: Channel
) -> None:
    server.behave(answers(200, {FIELD[channel]: -1}))
    assert not (await refusal(adapters, channel)).is_final


WRONG: list[Behaviour] = [
    says("ok"),
    says(""),
    says("[" * 10_000),
    answers(200, []),
    answers(200, {}),
    answers(200, {"errcode": "0", "code": "0"}),
    answers(200, {"errcode": False, "code": False}),
    answers(200, {"errcode": None, "code": None}),
    answers(500, {"errcode": 0, "code": 0}),
    answers(302, {"errcode": 0, "code": 0}, Location="/elsewhere"),
    answers(404),
    cuts,
    never_ends,
]


@pytest.mark.parametrize("channel", ROBOTS)
@pytest.mark.parametrize("behaviour", WRONG, ids=range(len(WRONG)))
async def test_a_wrong_answer_is_not_taken_for_a_yes(
    server: HttpServer, adapters: Adapters, channel: Channel, behaviour: Behaviour
) -> None:
    server.behave(behaviour)
    assert not (await refusal(adapters, channel)).is_final
    assert len(server.received) == 1


async def test_a_messenger_may_say_how_long_it_wants_to_be_left_alone(server: HttpServer, adapters: Adapters) -> None:
    server.behave(answers(429, Retry_After="30"))
    assert (await refusal(adapters, Channel.FEISHU)).retry_after_seconds == 30.0


async def test_one_busy_robot_does_not_open_the_circuit_and_a_messenger_that_is_down_does(
    server: HttpServer, adapters: Adapters
) -> None:
    guarded = Guarded(Channel.DINGTALK, adapters.of(Channel.DINGTALK), Policy(breaker_failures=2))
    server.behave(*[answers(200, {"errcode": 130101})] * 4, *[answers(502)] * 2)
    for _ in range(6):
        with pytest.raises(UndeliveredError) as refused:
            await guarded.send(outgoing(Channel.DINGTALK))
        assert not isinstance(refused.value, LeftAloneError)
    with pytest.raises(LeftAloneError):
        await guarded.send(outgoing(Channel.DINGTALK))


async def test_a_long_text_is_cut_to_what_every_messenger_takes(server: HttpServer, adapters: Adapters) -> None:
    sent = replace(outgoing(Channel.WECOM), body="共" * 2000)
    await adapters.of(Channel.WECOM).send(sent)
    content = json.loads(server.received[0].body)["text"]["content"]
    assert content.endswith("共…")
    assert len(content.encode()) <= MOST_TEXT_BYTES


@given(address=st.text("abXY09_-:/.?#", max_size=40) | st.from_regex(ADDRESS, fullmatch=True))
def test_what_may_be_a_contact_is_what_a_robot_is_reached_at(address: str) -> None:
    for channel in ROBOTS:
        assert (normalised(channel, address) is None) == (ADDRESS.fullmatch(address) is None)


@given(text=st.text(max_size=60), most_bytes=st.integers(3, 80))
def test_a_text_is_kept_or_cut_between_characters(text: str, most_bytes: int) -> None:
    short = shortened(text, most_bytes)
    assert len(short.encode()) <= most_bytes
    if len(text.encode()) <= most_bytes:
        assert short == text
    else:
        assert short.endswith("…")
        assert text.startswith(short[:-1])


def test_robots_are_reached_at_their_makers_addresses() -> None:
    assert {channel: dialect.url for channel, dialect in DIALECTS.items()} == {
        Channel.WECOM: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send",
        Channel.DINGTALK: "https://oapi.dingtalk.com/robot/send",
        Channel.FEISHU: "https://open.feishu.cn/open-apis/bot/v2/hook",
    }
