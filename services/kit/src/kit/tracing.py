"""W3C trace context: taken over from callers, handed on with calls and events; spans only when a collector is named.

Work that many requests share (a batch) is one span in the trace of the first of them that is recorded; it and the
others' spans are linked both ways (ADR 27). What can be told apart, the events, belongs to each request's own trace.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from random import getrandbits
from typing import TypeGuard

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags, Tracer

HEADER = "traceparent"
MAX_LINKS = 32
"""Of a batch's span: who looks into one wants some neighbours, not all."""
EXPORT_TIMEOUT_SECONDS = 3.0
"""How long a collector may take; stopping waits no longer for one that is away."""
_ENDING_MILLIS = 5_000
_SERVERS_FAULT = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
_WELL_FORMED = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_TRACE_ID = slice(3, 35)


@dataclass(slots=True)
class _Batch:
    """What one batch is made of: each request's trace by its place, and by what it brings about once that is known."""

    traces: Sequence[str | None]
    by_cause: dict[str, str | None] = field(default_factory=dict)


_current: ContextVar[str | None] = ContextVar("traceparent", default=None)
_batch: ContextVar[_Batch | None] = ContextVar("batch", default=None)


class _Tracing:
    """What `configure` set up for the process."""

    provider: TracerProvider | None = None
    tracer: Tracer | None = None


def configure(
    service: str, endpoint: str | None, sample_ratio: float = 1.0, *, exporter: SpanExporter | None = None
) -> None:
    """Send spans of this service to the OTLP collector at `endpoint`; without one no spans are made at all.

    Whoever begins a trace decides whether it is recorded: callers for theirs, which is kept to both ways, and
    `sample_ratio` for those that begin here.
    """
    shutdown()
    if endpoint is None and exporter is None:
        return
    # Ended by `shutdown`, in a bounded time; the library's own way out waits half a minute for a collector.
    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(sample_ratio),
        resource=Resource.create({"service.name": f"gongji-{service}"}),
        shutdown_on_exit=False,
    )
    exporter = exporter or OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_TIMEOUT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _Tracing.provider, _Tracing.tracer = provider, provider.get_tracer("gongji")


def shutdown() -> None:
    """Send what is left, if a collector takes it in time, and make no more spans."""
    provider, _Tracing.provider, _Tracing.tracer = _Tracing.provider, None, None
    if provider is not None:
        provider.force_flush(_ENDING_MILLIS)
        provider.shutdown()


def tracer() -> Tracer | None:
    """What makes spans; None without a collector."""
    return _Tracing.tracer


def take_over(traceparent: str | None) -> str | None:
    """Make this the trace of the running task; what is missing or malformed is replaced by a new trace.

    With a collector that one begins with the first span, and this is None.
    """
    if not _is_well_formed(traceparent):
        traceparent = None if _Tracing.tracer else _made_up()
    _current.set(traceparent)
    return traceparent


def this_or_a_new_one(traceparent: str | None) -> str:
    """What lines of the log can be found by: this trace, or a new one where it is missing or malformed."""
    return traceparent if _is_well_formed(traceparent) else _made_up()


def _is_well_formed(traceparent: str | None) -> TypeGuard[str]:
    return traceparent is not None and _WELL_FORMED.fullmatch(traceparent) is not None


def _made_up() -> str:
    # No secret: what makes those would ask the system twice for each call. Never all zeros, which means none.
    return f"00-{getrandbits(128) | 1:032x}-{getrandbits(64) | 1:016x}-00"


def current() -> str | None:
    """The `traceparent` to hand on with calls and events of the running task; None outside of any trace."""
    return _current.get() or traceparent_of(trace.get_current_span())  # a span that a library opened


def current_trace_id() -> str | None:
    """The trace's id, for lines of the log."""
    known = _current.get()
    return known[_TRACE_ID] if known else None


def traceparent_of(span: Span) -> str | None:
    """The header for children of a span; None for the span that stands for none."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}" if context.is_valid else None


def remote(traceparent: str | None) -> Span | None:
    """The span of another process that a header tells of; None if there is none or it is malformed."""
    match = _WELL_FORMED.fullmatch(traceparent) if traceparent else None
    if match is None:
        return None
    trace_id, span_id, flags = (int(each, 16) for each in match.groups())
    return NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags)))


@contextmanager
def continued(traceparent: str | None) -> Iterator[None]:
    """Make this the trace for a while; without a span."""
    token = _current.set(traceparent if _is_well_formed(traceparent) else None)
    try:
        yield
    finally:
        _current.reset(token)


def span(name: str, kind: SpanKind = SpanKind.SERVER) -> AbstractContextManager[None]:
    """A span around a piece of work, a child of the current trace; costs nothing when no collector is named."""
    known = _Tracing.tracer
    return nullcontext() if known is None else _span(known, name, kind, remote(_current.get()))


@contextmanager
def _span(tracer: Tracer, name: str, kind: SpanKind, parent: Span | None, links: Sequence[Link] = ()) -> Iterator[None]:
    context = trace.set_span_in_context(parent) if parent else None
    # What an exception says may be about a person, so it stays in the log, which is redacted.
    with tracer.start_as_current_span(
        name, context, kind, links=links, record_exception=False, set_status_on_exception=False
    ) as opened:
        token = _current.set(traceparent_of(opened))
        try:
            yield
        finally:
            _current.reset(token)


def answered(code: str, reason: str) -> None:
    """Note in the call's span what it was answered with."""
    if _Tracing.tracer is None:
        return
    opened = trace.get_current_span()
    opened.set_attribute("rpc.grpc.status", code)
    if reason:
        opened.set_attribute("gongji.reason", reason)
    if code in _SERVERS_FAULT:
        opened.set_status(StatusCode.ERROR)


def carried() -> Span | None:
    """What a queue keeps with a request, for `together`; None, and nothing is done, without a collector."""
    return None if _Tracing.tracer is None else trace.get_current_span()


def together(name: str, carried_spans: Iterable[Span | None]) -> AbstractContextManager[None]:
    """A span around what requests, in this order, have done for them at once."""
    known = _Tracing.tracer
    return nullcontext() if known is None else _together(known, name, list(carried_spans))


@contextmanager
def _together(tracer: Tracer, name: str, carried_spans: Sequence[Span | None]) -> Iterator[None]:
    traces = [traceparent_of(each) if each else None for each in carried_spans]
    # A batch of one is that request's work altogether: what it tells follows from the batch's span.
    token = _batch.set(_Batch(traces) if len(traces) > 1 else None)
    try:
        with _batch_span(tracer, name, [each for each in carried_spans if each and each.is_recording()], traces):
            yield
    finally:
        _batch.reset(token)


@contextmanager
def _batch_span(tracer: Tracer, name: str, recorded: Sequence[Span], traces: Sequence[str | None]) -> Iterator[None]:
    if not recorded:
        with continued(traces[0] if traces else None):
            yield
        return
    first, *others = recorded
    links = [Link(other.get_span_context()) for other in others[:MAX_LINKS]]
    with _span(tracer, name, SpanKind.INTERNAL, first, links):
        shared = trace.get_current_span()
        shared.set_attribute("gongji.batch.size", len(traces))
        for other in others:
            other.add_link(shared.get_span_context())
        yield


def brings_about(places: Iterable[tuple[str, int]]) -> None:
    """Say, within a batch, which cause of events is the request at which place; see `kit.events.Event.cause`."""
    if (shared := _batch.get()) is not None:
        shared.by_cause |= {cause: shared.traces[place] for cause, place in places}


def of_cause(cause: str) -> str | None:
    """The `traceparent` of what this brings about: in a batch the request's own, else the current one."""
    shared = _batch.get()
    return current() if shared is None else shared.by_cause.get(cause) or current()


def in_batch() -> bool:
    """Whether what is told now belongs to several traces."""
    return _batch.get() is not None
