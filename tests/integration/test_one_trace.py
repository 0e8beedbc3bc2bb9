"""One trace from a HIS's call through settlement and binding, the outbox and Kafka to the payer's notice."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from support.collector import Collector, Span, hangs
from support.families import Families, Family

from gongji_local.client import Connections
from gongji_local.stack import Stack
from kit import tracing
from kit.clock import Elapsed

TRACED = ("binding", "notify", "settlement")
SETTLE = "gongji.settlement.v1.SettlementService/Settle"
AUTHORIZE = "gongji.binding.v1.AuthorizationService/Authorize"
STOP_SECONDS = 15.0
"""Longer than a service takes that waits for no collector, shorter than the half minute of the library."""


async def again(stack: Stack, endpoint: str | None, *services: str) -> None:
    """Start services again, with this collector or without any."""
    extra = {} if endpoint is None else {"GONGJI_OTLP_ENDPOINT": endpoint}
    for name in services:
        await asyncio.to_thread(stack.stop_service, name)
    for name in services:
        await asyncio.to_thread(stack.start_service, name, extra)


@asynccontextmanager
async def sending_to(stack: Stack, endpoint: str) -> AsyncIterator[None]:
    await again(stack, endpoint, *TRACED)
    try:
        yield
    finally:
        await again(stack, None, *TRACED)


@pytest.fixture
async def family(families: Families) -> Family:
    return await families.make({"father": 100_000})


def begun(*, recorded: bool = True) -> str:
    """A trace that a HIS has begun."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{int(recorded):02x}"


async def settles(family: Family, header: str) -> str:
    """The child's visit is paid by the father, in this trace; the settlement's id."""
    request = await family.request("child", 5_000)
    with tracing.continued(header):
        return (await family.hospital.settle(request)).setl_id


class Trace:
    """The spans of one trace."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = spans

    def one(self, service: str, name: str, **attributes: str) -> Span:
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        (found,) = (
            span
            for span in self._spans
            if (span.service, span.name) == (f"gongji-{service}", name) and wanted.items() <= span.attributes.items()
        )
        return found


def whole(spans: Sequence[Span]) -> bool:
    """Whether all came that the last of them have to do with: both topics, at all who read them."""
    named = [span.name for span in spans]
    return {"process binding", "process notify", SETTLE, AUTHORIZE} <= {*named} and "batch settle" in named


def personal(family: Family) -> list[str]:
    persons = family.world.persons.values()
    return [text for each in persons for text in (each.certno, each.psn_name, each.tel, each.psn_no)]


async def test_a_hospitals_call_is_one_trace_to_the_payers_notice(
    stack: Stack, connections: Connections, family: Family
) -> None:
    del connections
    async with Collector() as collector, sending_to(stack, collector.endpoint):
        header, unrecorded = begun(), begun(recorded=False)
        credential = (await family.request("child", 1)).visit_credential
        await settles(family, unrecorded)
        await settles(family, header)
        await family.quiet()
        assert len(await family.world.portal("father").messages()) >= 2
        trace = Trace(await collector.until(whole, header[3:35]))
        assert collector.of(unrecorded[3:35]) == []
        told = [
            text for text in [*personal(family), credential] if any(text.encode() in s.raw for s in collector.spans)
        ]
        assert told == []
    settle = trace.one("settlement", SETTLE, rpc__grpc__status="OK")
    batch = trace.one("settlement", "batch settle")
    assert (settle.parent_id, batch.parent_id) == (header[36:52], settle.span_id)
    assert trace.one("binding", AUTHORIZE).parent_id == batch.span_id
    for topic, reader in (("settlement-events-v1", "binding"), ("account-events-v1", "notify")):
        sent = trace.one("settlement", f"publish {topic}")
        read = trace.one(reader, f"process {reader}", messaging__destination__name=topic)
        assert (sent.parent_id, read.parent_id) == (batch.span_id, batch.span_id)
        assert sent.attributes["messaging.message.id"] == read.attributes["messaging.message.id"]


async def test_a_collector_that_is_away_stops_nobody(stack: Stack, family: Family) -> None:
    """Nobody listens at the one, the other takes connections and never answers: settling and stopping go on."""
    silent = await asyncio.start_server(hangs, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    for endpoint in ("http://127.0.0.1:1", f"http://127.0.0.1:{port}"):
        await again(stack, endpoint, "settlement")
        for _ in range(3):
            assert await settles(family, begun())
        taken = Elapsed()
        await asyncio.to_thread(stack.stop_service, "settlement")
        assert taken.seconds < STOP_SECONDS
    await asyncio.to_thread(stack.start_service, "settlement")
    silent.close()
    assert await settles(family, begun())
