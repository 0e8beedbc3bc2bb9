"""What many requests share is one span, linked with theirs; what each brings about belongs to its own trace."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from kit import tracing, tracing_bus
from kit.batcher import MicroBatcher
from kit.dead_letters import MemoryDeadLetterQueue, StoredRecord
from kit.events import Envelope, Event, headers_of
from kit.handling import BatchProcessor, RetryPolicy
from kit.lanes import Lanes
from kit.outbox import MemoryOutbox
from kit.testing_events import AT, SampleTopic, event, happened
from kit.testing_traces import Collector, id_of, linked, parent_of, trace_of

TOPIC = SampleTopic()


@pytest.fixture(autouse=True)
def no_tracing() -> Iterator[None]:
    yield
    tracing.shutdown()


def traceparent(number: int, *, recorded: bool = True) -> str:
    return f"00-{number:032x}-{number:016x}-{int(recorded):02x}"


class Telling:
    """A handler that tells an event for each request, keyed by somebody else, once it may go on."""

    def __init__(self) -> None:
        self.outbox = MemoryOutbox("kit", TOPIC.catalogue)
        self.sizes: list[int] = []
        self.may_go_on = asyncio.Event()
        self.handed_on: list[str | None] = []

    async def __call__(self, requests: Sequence[str]) -> Sequence[str]:
        self.sizes.append(len(requests))
        await self.may_go_on.wait()
        tracing.brings_about((request, place) for place, request in enumerate(requests))
        self.handed_on.append(tracing.current())
        await self.outbox.add([Event(happened(request), "account", AT, cause=request) for request in requests])
        return requests

    @property
    def told(self) -> dict[str, str | None]:
        """By request, the trace of its event."""
        causes = [happened("").FromString(row.payload).text for row in self.outbox.rows]
        return dict(zip(causes, (row.traceparent for row in self.outbox.rows), strict=True))


async def ask(batcher: MicroBatcher[str, str], request: str, header: str | None) -> None:
    tracing.take_over(header)
    with tracing.span(f"call {request}"):
        await batcher.submit(request)


async def asked_at_once(telling: Telling, headers: dict[str, str | None]) -> None:
    """The first request is a batch of its own; those that come meanwhile are the second one."""
    batcher = MicroBatcher(telling, 100, 100, name="settle")
    async with asyncio.TaskGroup() as group:
        for request, header in headers.items():
            group.create_task(ask(batcher, request, header))
            await asyncio.sleep(0)
        telling.may_go_on.set()


def one(spans: Sequence[ReadableSpan], name: str) -> ReadableSpan:
    (found,) = (span for span in spans if span.name == name)
    return found


async def test_a_batch_of_one_is_a_child_of_its_request_and_the_parent_of_all_that_follows() -> None:
    collector, telling = Collector(), Telling()
    await asked_at_once(telling, {"a": traceparent(1)})
    spans = collector.spans()
    call, batch = one(spans, "call a"), one(spans, "batch settle")
    assert (parent_of(call), parent_of(batch)) == (f"{1:016x}", id_of(call))
    assert telling.handed_on == [f"00-{1:032x}-{id_of(batch)}-01"]
    assert telling.told == {"a": f"00-{1:032x}-{id_of(batch)}-01"}


async def test_in_a_batch_of_several_each_event_belongs_to_its_own_request() -> None:
    collector, telling = Collector(), Telling()
    await asked_at_once(telling, {"first": None, "a": traceparent(1), "b": traceparent(2), "c": traceparent(3)})
    assert telling.sizes == [1, 3]
    spans = collector.spans()
    calls = {request: one(spans, f"call {request}") for request in ("a", "b", "c")}
    assert [telling.told[request] for request in calls] == [
        f"00-{trace_of(call)}-{id_of(call)}-01" for call in calls.values()
    ]


async def test_a_batch_is_in_the_first_recorded_trace_and_linked_with_the_others_both_ways() -> None:
    collector, telling = Collector(), Telling()
    unrecorded = traceparent(9, recorded=False)
    await asked_at_once(telling, {"first": None, "x": unrecorded, "a": traceparent(1), "b": traceparent(2)})
    spans = collector.spans()
    a, b = one(spans, "call a"), one(spans, "call b")
    (batch,) = (span for span in spans if span.name == "batch settle" and trace_of(span) == f"{1:032x}")
    assert parent_of(batch) == id_of(a)
    assert linked(batch) == {id_of(b)}
    assert (linked(a), linked(b)) == (set(), {id_of(batch)})
    assert (batch.attributes or {})["gongji.batch.size"] == 3
    told = telling.told["x"] or ""
    assert (told[3:35], told[-2:]) == (unrecorded[3:35], "00")


async def test_a_batch_that_nobody_records_has_no_span_and_hands_on_the_first_trace() -> None:
    collector, telling = Collector(), Telling()
    await asked_at_once(telling, {"a": traceparent(1, recorded=False)})
    (handed_on,) = telling.handed_on
    assert handed_on is not None
    assert (handed_on[3:35], handed_on[-2:]) == (f"{1:032x}", "00")
    assert collector.spans() == ()


async def test_without_a_collector_a_batch_hands_nothing_on() -> None:
    telling = Telling()
    await asked_at_once(telling, {"first": None, "a": traceparent(1), "b": traceparent(2)})
    assert set(telling.handed_on) == {None}
    assert set(telling.told.values()) == {None}


async def test_a_list_belongs_to_the_call_that_brought_it() -> None:
    collector, telling = Collector(), Telling()
    telling.may_go_on.set()
    lanes: Lanes[str, str] = Lanes(telling, 1, 100, str, "bulk")
    tracing.take_over(traceparent(1))
    with tracing.span("BatchSettle"):
        await lanes.run(["a", "b"])
    listed = one(collector.spans(), "list bulk")
    assert trace_of(listed) == f"{1:032x}"
    assert set(telling.told.values()) == {f"00-{1:032x}-{id_of(listed)}-01"}


async def stated(*headers: str | None) -> MemoryOutbox:
    """An outbox with one event in each of these traces."""
    outbox = MemoryOutbox("kit", TOPIC.catalogue)
    for place, header in enumerate(headers):
        with tracing.continued(header):
            await outbox.add([event("k", str(place))])
    return outbox


async def test_each_recorded_event_that_kafka_confirmed_has_a_span_of_its_publication() -> None:
    collector = Collector()
    rows = (await stated(traceparent(1), traceparent(2), traceparent(3, recorded=False), None)).rows
    tracing_bus.published(rows, [row.id for row in rows if row.traceparent != traceparent(2)], tracing_bus.now_ns())
    (span,) = collector.spans()
    assert (span.name, trace_of(span), parent_of(span)) == (f"publish {TOPIC.name}", f"{1:032x}", f"{1:016x}")
    assert (span.attributes or {})["messaging.message.id"] == str(rows[0].event_id)


async def test_without_a_collector_nothing_is_told_of_publications() -> None:
    assert tracing_bus.now_ns() is None
    tracing_bus.published((await stated(traceparent(1))).rows, [1], None)


class Reading:
    """A handler of events that remembers what it would hand on, and may fail."""

    def __init__(self, *, fails: bool = False) -> None:
        self.handed_on: list[str | None] = []
        self._fails = fails

    async def __call__(self, envelopes: Sequence[Envelope]) -> None:
        self.handed_on.append(tracing.current())
        if self._fails:
            raise ValueError(len(envelopes))


async def consume(reading: Reading, *headers: str | None) -> None:
    rows = (await stated(*headers)).rows
    records = [StoredRecord(TOPIC.name, 1, place, b"k", row.payload, headers_of(row)) for place, row in enumerate(rows)]
    policy = RetryPolicy(attempts=1, first_pause_seconds=0.0, most_pause_seconds=0.0)
    with suppress(ValueError):
        await BatchProcessor("group", reading, MemoryDeadLetterQueue(), policy, TOPIC.catalogue).process(records)


async def test_each_recorded_event_has_a_span_of_its_consumption() -> None:
    collector, reading = Collector(), Reading()
    await consume(reading, traceparent(1), traceparent(2, recorded=False), traceparent(3), None)
    spans = collector.spans()
    assert [(span.name, trace_of(span), parent_of(span)) for span in spans] == [
        ("process group", f"{number:032x}", f"{number:016x}") for number in (1, 3)
    ]
    assert reading.handed_on == [None]


async def test_events_of_one_trace_hand_it_on() -> None:
    collector, reading = Collector(), Reading()
    await consume(reading, traceparent(1), traceparent(1))
    first, _ = collector.spans()
    assert reading.handed_on == [f"00-{1:032x}-{id_of(first)}-01"]


async def test_without_a_collector_events_of_one_trace_hand_it_on_too() -> None:
    reading = Reading()
    await consume(reading, traceparent(1))
    assert reading.handed_on == [traceparent(1)]


async def test_an_event_that_failed_is_shown_as_failed() -> None:
    collector = Collector()
    await consume(Reading(fails=True), traceparent(1))
    spans = collector.spans()
    assert spans
    assert not any(span.status.is_ok for span in spans)


@pytest.mark.parametrize("header", ["", "nonsense", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "01" * 40])
async def test_an_event_with_a_malformed_trace_is_consumed_without(header: str) -> None:
    collector, reading = Collector(), Reading()
    await consume(reading, header)
    assert reading.handed_on == [None]
    assert collector.spans() == ()
