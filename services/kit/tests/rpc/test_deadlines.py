"""How long a call may take, and that its work ends with it, over real TLS on loopback."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from kit.errors import reason_of
from kit.testing import refusal_of


@pytest.mark.parametrize("shape", ["One", "Many"])
async def test_a_call_without_a_deadline_is_refused(serve: Any, shape: str) -> None:
    async with serve() as running, running.channel() as channel:
        call = running.method(channel, shape)(running.messages.EchoRequest(text="a"))
        error = await refusal_of(call if shape == "One" else running.drained(call))
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
        incoming = running.each("a") if shape in {"Collect", "Converse"} else one
        call = running.method(channel, shape)(incoming, timeout=60)
        error = await refusal_of(call if shape in {"One", "Collect"} else running.drained(call))
    assert (error.code(), reason_of(error)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert ended.is_set()


@pytest.mark.parametrize("shape", ["Collect", "Converse"])
async def test_a_stream_that_stalls_ends_at_the_cap(serve: Any, shape: str) -> None:
    async with serve(deadline_cap_seconds=0.1) as running, running.channel() as channel:

        async def stalls() -> AsyncIterator[Any]:
            yield running.messages.EchoRequest(text="a")
            await asyncio.Event().wait()

        call = running.method(channel, shape)(stalls(), timeout=60)
        error = await refusal_of(call if shape == "Collect" else running.drained(call))
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
        error = await refusal_of(asyncio.wait_for(running.drained(call), 10))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert (await running.method(channel, "One")(running.messages.EchoRequest(text="x"), timeout=5)).text == "x"


async def test_a_time_out_inside_the_servicer_is_not_the_callers_deadline(serve: Any) -> None:
    async def time_out(_request: Any, _context: Any) -> None:
        raise TimeoutError

    async with serve() as running, running.channel() as channel:
        running.echo.do = time_out
        error = await refusal_of(running.method(channel, "One")(running.messages.EchoRequest(), timeout=5))
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
