"""W3C trace context: taken over from callers, handed on with calls and events; spans only when a collector is named."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from random import getrandbits

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

HEADER = "traceparent"
_WELL_FORMED = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_PROPAGATOR = TraceContextTextMapPropagator()
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


class _Tracing:
    """What `configure` set up for the process."""

    provider: TracerProvider | None = None
    tracer: Tracer | None = None


def configure(service: str, endpoint: str | None, exporter: SpanExporter | None = None) -> None:
    """Send spans of this service to the OTLP collector at `endpoint`; without one no spans are made at all."""
    shutdown()
    if endpoint is None and exporter is None:
        return
    provider = TracerProvider(resource=Resource.create({"service.name": f"gongji-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter(endpoint=endpoint)))
    _Tracing.provider, _Tracing.tracer = provider, provider.get_tracer("gongji")


def shutdown() -> None:
    """Send what is left and make no more spans."""
    if _Tracing.provider is not None:
        _Tracing.provider.shutdown()
    _Tracing.provider = _Tracing.tracer = None


def take_over(traceparent: str | None) -> str:
    """Make this the trace of the running task; a missing or malformed one is replaced by a new trace."""
    if traceparent is None or not _WELL_FORMED.fullmatch(traceparent):
        # No secret: what makes those would ask the system twice for each call. Never all zeros, which means none.
        traceparent = f"00-{getrandbits(128) | 1:032x}-{getrandbits(64) | 1:016x}-00"
    _current.set(traceparent)
    return traceparent


def current() -> str | None:
    """The `traceparent` to hand on with calls and events of the running task; None outside of any trace."""
    if known := _current.get():
        return known
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)  # a span that a library or a consumer opened
    return carrier.get(HEADER)


def span(name: str, kind: SpanKind = SpanKind.SERVER) -> AbstractContextManager[None]:
    """A span around a piece of work, a child of the current trace; costs nothing when no collector is named."""
    tracer = _Tracing.tracer
    return nullcontext() if tracer is None else _span(tracer, name, kind)


@contextmanager
def _span(tracer: Tracer, name: str, kind: SpanKind) -> Iterator[None]:
    before = _current.get()
    parent = _PROPAGATOR.extract({HEADER: before} if before else {})
    with tracer.start_as_current_span(name, context=parent, kind=kind):
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        _current.set(carrier.get(HEADER, before))
        try:
            yield
        finally:
            _current.set(before)
