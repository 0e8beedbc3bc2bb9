"""A server that stops, in this process: what it lets end, what it refuses, what it cancels."""

import asyncio
from collections import Counter
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit.clock import Elapsed
from kit.errors import reason_of
from kit.grpc_client import secure_channel
from kit.grpc_server import LEAVE_SECONDS, QUIET_SECONDS
from kit.testing import refusal_of

HEEDLESS = [("grpc.inhibit_health_checking", 1)]
"""A client that goes on calling a server which says that it does not serve."""


async def test_health_says_serving_until_it_says_goodbye(serve: Any) -> None:
    async with serve() as running, running.channel(options=HEEDLESS) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="kit.test.v1.EchoService")
        before = await stub.Check(request, timeout=5)
        await running.server.not_serving()
        after = await stub.Check(request, timeout=5)
    assert before.status == health_pb2.HealthCheckResponse.SERVING
    assert after.status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_stopping_lets_calls_under_way_finish_and_refuses_new_ones(serve: Any) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def wait(_request: Any, _context: Any) -> None:
        started.set()
        await release.wait()

    async with serve() as running, running.channel(options=HEEDLESS) as channel:
        running.echo.do = wait
        call = asyncio.ensure_future(
            running.method(channel, "One")(running.messages.EchoRequest(text="last"), timeout=10)
        )
        await asyncio.wait_for(started.wait(), 5)
        stopping = asyncio.ensure_future(running.server.stop(5))
        await asyncio.sleep(0)
        error = await refusal_of(running.method(channel, "One")(running.messages.EchoRequest(text="new"), timeout=5))
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
        error = await refusal_of(call.read())
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
        await refusal_of(call)
    assert cancelled.is_set()


async def test_no_call_fails_while_one_of_two_servers_goes_away(serve: Any) -> None:
    codes, enough = Counter[str](), asyncio.Event()

    async with serve() as staying, serve() as going:

        async def dawdle(_request: Any, _context: Any) -> None:
            await asyncio.sleep(0.01)

        async def caller(one: Any) -> None:
            while not enough.is_set():
                try:
                    await one(going.messages.EchoRequest(text="x"), timeout=5)
                    codes["OK"] += 1
                except grpc.aio.AioRpcError as error:
                    codes[f"{error.code()}: {error.details()}"] += 1

        staying.echo.do = going.echo.do = dawdle
        both = f"ipv4:{staying.target},{going.target}"
        async with secure_channel(both, staying.pki.institution("H65270100001")) as channel:
            callers = [asyncio.create_task(caller(staying.method(channel, "One"))) for _ in range(8)]
            while not (staying.echo.seen and going.echo.seen):  # noqa: ASYNC110 - of two servers
                await asyncio.sleep(0.01)
            elapsed = Elapsed()
            await going.server.drain()
            assert elapsed.seconds < LEAVE_SECONDS  # they were told, and went
            answered = len(going.echo.seen)
            await going.server.stop(5)
            before = codes["OK"]
            while codes["OK"] < before + 50:  # noqa: ASYNC110 - of eight callers
                await asyncio.sleep(0.01)
            enough.set()
            await asyncio.gather(*callers)
    assert set(codes) == {"OK"}
    assert len(going.echo.seen) == answered


async def test_draining_waits_for_those_who_do_not_watch_and_not_for_ever(serve: Any) -> None:
    enough = asyncio.Event()
    async with serve() as running, running.channel(options=HEEDLESS) as channel:
        one, request = running.method(channel, "One"), running.messages.EchoRequest(text="x")

        async def caller() -> None:
            while not enough.is_set():
                await one(request, timeout=5)

        elapsed = Elapsed()
        await running.server.drain()
        assert QUIET_SECONDS <= elapsed.seconds < LEAVE_SECONDS / 2
        calling = asyncio.create_task(caller())
        elapsed = Elapsed()
        await running.server.drain()
        assert elapsed.seconds >= LEAVE_SECONDS
        enough.set()
        await calling  # none of them was refused
