"""Receipts of gateways: signed ones are taken however often they come, all else is refused and changes nothing."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from support.gateways import RECEIPTS_PATH, Gateway, post, receipt, write_gateway_ring

from kit.clock import SystemClock
from kit.probes import CannotListen
from kit.signing import TokenSigner
from notify.channels import callback
from notify.channels.callback import MOST_BODY_BYTES, MOST_RECEIPTS, CallbackServer, MalformedReceipts, receipts_in
from notify.channels.receipts import Fate, Receipt
from notify.channels.signed_http import signature_headers

KNOWN = UUID("0197548e-7a00-7000-8000-000000000031")


class Desk:
    """Knows one delivery; fails as it is told to."""

    def __init__(self) -> None:
        self.taken: list[Receipt] = []
        self.failure: Exception | None = None

    async def take(self, receipts: Sequence[Receipt]) -> Collection[UUID]:
        if self.failure is not None:
            raise self.failure
        self.taken += receipts
        return {KNOWN}


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    return write_gateway_ring(tmp_path / "gateway-keyring.json", "g1", "g0")


@pytest.fixture
def gateway(ring: Path) -> Gateway:
    return Gateway(ring)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def url(ring: Path, desk: Desk) -> AsyncIterator[str]:
    server = CallbackServer("127.0.0.1:0", TokenSigner(ring), desk, SystemClock())
    await server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()


def body_of(*receipts: Any) -> bytes:
    return json.dumps({"receipts": receipts}).encode()


async def test_a_receipt_says_what_became_of_a_message(gateway: Gateway, desk: Desk, url: str) -> None:
    answer = await gateway.send_receipts(url, receipt(KNOWN), receipt(KNOWN, "FAILED", "NUMBER_GONE"))
    assert answer == (200, {"taken": 2, "unknown": []})
    assert desk.taken == [Receipt(KNOWN, Fate.DELIVERED, ""), Receipt(KNOWN, Fate.FAILED, "NUMBER_GONE")]


async def test_an_unknown_delivery_is_named_and_the_others_count(gateway: Gateway, url: str) -> None:
    unknown = uuid4()
    answer = await gateway.send_receipts(url, receipt(unknown), receipt(KNOWN))
    assert answer == (200, {"taken": 1, "unknown": [str(unknown)]})


async def test_the_same_receipt_again_is_taken_again(gateway: Gateway, desk: Desk, url: str) -> None:
    body = body_of(receipt(KNOWN))
    headers = gateway.receipt_headers(body)
    answers = [await post(url + RECEIPTS_PATH, body, headers) for _ in range(2)]
    assert answers == [(200, {"taken": 1, "unknown": []})] * 2
    assert len(desk.taken) == 2  # whoever keeps deliveries makes nothing of the second


async def test_any_key_of_the_ring_may_sign(gateway: Gateway, url: str) -> None:
    gateway.active = "g0"
    assert (await gateway.send_receipts(url, receipt(KNOWN)))[0] == 200


@pytest.mark.parametrize("header", ["Key", "Timestamp", "Nonce", "Signature"])
@pytest.mark.parametrize("value", ["", "x", "0", "g0", "²", "1" * 5000])
async def test_a_changed_header_is_refused(gateway: Gateway, desk: Desk, url: str, header: str, value: str) -> None:
    body = body_of(receipt(KNOWN))
    answer = await post(url + RECEIPTS_PATH, body, gateway.receipt_headers(body, **{header: value}))
    assert answer == (401, {"code": "SIGNATURE_INVALID"})
    assert desk.taken == []


@pytest.mark.parametrize("header", ["Key", "Timestamp", "Nonce", "Signature"])
async def test_a_missing_header_is_refused(gateway: Gateway, desk: Desk, url: str, header: str) -> None:
    body = body_of(receipt(KNOWN))
    headers = gateway.receipt_headers(body)
    del headers[f"Gongji-{header}"]
    assert (await post(url + RECEIPTS_PATH, body, headers))[0] == 401
    assert desk.taken == []


async def test_another_body_than_the_signed_one_is_refused(gateway: Gateway, desk: Desk, url: str) -> None:
    headers = gateway.receipt_headers(body_of(receipt(KNOWN, "FAILED")))
    assert (await post(url + RECEIPTS_PATH, body_of(receipt(KNOWN)), headers))[0] == 401
    assert desk.taken == []


async def test_a_message_to_the_gateway_cannot_be_sent_back_as_a_receipt(desk: Desk, url: str, ring: Path) -> None:
    body = body_of(receipt(KNOWN))
    headers = signature_headers(TokenSigner(ring), "/v1/messages", body, SystemClock().now())
    assert (await post(url + RECEIPTS_PATH, body, headers))[0] == 401
    assert desk.taken == []


@pytest.mark.parametrize(("seconds", "status"), [(-290, 200), (290, 200), (-310, 401), (310, 401)])
async def test_a_receipt_counts_within_five_minutes_of_its_time(
    gateway: Gateway, url: str, monkeypatch: pytest.MonkeyPatch, seconds: int, status: int
) -> None:
    signed_at = time.time() + seconds
    body = body_of(receipt(KNOWN))
    with monkeypatch.context() as patched:
        patched.setattr("support.gateways.time.time", lambda: signed_at)
        headers = gateway.receipt_headers(body)
    assert (await post(url + RECEIPTS_PATH, body, headers))[0] == status


MALFORMED = [
    b"",
    b"[]",
    b"null",
    b"{}",
    b"\xff",
    b'{"receipts": {}}',
    b'{"receipts": []}',
    b'{"receipts": [7]}',
    b"[" * 100_000,
    body_of({"state": "DELIVERED"}),
    body_of({"delivery_id": str(KNOWN)}),
    body_of({"delivery_id": 7, "state": "DELIVERED"}),
    body_of({"delivery_id": "x", "state": "DELIVERED"}),
    body_of(receipt(KNOWN, "delivered")),
    body_of(receipt(KNOWN, "SENT")),
    body_of({**receipt(KNOWN), "state": ["DELIVERED"]}),
    body_of({**receipt(KNOWN), "code": 7}),
    body_of(receipt(KNOWN, "FAILED", "no such number")),
    body_of(receipt(KNOWN, "FAILED", "X" * 65)),
    body_of(receipt(KNOWN), {}),
    body_of(*[receipt(KNOWN)] * (MOST_RECEIPTS + 1)),
]


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
async def test_what_is_not_of_the_contract_is_refused_as_a_whole(
    gateway: Gateway, desk: Desk, url: str, body: bytes
) -> None:
    status, content = await post(url + RECEIPTS_PATH, body, gateway.receipt_headers(body))
    assert (status, content["code"], desk.taken) == (400, "MALFORMED", [])


@given(
    body=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just("DELIVERED"),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["receipts", "delivery_id", "state", "code"]), inner)
        ),
        max_leaves=8,
    ).map(lambda content: json.dumps(content).encode())
)
def test_whatever_comes_is_receipts_or_malformed(body: bytes) -> None:
    with contextlib.suppress(MalformedReceipts):
        assert all(isinstance(one.fate, Fate) for one in receipts_in(body))


async def test_as_many_as_the_contract_allows_fit(gateway: Gateway, url: str) -> None:
    full = receipt(KNOWN, "FAILED", "X" * 64)
    assert (await gateway.send_receipts(url, *[full] * MOST_RECEIPTS))[0] == 200


async def test_a_body_without_an_end_is_not_read(gateway: Gateway, desk: Desk, url: str) -> None:
    body = b" " * (MOST_BODY_BYTES + 1)
    assert (await post(url + RECEIPTS_PATH, body, gateway.receipt_headers(body)))[0] == 413
    assert desk.taken == []


@contextlib.asynccontextmanager
async def begun(url: str, headers: dict[str, str]) -> AsyncIterator[asyncio.StreamReader]:
    """A request whose body does not come to its end; headers as Latin-1, for they may be anything."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers | {"Host": "x", "Content-Length": "2"}).items())
    writer.write(f"POST {RECEIPTS_PATH} HTTP/1.1\r\n{lines}\r\n{{".encode("latin-1"))
    yield reader
    writer.close()


async def first_line(url: str, headers: dict[str, str]) -> bytes:
    """The first line of the answer to it."""
    async with begun(url, headers) as reader:
        return await reader.readline()


@pytest.mark.parametrize("header", ["Key", "Timestamp", "Nonce", "Signature"])
async def test_a_header_that_is_no_text_is_refused(
    gateway: Gateway, url: str, header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback, "BODY_SECONDS", 60.0)
    headers = gateway.receipt_headers(b"{}") | {f"Gongji-{header}": "\xff\xfe", "Connection": "close"}
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers | {"Host": "x"}).items())
        request = f"POST {RECEIPTS_PATH} HTTP/1.1\r\n{lines}Content-Length: 2\r\n\r\n{{}}"
        writer.write(request.encode("latin-1"))
        assert b" 401 " in await reader.readline()
        writer.close()


async def test_whoever_is_slow_to_say_what_they_have_to_say_keeps_no_line(
    gateway: Gateway, ring: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback, "MOST_AT_ONCE", 1)
    server = CallbackServer("127.0.0.1:0", TokenSigner(ring), desk, SystemClock())
    await server.start()
    url = f"http://127.0.0.1:{server.port}"
    async with begun(url, gateway.receipt_headers(b"{}")), begun(url, gateway.receipt_headers(b"{}")):
        assert await gateway.send_receipts(url, receipt(KNOWN)) == (200, {"taken": 1, "unknown": []})
    await server.stop()


async def test_a_body_that_does_not_come_is_not_waited_for(
    gateway: Gateway, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback, "BODY_SECONDS", 0.05)
    assert b" 408 " in await first_line(url, gateway.receipt_headers(b"{}"))


async def test_whoever_does_not_say_the_time_is_not_listened_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callback, "BODY_SECONDS", 60.0)
    assert b" 401 " in await first_line(url, {})


async def test_receipts_that_cannot_be_recorded_are_asked_for_again_and_the_log_says_why(
    gateway: Gateway, desk: Desk, url: str
) -> None:
    desk.failure = ConnectionError("postgresql://gongji:secret@db")
    with capture_logs() as lines:
        assert await gateway.send_receipts(url, receipt(KNOWN)) == (503, {"code": "TRY_AGAIN"})
    assert [(line["event"], line["why"]) for line in lines] == [("receipts were not taken", "ConnectionError")]
    desk.failure = None
    assert (await gateway.send_receipts(url, receipt(KNOWN)))[0] == 200


async def test_when_every_line_is_busy_a_gateway_comes_again(
    gateway: Gateway, ring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        async def take(self, receipts: Sequence[Receipt]) -> Collection[UUID]:
            began.set()
            await go_on.wait()
            return {one.delivery_id for one in receipts}

    monkeypatch.setattr(callback, "MOST_AT_ONCE", 1)
    server = CallbackServer("127.0.0.1:0", TokenSigner(ring), Slow(), SystemClock())
    await server.start()
    url = f"http://127.0.0.1:{server.port}"
    first = asyncio.create_task(gateway.send_receipts(url, receipt(KNOWN)))
    await began.wait()
    assert await gateway.send_receipts(url, receipt(KNOWN)) == (503, {"code": "BUSY"})
    go_on.set()
    assert (await first)[0] == 200
    await server.stop()


async def test_nothing_else_is_served(url: str) -> None:
    for path in ("/", "/metrics", "/v1/receipts/x"):
        assert (await post(url + path, b"{}", {}))[0] == 404


async def test_two_servers_do_not_share_an_address(ring: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(CannotListen, match="cannot serve receipts on"):
            await CallbackServer(address, TokenSigner(ring), Desk(), SystemClock()).start()


async def test_receipts_are_counted_by_what_became_of_them(gateway: Gateway, url: str) -> None:
    def count(outcome: str) -> float:
        return REGISTRY.get_sample_value("gongji_notify_receipts_total", {"outcome": outcome}) or 0.0

    outcomes = ("DELIVERED", "FAILED", "UNKNOWN", "UNSIGNED", "MALFORMED")
    before = [count(outcome) for outcome in outcomes]
    await gateway.send_receipts(url, receipt(KNOWN), receipt(KNOWN, "FAILED"), receipt(uuid4()))
    await post(url + RECEIPTS_PATH, b"{}", {})
    await post(url + RECEIPTS_PATH, b"{}", gateway.receipt_headers(b"{}"))
    assert [count(outcome) - was for outcome, was in zip(outcomes, before, strict=True)] == [1, 1, 1, 1, 1]
