"""The gateway of SMS and push: what it is asked, what its answers mean, and that its failures harm nobody."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from uuid import uuid4

import pytest
from support.gateways import Gateway, takes, takes_and_is_gone, write_gateway_ring
from support.http_servers import (
    Behaviour,
    answers,
    cuts,
    cuts_in_the_middle,
    drips,
    is_slow,
    never_ends,
    says,
    serving,
    speaks,
    unpacks_into,
)

from kit.clock import Clock, FixedClock, SystemClock
from kit.signing import TokenSigner
from notify.channels.gateway import GatewayAdapter
from notify.channels.guarded import Guarded
from notify.channels.http import MOST_ANSWER_BYTES, HttpClient
from notify.channels.policy import Policy
from notify.channels.port import Accepted, Outgoing, UndeliveredError
from notify.domain.channels import Channel

TEL, CODE = "13999990000", "042917"
TEMPLATES = {"verification-code": {"zh-CN": "SMS_100", "en": "SMS_101"}}


def outgoing(template: str = "verification-code", language: str = "zh-CN") -> Outgoing:
    params = {"purpose": "实名注册", "code": CODE, "until": "10:05"}
    return Outgoing(uuid4(), Channel.SMS, template, language, TEL, "", f"验证码{CODE}", params)


Adapters = Callable[..., GatewayAdapter]


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    return write_gateway_ring(tmp_path / "gateway-keyring.json")


@pytest.fixture
async def gateway(ring: Path) -> AsyncIterator[Gateway]:
    served = Gateway(ring)
    async with serving(served):
        yield served


@pytest.fixture
async def adapters(gateway: Gateway, ring: Path) -> AsyncIterator[Adapters]:
    made: list[GatewayAdapter] = []

    def adapter(clock: Clock | None = None, timeout_seconds: float = 10.0, own_ring: Path = ring) -> GatewayAdapter:
        http = HttpClient(timeout_seconds, 4, clock or SystemClock())
        made.append(GatewayAdapter(http, gateway.url, TokenSigner(own_ring), TEMPLATES, clock or SystemClock()))
        return made[-1]

    yield adapter
    for one in made:
        await one.close()


async def refusal(adapter: GatewayAdapter) -> UndeliveredError:
    with pytest.raises(UndeliveredError) as refused:
        await adapter.send(outgoing())
    for secret in (TEL, CODE, "127.0.0.1"):
        assert secret not in f"{refused.value!r} {refused.value.why}"
    # What it was raised from has addresses in it, so no traceback may show that.
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return refused.value


async def test_a_message_is_its_templates_id_with_the_parameters_in_order(gateway: Gateway, adapters: Adapters) -> None:
    sent = outgoing()
    assert await adapters().send(sent) == Accepted(f"gw-{sent.delivery_id}", awaits_receipt=True)
    (received,) = gateway.received
    assert json.loads(received.body) == {
        "delivery_id": str(sent.delivery_id),
        "channel": "SMS",
        "to": TEL,
        "template_id": "SMS_100",
        "language": "zh-CN",
        "params": [
            {"name": "purpose", "value": "实名注册"},
            {"name": "code", "value": CODE},
            {"name": "until", "value": "10:05"},
        ],
    }
    assert (received.method, received.headers["Idempotency-Key"]) == ("POST", str(sent.delivery_id))


async def test_the_template_is_the_languages(gateway: Gateway, adapters: Adapters) -> None:
    await adapters().send(outgoing(language="en"))
    assert json.loads(gateway.received[0].body)["template_id"] == "SMS_101"


@pytest.mark.parametrize(("template", "language"), [("debit", "zh-CN"), ("verification-code", "ug")])
async def test_a_text_that_the_gateway_has_no_template_of_is_not_sent(
    gateway: Gateway, adapters: Adapters, template: str, language: str
) -> None:
    with pytest.raises(UndeliveredError, match=f"no template id for {template} in {language}") as refused:
        await adapters().send(outgoing(template, language))
    assert refused.value.is_final
    assert gateway.received == []


async def test_a_gateway_without_ids_of_its_own_gets_our_names(gateway: Gateway, ring: Path) -> None:
    adapter = GatewayAdapter(HttpClient(10, 1, SystemClock()), gateway.url, TokenSigner(ring), {}, SystemClock())
    await adapter.send(outgoing("debit"))
    await adapter.close()
    assert json.loads(gateway.received[0].body)["template_id"] == "debit"


async def test_every_request_is_signed_anew(gateway: Gateway, adapters: Adapters) -> None:
    adapter = adapters()
    for _ in range(2):
        await adapter.send(outgoing())
    assert all(gateway.is_signed(received) for received in gateway.received)
    assert len({received.headers["Gongji-Nonce"] for received in gateway.received}) == 2


async def test_an_address_without_a_path_is_signed_as_the_path_that_is_asked_for(gateway: Gateway, ring: Path) -> None:
    http = HttpClient(10, 1, SystemClock())
    adapter = GatewayAdapter(http, gateway.origin, TokenSigner(ring), TEMPLATES, SystemClock())
    await adapter.send(outgoing())
    await adapter.close()
    assert ([one.path for one in gateway.received], len(gateway.messages)) == (["/"], 1)


async def test_who_has_another_key_is_refused_and_may_come_again_when_that_is_mended(
    gateway: Gateway, adapters: Adapters, tmp_path: Path
) -> None:
    strange = write_gateway_ring(tmp_path / "other.json", "g2")
    refused = await refusal(adapters(own_ring=strange))
    assert (refused.why, refused.is_final, gateway.messages) == ("answered 401", False, {})


async def test_the_signature_has_the_time_of_the_clock(gateway: Gateway, adapters: Adapters) -> None:
    late = FixedClock(datetime.now(UTC) - timedelta(minutes=6))
    assert (await refusal(adapters(clock=late))).why == "answered 401"
    assert gateway.messages == {}


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_what_is_wrong_with_one_message_is_final_and_named_by_a_code(
    gateway: Gateway, adapters: Adapters, status: int
) -> None:
    gateway.behave(answers(status, {"code": "ADDRESS_INVALID", "what": f"{TEL} is no telephone"}))
    refused = await refusal(adapters())
    assert (refused.why, refused.is_final) == (f"refused with {status} ADDRESS_INVALID", True)


@pytest.mark.parametrize("content", [{"code": f"no {TEL}"}, {"code": 7}, {}, [], None, {"code": "X" * 65}])
async def test_a_refusal_without_a_word_of_the_contract_is_named_by_its_status(
    gateway: Gateway, adapters: Adapters, content: object
) -> None:
    gateway.behave(answers(422, content))
    assert (await refusal(adapters())).why == "refused with 422"


@pytest.mark.parametrize("status", [401, 403, 404, 408, 409, 429, 500, 502, 503, 504])
async def test_what_is_wrong_with_the_gateway_or_with_us_may_be_tried_again(
    gateway: Gateway, adapters: Adapters, status: int
) -> None:
    gateway.behave(answers(status))
    refused = await refusal(adapters())
    assert (refused.why, refused.is_final, refused.retry_after_seconds) == (f"answered {status}", False, None)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("999999999999", 86_400.0),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("1.5", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2999 07:28:00 GMT", 86_400.0),
        ("Wed, 99 Oct 2999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2999 07:28:00", None),
    ],
)
async def test_a_gateway_says_how_long_it_wants_to_be_left_alone(
    gateway: Gateway, adapters: Adapters, value: str, seconds: float | None
) -> None:
    gateway.behave(answers(429, Retry_After=value))
    assert (await refusal(adapters())).retry_after_seconds == seconds


async def test_it_may_say_so_by_a_date(gateway: Gateway, adapters: Adapters) -> None:
    until = datetime.now(UTC) + timedelta(seconds=90)
    gateway.behave(answers(503, Retry_After=format_datetime(until, usegmt=True)))
    seconds = (await refusal(adapters())).retry_after_seconds
    assert seconds is not None
    assert 60 < seconds <= 90


async def test_nobody_is_led_elsewhere(gateway: Gateway, adapters: Adapters) -> None:
    gateway.behave(answers(307, Location="/elsewhere"), answers(302, Location="/elsewhere"))
    for status in (307, 302):
        assert (await refusal(adapters())).why == f"answered {status}"
    assert {received.path for received in gateway.received} == {"/v1/messages"}


WRONG_BODIES = [
    says(""),
    says("<html>welcome to the hotel</html>"),
    says('{"message_id": '),
    answers(200, []),
    answers(200, "gw-1"),
    answers(200, {}),
    answers(200, {"message_id": 7}),
    answers(200, {"message_id": ""}),
    answers(200, {"message_id": "a b"}),
    answers(200, {"message_id": "x" * 129}),
    answers(202, {"message_id": "gw-1", "receipt": "yes"}),
    says("[" * 10_000),
]


@pytest.mark.parametrize("behaviour", WRONG_BODIES)
async def test_a_wrong_body_is_not_taken_for_a_yes(gateway: Gateway, adapters: Adapters, behaviour: Behaviour) -> None:
    gateway.behave(behaviour)
    refused = await refusal(adapters())
    assert not refused.is_final
    assert "without a message_id" in refused.why


@pytest.mark.parametrize("behaviour", [cuts, cuts_in_the_middle])
async def test_a_connection_that_is_cut_leaves_the_message_open(
    gateway: Gateway, adapters: Adapters, behaviour: Behaviour
) -> None:
    gateway.behave(behaviour)
    refused = await refusal(adapters())
    assert not refused.is_final
    assert refused.why.startswith("no answer")


async def test_an_answer_without_an_end_is_not_read_to_its_end(gateway: Gateway, adapters: Adapters) -> None:
    gateway.behave(never_ends)
    refused = await refusal(adapters())
    assert (refused.why, refused.is_final) == (f"the answer is longer than {MOST_ANSWER_BYTES} bytes", False)


STRANGE = [
    b"",
    b"hello\r\n\r\n",
    b"HTTP/1.1 ",
    b"HTTP/1.1 200\r\nContent-Length: -5\r\n\r\n",
    b"HTTP/1.1 99999999999 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X-Name: value\r\n" * 50_000,
    b"HTTP/1.1 200 OK\r\nX-Name: " + b"x" * 1_000_000,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
]


@pytest.mark.parametrize("raw", STRANGE, ids=range(len(STRANGE)))
async def test_what_is_hardly_http_is_no_answer(gateway: Gateway, adapters: Adapters, raw: bytes) -> None:
    gateway.behave(speaks(raw))
    assert not (await refusal(adapters())).is_final


async def test_an_answer_that_unpacks_into_more_than_all_memory_stays_packed(
    gateway: Gateway, adapters: Adapters
) -> None:
    gateway.behave(unpacks_into(10_000_000))
    assert (await refusal(adapters())).why == "answered 200 without a message_id"


@pytest.mark.parametrize("behaviour", [is_slow, drips])
async def test_a_slow_gateway_is_waited_for_no_longer_than_the_time_out(
    gateway: Gateway, adapters: Adapters, behaviour: Behaviour
) -> None:
    gateway.behave(behaviour)
    refused = await refusal(adapters(timeout_seconds=0.2))
    assert (refused.is_final, refused.why.startswith("no answer")) == (False, True)


async def test_a_gateway_that_is_not_there_is_tried_again(adapters: Adapters, gateway: Gateway) -> None:
    adapter = adapters()
    await gateway.stop()
    refused = await refusal(adapter)
    assert (refused.is_final, refused.why) == (False, "no answer (ClientConnectorError)")


async def test_a_message_whose_answer_was_lost_is_taken_once(gateway: Gateway, adapters: Adapters) -> None:
    gateway.behave(takes_and_is_gone, takes)
    adapter, sent = adapters(), outgoing()
    with pytest.raises(UndeliveredError):
        await adapter.send(sent)
    accepted = await adapter.send(sent)
    assert accepted.provider_id == f"gw-{sent.delivery_id}"
    assert list(gateway.messages) == [str(sent.delivery_id)]


async def test_one_slow_message_holds_up_no_other(gateway: Gateway, adapters: Adapters) -> None:
    guarded = Guarded(Channel.SMS, adapters(), Policy(timeout_seconds=5, concurrency=2))
    gateway.behave(is_slow)
    slow = asyncio.create_task(guarded.send(outgoing()))
    await gateway.until_received(1)
    await guarded.send(outgoing())
    assert not slow.done()
    slow.cancel()
    await asyncio.wait([slow])


async def test_a_gateway_need_not_send_receipts(gateway: Gateway, adapters: Adapters) -> None:
    gateway.behave(answers(200, {"message_id": "gw-1", "receipt": False}))
    assert await adapters().send(outgoing()) == Accepted("gw-1", awaits_receipt=False)
