"""Traces are taken over from callers and handed on; spans are made only for a collector."""

import asyncio
from collections.abc import Iterator

import pytest

from kit import tracing
from kit.testing_traces import Collector, id_of, parent_of, trace_of

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNRECORDED = GIVEN[:-2] + "00"


@pytest.fixture(autouse=True)
def no_tracing() -> Iterator[None]:
    yield
    tracing.shutdown()


async def test_a_well_formed_trace_is_taken_over_as_it_is() -> None:
    assert tracing.take_over(GIVEN) == GIVEN
    assert tracing.current() == GIVEN
    assert tracing.current_trace_id() == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    "header",
    [None, "", "00-xyz", GIVEN.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32), GIVEN.upper(), GIVEN + "-x"],
)
async def test_anything_else_is_replaced_by_a_new_trace(header: str | None) -> None:
    made = tracing.take_over(header)
    assert made is not None
    assert made != header
    assert tracing._WELL_FORMED.fullmatch(made)


async def test_a_trace_ends_with_its_task() -> None:
    async def served() -> None:
        tracing.take_over(GIVEN)

    await asyncio.create_task(served())
    assert tracing.current() is None
    assert tracing.current_trace_id() is None


async def test_without_a_collector_there_are_no_spans_and_the_trace_stays() -> None:
    tracing.configure("binding", None)
    tracing.take_over(GIVEN)
    with tracing.span("Settle"):
        assert tracing.current() == GIVEN


async def test_without_a_collector_a_queue_keeps_nothing() -> None:
    tracing.take_over(GIVEN)
    assert tracing.carried() is None
    with tracing.together("batch", (tracing.carried() for _ in range(2))):
        assert not tracing.in_batch()


async def test_with_a_collector_a_span_is_the_callers_child_and_is_handed_on() -> None:
    collector = Collector()
    tracing.take_over(GIVEN)
    with tracing.span("Settle"):
        inner = tracing.current()
    assert tracing.current() == GIVEN
    (span,) = collector.spans()
    assert (span.name, parent_of(span)) == ("Settle", "b7ad6b7169203331")
    assert inner == f"00-0af7651916cd43dd8448eb211c80319c-{id_of(span)}-01"
    assert span.resource.attributes["service.name"] == "gongji-binding"


async def test_who_names_no_trace_begins_one_with_a_root() -> None:
    collector = Collector()
    tracing.take_over(None)
    with tracing.span("Settle"):
        handed_on = tracing.current()
    (span,) = collector.spans()
    assert span.parent is None
    assert handed_on == f"00-{trace_of(span)}-{id_of(span)}-03"  # recorded, and random


async def test_a_caller_who_does_not_record_is_not_recorded_whatever_the_ratio() -> None:
    collector = Collector(sample_ratio=1.0)
    tracing.take_over(UNRECORDED)
    with tracing.span("Settle"):
        handed_on = tracing.current() or ""
    assert handed_on[3:35] == UNRECORDED[3:35]
    assert handed_on.endswith("-00")
    assert collector.spans() == ()


async def test_a_caller_who_records_is_recorded_whatever_the_ratio() -> None:
    collector = Collector(sample_ratio=0.0)
    for header in (GIVEN, None):
        tracing.take_over(header)
        with tracing.span("Settle"):
            pass
    assert [trace_of(span) for span in collector.spans()] == ["0af7651916cd43dd8448eb211c80319c"]


async def test_what_an_exception_says_is_in_no_span() -> None:
    collector = Collector()
    with pytest.raises(ValueError, match="11010519491231002X"), tracing.span("Settle"):
        raise ValueError("11010519491231002X")
    (span,) = collector.spans()
    assert "11010519491231002X" not in span.to_json()


async def test_a_call_says_what_it_was_answered_with_and_whose_fault_it_is() -> None:
    collector = Collector()
    for code, reason in (("OK", ""), ("NOT_FOUND", "NOT_FOUND"), ("INTERNAL", "INTERNAL")):
        with tracing.span(code):
            tracing.answered(code, reason)
    spans = collector.spans()
    assert [dict(span.attributes or {}) for span in spans] == [
        {"rpc.grpc.status": "OK"},
        {"rpc.grpc.status": "NOT_FOUND", "gongji.reason": "NOT_FOUND"},
        {"rpc.grpc.status": "INTERNAL", "gongji.reason": "INTERNAL"},
    ]
    assert [span.status.is_ok for span in spans] == [True, True, False]
