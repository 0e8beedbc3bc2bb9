"""Methods with a cap of their own: streams that take in or give out much."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from kit import auth
from kit.errors import reason_of
from kit.grpc_server import ServicerError
from kit.testing import refusal_of

COLLECT, ONE = "/kit.test.v1.EchoService/Collect", "/kit.test.v1.EchoService/One"
CAP_SECONDS = 0.2


async def test_a_stream_with_a_cap_of_its_own_outlives_the_general_one_which_still_ends_all_others(serve: Any) -> None:
    async with (
        serve(deadline_cap_seconds=CAP_SECONDS, own_caps_seconds={COLLECT: 60.0}) as running,
        running.channel() as channel,
    ):
        collects, another_has_ended = asyncio.Event(), asyncio.Event()

        async def note(_request: Any, _context: Any) -> None:
            collects.set()

        async def patient() -> AsyncIterator[Any]:
            yield running.messages.EchoRequest(text="a")
            await another_has_ended.wait()
            yield running.messages.EchoRequest(text="b")

        async def stalls() -> AsyncIterator[Any]:
            await another_has_ended.wait()
            yield running.messages.EchoRequest(text="never")

        running.echo.do = note
        collected = asyncio.ensure_future(running.method(channel, "Collect")(patient(), timeout=30))
        await asyncio.wait_for(collects.wait(), 5)
        # One that began later has come to the general cap, so the first is beyond it.
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await anext(aiter(running.method(channel, "Converse")(stalls(), timeout=30)))
        another_has_ended.set()
        assert (await collected).text == "ab"
    assert reason_of(ended.value) == "DEADLINE_EXCEEDED"


async def test_a_cap_of_its_own_ends_a_stream_too(serve: Any) -> None:
    async with serve(own_caps_seconds={COLLECT: CAP_SECONDS}) as running, running.channel() as channel:

        async def stalls() -> AsyncIterator[Any]:
            yield running.messages.EchoRequest(text="a")
            await asyncio.Event().wait()

        error = await refusal_of(running.method(channel, "Collect")(stalls(), timeout=60))
    assert reason_of(error) == "DEADLINE_EXCEEDED"


async def test_what_there_is_to_do_with_the_time_is_told_to_the_servicer_and_to_who_names_no_deadline(
    serve: Any,
) -> None:
    known: list[float] = []

    async def look(_request: Any, _context: Any) -> None:
        known.append(auth.current().deadline.seconds)

    async def one(text: str, messages: Any) -> AsyncIterator[Any]:
        yield messages.EchoRequest(text=text)

    async with serve(own_caps_seconds={COLLECT: 300.0}) as running, running.channel() as channel:
        running.echo.do = look
        collect = running.method(channel, "Collect")
        await collect(one("x", running.messages), timeout=1000)
        await running.method(channel, "One")(running.messages.EchoRequest(text="x"), timeout=1000)
        error = await refusal_of(collect(one("x", running.messages)))
    assert known == [300.0, 15.0]
    assert reason_of(error) == "DEADLINE_REQUIRED"
    assert "300 s" in str(error.details())


async def test_a_stopping_process_ends_such_a_stream_at_its_next_message(serve: Any) -> None:
    first_is_in, go_on = asyncio.Event(), asyncio.Event()

    async def note(_request: Any, _context: Any) -> None:
        first_is_in.set()

    async with serve(own_caps_seconds={COLLECT: 60.0}) as running, running.channel() as channel:
        running.echo.do = note

        async def two() -> AsyncIterator[Any]:
            yield running.messages.EchoRequest(text="a")
            await go_on.wait()
            yield running.messages.EchoRequest(text="b")

        call = asyncio.ensure_future(refusal_of(running.method(channel, "Collect")(two(), timeout=30)))
        await asyncio.wait_for(first_is_in.wait(), 5)
        stopping = asyncio.ensure_future(running.server.stop(10.0))
        while not running.server._chain._closed:  # noqa: ASYNC110 - nothing tells it but the flag
            await asyncio.sleep(0)
        go_on.set()
        assert reason_of(await call) == "UNAVAILABLE"
        await asyncio.wait_for(stopping, 5)


async def test_a_cap_for_what_is_not_served_is_a_mistake_at_start(serve: Any) -> None:
    with pytest.raises(ServicerError, match="Colect"):
        async with serve(own_caps_seconds={"/kit.test.v1.EchoService/Colect": 60.0}):
            pass


async def test_an_old_connection_is_not_cut_off_before_its_longest_call_may_end(serve: Any) -> None:
    async with serve(own_caps_seconds={COLLECT: 300.0, ONE: 20.0}) as running:
        assert dict(running.server.options)["grpc.max_connection_age_grace_ms"] == 300_000
    async with serve(own_caps_seconds={ONE: 20.0}) as running:
        assert dict(running.server.options)["grpc.max_connection_age_grace_ms"] == 30_000
