"""The server over real TLS on loopback."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from kit import auth
from kit.errors import Refusal, error_info, reason_of
from kit.grpc_server import CannotListen, GrpcServer, ServicerError, methods_of
from kit.testing import eventually, refusal_of


def trailing(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    return dict(error.trailing_metadata())


class Boom(Exception):
    pass


class LimitReached(Exception):
    reason = "LIMIT_REACHED"

    def __init__(self) -> None:
        super().__init__("the month's limit is used up")
        self.metadata = {"window": "month"}


async def test_every_shape_of_method_is_answered(serve: Any) -> None:
    async with serve() as running, running.channel() as channel:
        new = running.messages.EchoRequest
        assert (await running.method(channel, "One")(new(text="好"), timeout=5)).text == "好"
        assert await running.drained(running.method(channel, "Many")(new(text="ab"), timeout=5)) == ["a", "b"]
        collected = await running.method(channel, "Collect")(running.each("x", "y"), timeout=5)
        assert collected.text == "xy"
        conversed = running.method(channel, "Converse")(running.each("p", "q"), timeout=5)
        assert await running.drained(conversed) == ["P", "Q"]


async def test_one_call_too_many_is_told_so_at_once_and_room_is_given_back(serve: Any) -> None:
    release, under_way = asyncio.Event(), asyncio.Semaphore(0)

    async def wait(_request: Any, _context: Any) -> None:
        under_way.release()
        await release.wait()

    async with serve(max_concurrent=2) as running, running.channel() as channel:
        running.echo.do = wait
        one, request = running.method(channel, "One"), running.messages.EchoRequest(text="x")
        held = [asyncio.ensure_future(one(request, timeout=10)) for _ in range(2)]
        for _ in held:
            await asyncio.wait_for(under_way.acquire(), 5)
        error = await refusal_of(one(request, timeout=10))
        release.set()
        assert [(await call).text for call in held] == ["x", "x"]
        assert (await one(request, timeout=5)).text == "x"
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")


@pytest.mark.parametrize("shape", ["One", "Many", "Collect", "Converse"])
async def test_an_unforeseen_exception_tells_an_id_that_the_log_has_and_nothing_else(serve: Any, shape: str) -> None:
    async def fail(_request: Any, _context: Any) -> None:
        raise Boom("password of 张三 is 110105194912310021")

    async with serve() as running, running.channel() as channel:
        running.echo.do = fail
        one = running.messages.EchoRequest(text="a")
        incoming = running.each("a") if shape in {"Collect", "Converse"} else one
        with capture_logs() as lines:
            call = running.method(channel, shape)(incoming, timeout=5)
            error = await refusal_of(call if shape in {"One", "Collect"} else running.drained(call))
    info = error_info(error)
    assert info is not None
    assert (error.code(), info.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "张三" not in str(error)
    assert "Boom" not in str(error)
    (unexpected,) = (line for line in lines if line["event"] == "unexpected")
    assert unexpected["error_id"] == info.metadata["error_id"]
    assert isinstance(unexpected["exc_info"], Boom)


async def test_an_answer_that_cannot_be_written_is_internal_and_tells_nothing(serve: Any) -> None:
    async def wrong(_request: Any, _context: Any) -> object:
        return object()

    async with serve() as running, running.channel() as channel:
        running.echo.do = wrong
        error = await refusal_of(running.method(channel, "One")(running.messages.EchoRequest(), timeout=5))
    assert reason_of(error) == "INTERNAL"


async def test_an_exception_of_the_domain_travels_by_the_table_with_its_facts(serve: Any) -> None:
    async def reach(_request: Any, _context: Any) -> None:
        raise LimitReached

    async with serve() as running, running.channel() as channel:
        running.echo.do = reach
        error = await refusal_of(running.method(channel, "One")(running.messages.EchoRequest(), timeout=5))
    info = error_info(error)
    assert info is not None
    assert (error.code(), info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LIMIT_REACHED")
    assert dict(info.metadata) == {"window": "month"}
    assert info.domain == "gongji"


async def test_a_servicer_may_end_a_call_by_its_own_status(serve: Any) -> None:
    async def abort(_request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")

    async with serve() as running, running.channel() as channel:
        running.echo.do = abort
        with capture_logs() as lines:
            error = await refusal_of(running.method(channel, "One")(running.messages.EchoRequest(), timeout=5))
            # The caller has the answer before the servicer's method has ended.
            await eventually(lambda: any(line["event"] == "call" for line in lines))
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no such thing")
    assert [line["code"] for line in lines if line["event"] == "call"] == ["NOT_FOUND"]


async def test_the_request_id_is_told_back_on_success_and_on_refusal(serve: Any) -> None:
    async with serve() as running, running.channel() as channel:
        one = running.method(channel, "One")
        call = one(running.messages.EchoRequest(), timeout=5, metadata=(("x-request-id", "his-7"),))
        await call
        assert dict(await call.trailing_metadata())["x-request-id"] == "his-7"
        error = await refusal_of(one(running.messages.EchoRequest(), metadata=(("x-request-id", "his-8"),)))
        assert trailing(error)["x-request-id"] == "his-8"
        assert "grpc-status-details-bin" in trailing(error)


@pytest.mark.parametrize("header", ["", "a b", "x" * 65, '"; drop'])
async def test_a_request_id_unfit_for_a_log_line_is_replaced(serve: Any, header: str) -> None:
    async with serve() as running, running.channel() as channel:
        one = running.method(channel, "One")
        error = await refusal_of(one(running.messages.EchoRequest(), metadata=(("x-request-id", header),)))
    assert re.fullmatch(r"[0-9a-f]{32}", trailing(error)["x-request-id"])


async def test_a_call_is_one_line_of_the_log_without_its_payload(serve: Any) -> None:
    async with serve() as running, running.channel() as channel:
        with capture_logs() as lines:
            await running.method(channel, "One")(
                running.messages.EchoRequest(text="secret"), timeout=5, metadata=(("x-request-id", "r1"),)
            )
    (line,) = lines
    assert line["duration_ms"] >= 0
    assert {key: line[key] for key in ("event", "method", "code", "principal", "request_id")} == {
        "event": "call",
        "method": "/kit.test.v1.EchoService/One",
        "code": "OK",
        "principal": "institution/H65270100001",
        "request_id": "r1",
    }
    assert "secret" not in str(lines)


async def test_the_servicer_knows_who_calls_and_how_long_there_is(serve: Any) -> None:
    known: list[auth.CallContext] = []

    async def look(_request: Any, _context: Any) -> None:
        known.append(auth.current())

    async with serve() as running, running.channel() as channel:
        running.echo.do = look
        await running.method(channel, "One")(running.messages.EchoRequest(), timeout=60)
        assert auth.call.current_or_none() is None
    (call,) = known
    assert str(call.principal) == "institution/H65270100001"
    assert call.method == "/kit.test.v1.EchoService/One"
    assert 0 < call.deadline.remaining_seconds <= call.deadline.seconds == 15.0


async def test_a_method_that_the_table_lacks_is_open_to_nobody(serve: Any) -> None:
    async with serve() as running:
        for tls in (running.pki.institution("H65270100001"), running.pki.service("settlement")):
            async with running.channel(tls) as channel:
                error = await refusal_of(
                    running.method(channel, "Unlisted")(running.messages.EchoRequest(text="x"), timeout=5)
                )
            assert (error.code(), reason_of(error)) == (grpc.StatusCode.PERMISSION_DENIED, "FORBIDDEN")
    assert running.echo.seen == []


async def test_access_is_judged_before_the_bytes_are_read(serve: Any) -> None:
    async with serve() as running, running.channel(running.pki.service("notify")) as channel:
        error = await refusal_of(running.method(channel, "One", raw=True)(b"\x0a\x02\xff\xff", timeout=5))
    assert reason_of(error) == "FORBIDDEN"


async def test_a_caller_without_a_certificate_does_not_get_through_tls(serve: Any) -> None:
    async with serve() as running:
        credentials = grpc.ssl_channel_credentials(running.pki.service_ca_file.read_bytes())
        async with grpc.aio.secure_channel(running.target, credentials) as channel:
            error = await refusal_of(running.method(channel, "One")(running.messages.EchoRequest(), timeout=5))
        async with grpc.aio.insecure_channel(running.target) as channel:
            plain = await refusal_of(running.method(channel, "One")(running.messages.EchoRequest(), timeout=5))
    assert error.code() == plain.code() == grpc.StatusCode.UNAVAILABLE


async def test_who_is_on_the_denylist_is_refused_with_what_it_says(serve: Any) -> None:
    def deny(principal: auth.Principal, serial_number: int) -> Refusal | None:
        assert serial_number > 0
        return Refusal("FORBIDDEN_INSTITUTION", "suspended") if principal.name == "H65270100001" else None

    async with serve(denylist=deny) as running:
        request = running.messages.EchoRequest(text="x")
        async with running.channel() as channel:
            error = await refusal_of(running.method(channel, "One")(request, timeout=5))
        async with running.channel(running.pki.institution("H65270100002")) as channel:
            assert (await running.method(channel, "One")(request, timeout=5)).text == "x"
    assert reason_of(error) == "FORBIDDEN_INSTITUTION"


@pytest.mark.parametrize("asked", [True, False])
async def test_reflection_answers_only_if_it_was_asked_for(serve: Any, *, asked: bool) -> None:
    async def questions() -> AsyncIterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    async with serve(reflection=asked) as running, running.channel() as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(questions(), timeout=5)
        if asked:
            answers = [answer async for answer in call]
            names = {service.name for service in answers[0].list_services_response.service}
            assert "kit.test.v1.EchoService" in names
        else:
            assert (await refusal_of(call.read())).code() == grpc.StatusCode.UNIMPLEMENTED


async def test_an_address_that_is_taken_is_named_with_the_next_step(serve: Any) -> None:
    async with serve() as running:
        with pytest.raises(CannotListen, match=rf"{running.target}.*another process"):
            async with serve(address=running.target):
                pass


async def test_a_servicer_that_is_not_asynchronous_is_found_at_start(serve: Any) -> None:
    async with serve() as running:
        running.server._handlers["kit.test.v1.EchoService"]["One"] = grpc.unary_unary_rpc_method_handler(
            lambda request, _context: request
        )
        again = running.server
        await again.stop(0)
        with pytest.raises(ServicerError, match="One must be written as an async function"):
            await again.start()


def test_the_methods_of_a_contract_are_spelled_as_in_the_access_table() -> None:
    assert "/kit.test.v1.EchoService/One" in methods_of("kit.test.v1.EchoService")


async def test_the_methods_that_the_table_lacks_can_be_asked_for(serve: Any) -> None:
    async with serve() as running:
        server: GrpcServer = running.server
        assert auth.uncovered(server.methods, {}) == server.methods
        assert auth.uncovered(server.methods, server._gate.access) == {"/kit.test.v1.EchoService/Unlisted"}
