"""Calls to other services carry a deadline, and are repeated only where that is harmless."""

import asyncio
import json
from typing import Any

import grpc
import pytest

from kit import auth, tracing
from kit.auth import CallContext, Deadline, Principal
from kit.errors import Refusal, reason_of
from kit.grpc_client import TlsFiles, call, secure_channel

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ONE = "/kit.test.v1.EchoService/One"


async def test_a_call_is_answered_and_its_deadline_reaches_the_server(serve: Any) -> None:
    known: list[auth.CallContext] = []

    async def look(_request: Any, _context: Any) -> None:
        known.append(auth.current())

    async with serve() as running, running.channel(running.pki.service("settlement")) as channel:
        running.echo.do = look
        answer = await call(running.method(channel, "One"), running.messages.EchoRequest(text="x"), 3.0)
    assert answer.text == "x"
    assert 2 < known[0].deadline.seconds <= 3


async def test_a_call_made_while_serving_hands_on_request_id_trace_and_what_is_left_of_the_deadline(serve: Any) -> None:
    known: list[auth.CallContext] = []
    traces: list[str | None] = []

    async def look(_request: Any, _context: Any) -> None:
        known.append(auth.current())
        traces.append(tracing.current())

    async with serve() as running, running.channel(running.pki.service("settlement")) as channel:
        running.echo.do = look
        tracing.take_over(GIVEN)
        auth.enter(CallContext("/a.B/C", Principal("institution", "H"), None, "his-7", Deadline(2.0)))
        await call(running.method(channel, "One"), running.messages.EchoRequest(), 60.0)
    assert known[0].request_id == "his-7"
    assert known[0].deadline.seconds <= 2
    assert traces == [GIVEN]


async def test_metadata_and_an_assertion_are_sent_along() -> None:
    sent: dict[str, Any] = {}

    async def method(request: str, /, *, timeout: float, metadata: Any) -> str:  # noqa: ASYNC109 - as in gRPC
        sent.update(metadata, timeout=timeout)
        return request

    assert await call(method, "hi", 1.0, [("x-request-id", "mine")], assertion="jwt") == "hi"
    assert sent == {"x-request-id": "mine", "x-gongji-assertion": "jwt", "timeout": 1.0}


async def unavailable_attempts(serve: Any, idempotent: tuple[str, ...], reason: str = "UNAVAILABLE") -> int:
    attempts = 0

    async def refuse(_request: Any, _context: Any) -> None:
        nonlocal attempts
        attempts += 1
        raise Refusal(reason, "not now")

    async with serve() as running, running.channel(idempotent=idempotent) as channel:
        running.echo.do = refuse
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(running.method(channel, "One"), running.messages.EchoRequest(), 10.0)
    assert reason_of(caught.value) == reason
    return attempts


@pytest.mark.parametrize(
    ("idempotent", "reason", "attempts"),
    [
        ((), "UNAVAILABLE", 1),
        ((ONE,), "UNAVAILABLE", 3),
        (("/kit.test.v1.EchoService/",), "UNAVAILABLE", 3),
        (("/kit.test.v1.EchoService/Many",), "UNAVAILABLE", 1),
        ((ONE,), "OVERLOADED", 1),
        ((ONE,), "INTERNAL", 1),
    ],
)
async def test_only_named_methods_are_repeated_and_only_when_unavailable(
    serve: Any, idempotent: tuple[str, ...], reason: str, attempts: int
) -> None:
    assert await unavailable_attempts(serve, idempotent, reason) == attempts


async def test_a_server_that_cannot_prove_its_name_is_not_spoken_to(serve: Any) -> None:
    async with serve() as running:
        request = running.messages.EchoRequest(text="x")
        async with running.channel(server_name="binding") as channel:
            assert (await call(running.method(channel, "One"), request, 5.0)).text == "x"
        async with running.channel(server_name="identity") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(running.method(channel, "One"), request, 5.0)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert running.echo.seen == ["x"]


async def test_an_institution_cannot_pose_as_a_server(serve: Any) -> None:
    async with serve() as running:
        own = running.pki.institution("H65270100001")
        doubtful = TlsFiles(own.cert, own.key, running.pki.institution_ca_file)
        for tls, ca in ((doubtful, None), (own, running.pki.institution_ca_file)):
            async with secure_channel(running.target, tls, ca) as channel:
                with pytest.raises(grpc.aio.AioRpcError):
                    await call(running.method(channel, "One"), running.messages.EchoRequest(), 5.0)
    assert running.echo.seen == []


async def test_the_deadline_is_kept_when_nobody_answers() -> None:
    from kit import grpc_client

    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel.unary_unary(ONE), b"", 0.2)
    server.close()
    assert caught.value.code() in {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
    assert json.loads(grpc_client._service_config(())) == {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": ""},
    }


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("ipv4:127.0.0.1:7102,127.0.0.2:7102", "127.0.0.1"),
        ("ipv6:[::1]:7102,[::2]:7102", "::1"),
        ("dns:///binding:7102", ""),
        ("127.0.0.1:7102", ""),
    ],
)
def test_certificates_behind_a_list_of_addresses_have_the_first_one(target: str, name: str) -> None:
    from kit import grpc_client

    assert grpc_client._name_in_list(target) == name
