"""Which methods are answered once, and whose assertions are used up, follows from the contract."""

from typing import Any

import grpc
import pytest

from kit import auth
from kit.errors import Refusal, reason_of
from kit.grpc_client import IdentifyRequests
from kit.grpc_server import ServicerError
from kit.requests import MemoryOnce


async def test_a_method_with_a_request_id_is_answered_once(serve: Any) -> None:
    async with serve(once=MemoryOnce()) as running, running.channel() as channel:
        request = running.messages.WriteRequest(text="x", request_id="0198c7a5-3f5e-7000-8000-000000000001")
        for _ in range(3):
            assert (await running.method(channel, "Write")(request, timeout=5)).text == "x"
        request.text = "y"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.method(channel, "Write")(request, timeout=5)
        assert reason_of(caught.value) == "REQUEST_ID_REUSED"
        assert running.echo.seen == ["x"]


async def test_a_method_without_one_is_called_every_time(serve: Any) -> None:
    async with serve(once=MemoryOnce()) as running, running.channel() as channel:
        for _ in range(3):
            await running.method(channel, "One")(running.messages.EchoRequest(text="x"), timeout=5)
        assert running.echo.seen == ["x"] * 3


async def test_a_server_that_cannot_keep_requests_does_not_serve_them(serve: Any) -> None:
    with pytest.raises(ServicerError, match="/Write takes a request_id"):
        async with serve(once=None):
            pass


async def test_a_client_gives_each_request_an_id_of_its_own_and_a_repeat_keeps_it(serve: Any) -> None:
    async with serve() as running, running.channel(interceptors=[IdentifyRequests()]) as channel:
        first, second = running.messages.WriteRequest(text="a"), running.messages.WriteRequest(text="b")
        for request in (first, second, first):
            await running.method(channel, "Write")(request, timeout=5)
        assert running.echo.seen == ["a", "b"]
        assert first.request_id != second.request_id


async def test_a_read_does_not_use_an_assertion_up(serve: Any) -> None:
    used: list[str] = []

    async def use(_method: str, assertion: auth.Assertion) -> None:
        if assertion.jti in used:
            raise Refusal("UNAUTHENTICATED", "used before")
        used.append(assertion.jti)

    async with serve(use_once=use) as running, running.channel(running.pki.service("portal")) as channel:
        shown = running.citizen()
        for method in ("Look", "Look", "ForPeople", "Look"):
            await running.method(channel, method)(running.messages.EchoRequest(text="x"), timeout=5, metadata=shown)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.method(channel, "ForPeople")(running.messages.EchoRequest(), timeout=5, metadata=shown)
    assert reason_of(caught.value) == "UNAUTHENTICATED"
