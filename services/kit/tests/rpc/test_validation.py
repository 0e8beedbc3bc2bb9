"""What is sent is judged before a servicer sees it: by the contract's rules, by size, by its bytes."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from kit.errors import error_info, reason_of, violations_of
from kit.testing import refusal_of


async def test_every_violation_is_named_with_its_path(serve: Any) -> None:
    async with serve() as running, running.channel() as channel:
        item = running.messages.Item
        items = [item(amount_fen=5), item(amount_fen=-1), item()]
        request = running.messages.EchoRequest(text="x" * 41, items=items)
        error = await refusal_of(running.method(channel, "One")(request, timeout=5))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(error) == "INVALID_FIELDS"
    assert {v.field for v in violations_of(error)} == {"text", "items[1].amount_fen", "items[2].amount_fen"}
    assert running.echo.seen == []


async def test_thousands_of_violations_still_reach_the_caller(serve: Any) -> None:
    async with serve() as running, running.channel() as channel:
        request = running.messages.EchoRequest(items=[running.messages.Item()] * 5000)
        error = await refusal_of(running.method(channel, "One")(request, timeout=5))
    info = error_info(error)
    assert info is not None
    assert info.metadata["violations"] == "5000"
    assert 0 < len(violations_of(error)) <= 20


@pytest.mark.parametrize("shape", ["Collect", "Converse"])
async def test_each_message_of_a_stream_is_validated(serve: Any, shape: str) -> None:
    async with serve() as running, running.channel() as channel:
        call = running.method(channel, shape)(running.each("fine", "x" * 41), timeout=5)
        error = await refusal_of(call if shape == "Collect" else running.drained(call))
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
        error = await refusal_of(call if shape in {"One", "Collect"} else running.drained(call))
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
        error = await refusal_of(running.method(channel, "One")(request, timeout=5))
    info = error_info(error)
    assert info is not None
    assert info.reason == "TOO_LARGE"
    assert info.metadata["max_bytes"] == "1000"


async def test_a_message_far_over_the_limit_is_refused_by_the_transport(serve: Any) -> None:
    async with serve(max_message_bytes=1000) as running, running.channel() as channel:
        request = running.messages.EchoRequest(blob=b"x" * 2_000_000)
        error = await refusal_of(running.method(channel, "One")(request, timeout=5))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in str(error.details())
