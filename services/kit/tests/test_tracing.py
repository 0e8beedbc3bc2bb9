"""Traces are taken over from callers and handed on; spans are made only for a collector."""

import asyncio
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kit import tracing

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def no_tracing() -> Iterator[None]:
    yield
    tracing.shutdown()


async def test_a_well_formed_trace_is_taken_over_as_it_is() -> None:
    assert tracing.take_over(GIVEN) == GIVEN
    assert tracing.current() == GIVEN


@pytest.mark.parametrize(
    "header",
    [None, "", "00-xyz", GIVEN.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32), GIVEN.upper(), GIVEN + "-x"],
)
async def test_anything_else_is_replaced_by_a_new_trace(header: str | None) -> None:
    made = tracing.take_over(header)
    assert made != header
    assert tracing._WELL_FORMED.fullmatch(made)


async def test_a_trace_ends_with_its_task() -> None:
    async def served() -> None:
        tracing.take_over(GIVEN)

    await asyncio.create_task(served())
    assert tracing.current() is None


async def test_without_a_collector_there_are_no_spans_and_the_trace_stays() -> None:
    tracing.configure("binding", None)
    tracing.take_over(GIVEN)
    with tracing.span("Settle"):
        assert tracing.current() == GIVEN


async def test_with_a_collector_a_span_is_the_callers_child_and_is_handed_on() -> None:
    exporter = InMemorySpanExporter()
    tracing.configure("binding", None, exporter)
    tracing.take_over(GIVEN)
    with tracing.span("Settle"):
        inner = tracing.current()
    assert tracing.current() == GIVEN
    tracing.shutdown()
    (span,) = exporter.get_finished_spans()
    context = span.get_span_context()
    assert (span.name, f"{span.parent.span_id:016x}") == ("Settle", "b7ad6b7169203331")  # type: ignore[union-attr]
    assert inner == f"00-0af7651916cd43dd8448eb211c80319c-{context.span_id:016x}-01"  # type: ignore[union-attr]
    assert span.resource.attributes["service.name"] == "gongji-binding"
