"""The server over real TLS on loopback."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from kit import auth
from kit.errors import Refusal, error_info, reason_of, violations_of
from kit.grpc_server import CannotListen, GrpcServer, ServicerError, methods_of
from kit.testing import eventually


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def drained(call: Any) -> list[str]:
    return [answer.text async for answer in call]


async def each(messages: Any, *texts: str) -> AsyncIterator[Any]:
    for text in texts:
        yield messages.EchoRequest(text=text)


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
        assert await drained(running.method(channel, "Many")(new(text="ab"), timeout=5)) == ["a", "b"]
        collected = await running.method(channel, "Collect")(each(running.messages, "x", "y"), timeout=5)
        assert collected.text == "xy"
        conversed = running.method(channel, "Converse")(each(running.messages, "p", "q"), timeout=5)
        assert await drained(conversed) == ["P", "Q"]


@pytest.mark.parametrize("shape", ["One", "Many"])
async def test_a_call_without_a_deadline_is_refused(serve: Any, shape: str) -> None:
    async with serve() as running, running.channel() as channel:
        call = running.method(channel, shape)(running.messages.EchoRequest(text="a"))
        error = await refused(call if shape == "One" else drained(call))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "DEADLINE_REQUIRED")
    assert running.echo.seen == []


@pytest.mark.parametrize("shape", ["One", "Many", "Collect", "Converse"])
async def test_a_deadline_beyond_the_cap_ends_the_work_at_the_cap(serve: Any, shape: str) -> None:
    ended = asyncio.Event()

    async def hang(_request: Any, _context: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with serve(deadline_cap_seconds=0.1) as running, running.channel() as channel:
        running.echo.do = hang
        one = running.messages.EchoRequest(text="a")
        incoming = each(running.messages, "a") if shape in {"Collect", "Converse"} else one
        call = running.method(channel, shape)(incoming, timeout=60)
        error = await refused(call if shape in {"One", "Collect"} else drained(call))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert ended.is_set()


@pytest.mark.parametrize("shape", ["Collect", "Converse"])
async def test_a_stream_that_stalls_ends_at_the_cap(serve: Any, shape: str) -> None:
    async with serve(deadline_cap_seconds=0.1) as running, running.channel() as channel:

        async def stalls() -> AsyncIterator[Any]:
            yield running.messages.EchoRequest(text="a")
            await asyncio.Event().wait()

        call = running.method(channel, shape)(stalls(), timeout=60)
        error = await refused(call if shape == "Collect" else drained(call))
        assert reason_of(error) == "DEADLINE_EXCEEDED"
        assert (await running.method(channel, "One")(running.messages.EchoRequest(text="x"), timeout=5)).text == "x"


async def test_a_reader_too_slow_for_the_stream_ends_at_the_cap_and_the_server_lives_on(serve: Any) -> None:
    gone = asyncio.Event()

    async with serve(deadline_cap_seconds=0.2) as running, running.channel() as channel:
        big = running.messages.EchoResponse(text="x" * 1_000_000)

        async def pour(_requests: Any, _context: Any) -> AsyncIterator[Any]:
            try:
                while True:
                    yield big
            finally:
                gone.set()

        running.echo.pour = pour
        call = running.method(channel, "Pour")(running.messages.EchoRequest(), timeout=60)
        await asyncio.wait_for(gone.wait(), 5)
        error = await refused(asyncio.wait_for(drained(call), 10))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert (await running.method(channel, "One")(running.messages.EchoRequest(text="x"), timeout=5)).text == "x"


async def test_a_time_out_inside_the_servicer_is_not_the_callers_deadline(serve: Any) -> None:
    async def time_out(_request: Any, _context: Any) -> None:
        raise TimeoutError

    async with serve() as running, running.channel() as channel:
        running.echo.do = time_out
        error = await refused(running.method(channel, "One")(running.messages.EchoRequest(), timeout=5))
    assert reason_of(error) == "INTERNAL"


async def test_a_caller_who_goes_away_cancels_the_work(serve: Any) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(_request: Any, _context: Any) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serve() as running, running.channel() as channel:
        running.echo.do = hang
        call = running.method(channel, "One")(running.messages.EchoRequest(), timeout=5)
        await asyncio.wait_for(started.wait(), 5)
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), 5)
        running.echo.do = None
        assert (await running.method(channel, "One")(running.messages.EchoRequest(text="x"), timeout=5)).text == "x"


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
        error = await refused(one(request, timeout=10))
        release.set()
        assert [(await call).text for call in held] == ["x", "x"]
        assert (await one(request, timeout=5)).text == "x"
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")


async def test_every_violation_is_named_with_its_path(serve: Any) -> None:
    async with serve() as running, running.channel() as channel:
        item = running.messages.Item
        items = [item(amount_fen=5), item(amount_fen=-1), item()]
        request = running.messages.EchoRequest(text="x" * 41, items=items)
        error = await refused(running.method(channel, "One")(request, timeout=5))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(error) == "INVALID_FIELDS"
    assert {v.field for v in violations_of(error)} == {"text", "items[1].amount_fen", "items[2].amount_fen"}
    assert running.echo.seen == []


async def test_thousands_of_violations_still_reach_the_caller(serve: Any) -> None:
    async with serve() as running, running.channel() as channel:
        request = running.messages.EchoRequest(items=[running.messages.Item()] * 5000)
        error = await refused(running.method(channel, "One")(request, timeout=5))
    info = error_info(error)
    assert info is not None
    assert info.metadata["violations"] == "5000"
    assert 0 < len(violations_of(error)) <= 20


@pytest.mark.parametrize("shape", ["Collect", "Converse"])
async def test_each_message_of_a_stream_is_validated(serve: Any, shape: str) -> None:
    async with serve() as running, running.channel() as channel:
        call = running.method(channel, shape)(each(running.messages, "fine", "x" * 41), timeout=5)
        error = await refused(call if shape == "Collect" else drained(call))
    assert [v.field for v in violations_of(error)] == ["text"]


@pytest.mark.parametrize(
    ("raw", "field", "says"),
    [
        (b"\x0a\x02\xff\xff", "text", "UTF-8"),
        (b"\x0a\x7fab", "text", "cut short"),
        (b"\x08\x05", "text", "varint"),
        (b"\x12\x04\x0a\x02hi", "items[0].amount_fen", "length-delimited"),
        (b"\x12\x02\x08\x01\x12\x02\x0d\x00", "items[1].amount_fen", "cut short"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "", "64 bits"),
        (b"\x0f", "text", "wire type"),
        (b"\x0a", "text", "cut short"),
    ],
)
@pytest.mark.parametrize("shape", ["One", "Many", "Collect", "Converse"])
async def test_damaged_bytes_are_the_callers_mistake_and_the_place_is_named(
    serve: Any, shape: str, raw: bytes, field: str, says: str
) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield raw

    async with serve() as running, running.channel() as channel:
        incoming = stream() if shape in {"Collect", "Converse"} else raw
        call = running.method(channel, shape, raw=True)(incoming, timeout=5)
        error = await refused(call if shape in {"One", "Collect"} else drained(call))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    (violation,) = violations_of(error)
    assert violation.field == field
    assert says in violation.description


async def test_fields_of_a_newer_contract_are_no_mistake(serve: Any) -> None:
    async with serve() as running, running.channel() as channel:
        answer = await running.method(channel, "One", raw=True)(b"\x0a\x02hi\xf8\x06\x05", timeout=5)
    assert answer.text == "hi"


async def test_a_message_over_the_limit_is_told_both_sizes(serve: Any) -> None:
    async with serve(max_message_bytes=1000) as running, running.channel() as channel:
        request = running.messages.EchoRequest(blob=b"x" * 1001)
        error = await refused(running.method(channel, "One")(request, timeout=5))
    info = error_info(error)
    assert info is not None
    assert info.reason == "TOO_LARGE"
    assert info.metadata["max_bytes"] == "1000"


async def test_a_message_far_over_the_limit_is_refused_by_the_transport(serve: Any) -> None:
    async with serve(max_message_bytes=1000) as running, running.channel() as channel:
        request = running.messages.EchoRequest(blob=b"x" * 2_000_000)
        error = await refused(running.method(channel, "One")(request, timeout=5))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in str(error.details())


@pytest.mark.parametrize("shape", ["One", "Many", "Collect", "Converse"])
async def test_an_unforeseen_exception_tells_an_id_that_the_log_has_and_nothing_else(serve: Any, shape: str) -> None:
    async def fail(_request: Any, _context: Any) -> None:
        raise Boom("password of 张三 is 110105194912310021")

    async with serve() as running, running.channel() as channel:
        running.echo.do = fail
        one = running.messages.EchoRequest(text="a")
        incoming = each(running.messages, "a") if shape in {"Collect", "Converse"} else one
        with capture_logs() as lines:
            call = running.method(channel, shape)(incoming, timeout=5)
            error = await refused(call if shape in {"One", "Collect"} else drained(call))
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
        error = await refused(running.method(channel, "One")(running.messages.EchoRequest(), timeout=5))
    assert reason_of(error) == "INTERNAL"


async def test_an_exception_of_the_domain_travels_by_the_table_with_its_facts(serve: Any) -> None:
    async def reach(_request: Any, _context: Any) -> None:
        raise LimitReached

    async with serve() as running, running.channel() as channel:
        running.echo.do = reach
        error = await refused(running.method(channel, "One")(running.messages.EchoRequest(), timeout=5))
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
            error = await refused(running.method(channel, "One")(running.messages.EchoRequest(), timeout=5))
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
        error = await refused(one(running.messages.EchoRequest(), metadata=(("x-request-id", "his-8"),)))
        assert trailing(error)["x-request-id"] == "his-8"
        assert "grpc-status-details-bin" in trailing(error)


@pytest.mark.parametrize("header", ["", "a b", "x" * 65, '"; drop'])
async def test_a_request_id_unfit_for_a_log_line_is_replaced(serve: Any, header: str) -> None:
    async with serve() as running, running.channel() as channel:
        one = running.method(channel, "One")
        error = await refused(one(running.messages.EchoRequest(), metadata=(("x-request-id", header),)))
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
                error = await refused(
                    running.method(channel, "Unlisted")(running.messages.EchoRequest(text="x"), timeout=5)
                )
            assert (error.code(), reason_of(error)) == (grpc.StatusCode.PERMISSION_DENIED, "FORBIDDEN")
    assert running.echo.seen == []


async def test_access_is_judged_before_the_bytes_are_read(serve: Any) -> None:
    async with serve() as running, running.channel(running.pki.service("notify")) as channel:
        error = await refused(running.method(channel, "One", raw=True)(b"\x0a\x02\xff\xff", timeout=5))
    assert reason_of(error) == "FORBIDDEN"


async def test_a_caller_without_a_certificate_does_not_get_through_tls(serve: Any) -> None:
    async with serve() as running:
        credentials = grpc.ssl_channel_credentials(running.pki.service_ca_file.read_bytes())
        async with grpc.aio.secure_channel(running.target, credentials) as channel:
            error = await refused(running.method(channel, "One")(running.messages.EchoRequest(), timeout=5))
        async with grpc.aio.insecure_channel(running.target) as channel:
            plain = await refused(running.method(channel, "One")(running.messages.EchoRequest(), timeout=5))
    assert error.code() == plain.code() == grpc.StatusCode.UNAVAILABLE


async def test_who_is_on_the_denylist_is_refused_with_what_it_says(serve: Any) -> None:
    def deny(principal: auth.Principal, serial_number: int) -> Refusal | None:
        assert serial_number > 0
        return Refusal("FORBIDDEN_INSTITUTION", "suspended") if principal.name == "H65270100001" else None

    async with serve(denylist=deny) as running:
        request = running.messages.EchoRequest(text="x")
        async with running.channel() as channel:
            error = await refused(running.method(channel, "One")(request, timeout=5))
        async with running.channel(running.pki.institution("H65270100002")) as channel:
            assert (await running.method(channel, "One")(request, timeout=5)).text == "x"
    assert reason_of(error) == "FORBIDDEN_INSTITUTION"


async def test_health_says_serving_until_it_says_goodbye(serve: Any) -> None:
    async with serve() as running, running.channel() as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="kit.test.v1.EchoService")
        before = await stub.Check(request, timeout=5)
        await running.server.not_serving()
        after = await stub.Check(request, timeout=5)
    assert before.status == health_pb2.HealthCheckResponse.SERVING
    assert after.status == health_pb2.HealthCheckResponse.NOT_SERVING


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
            assert (await refused(call.read())).code() == grpc.StatusCode.UNIMPLEMENTED


async def test_an_address_that_is_taken_is_named_with_the_next_step(serve: Any) -> None:
    async with serve() as running:
        with pytest.raises(CannotListen, match=rf"{running.target}.*another process"):
            async with serve(address=running.target):
                pass


async def test_stopping_lets_calls_under_way_finish_and_refuses_new_ones(serve: Any) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def wait(_request: Any, _context: Any) -> None:
        started.set()
        await release.wait()

    async with serve() as running, running.channel() as channel:
        running.echo.do = wait
        call = asyncio.ensure_future(
            running.method(channel, "One")(running.messages.EchoRequest(text="last"), timeout=10)
        )
        await asyncio.wait_for(started.wait(), 5)
        stopping = asyncio.ensure_future(running.server.stop(5))
        await asyncio.sleep(0)
        error = await refused(running.method(channel, "One")(running.messages.EchoRequest(text="new"), timeout=5))
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
        release.set()
        assert (await call).text == "last"
        await stopping
    assert running.echo.seen == ["last"]


async def test_stopping_ends_a_conversation_at_its_next_message(serve: Any) -> None:
    async with serve() as running, running.channel() as channel:
        call = running.method(channel, "Converse")(timeout=10)
        await call.write(running.messages.EchoRequest(text="a"))
        assert (await call.read()).text == "A"
        stopping = asyncio.ensure_future(running.server.stop(5))
        while not running.server._chain._closed:  # noqa: ASYNC110 - nothing tells it but the flag
            await asyncio.sleep(0)
        await call.write(running.messages.EchoRequest(text="b"))
        error = await refused(call.read())
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
        await asyncio.wait_for(stopping, 4)


async def test_stopping_lets_a_stream_with_one_answer_be_sent_to_its_end(serve: Any) -> None:
    began = asyncio.Event()

    async def begin(_request: Any, _context: Any) -> None:
        began.set()

    async with serve() as running, running.channel() as channel:
        running.echo.do = begin
        call = running.method(channel, "Collect")(timeout=10)
        await call.write(running.messages.EchoRequest(text="a"))
        await asyncio.wait_for(began.wait(), 5)
        stopping = asyncio.ensure_future(running.server.stop(5))
        while not running.server._chain._closed:  # noqa: ASYNC110 - nothing tells it but the flag
            await asyncio.sleep(0)
        await call.write(running.messages.EchoRequest(text="b"))
        await call.done_writing()
        assert (await call).text == "ab"
        await stopping


async def test_a_health_watcher_does_not_hold_up_the_stop(serve: Any) -> None:
    async with serve() as running, running.channel() as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        stopping = asyncio.ensure_future(running.server.stop(60))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await asyncio.wait_for(stopping, 5)


async def test_stopping_cancels_what_outlives_the_grace(serve: Any) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(_request: Any, _context: Any) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with serve() as running, running.channel() as channel:
        running.echo.do = hang
        call = asyncio.ensure_future(running.method(channel, "One")(running.messages.EchoRequest(), timeout=10))
        await asyncio.wait_for(started.wait(), 5)
        await running.server.stop(0.05)
        await refused(call)
    assert cancelled.is_set()


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
