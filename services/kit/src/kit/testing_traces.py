"""A collector of spans in memory, and what tests ask of spans."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kit import tracing


class Collector:
    """Takes spans in this process."""

    def __init__(self, sample_ratio: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        tracing.configure("binding", None, sample_ratio, exporter=self._exporter)

    def spans(self) -> Sequence[ReadableSpan]:
        """All that ended; no more are made afterwards."""
        tracing.shutdown()
        return self._exporter.get_finished_spans()


def id_of(span: ReadableSpan) -> str:
    """As in a `traceparent`."""
    return f"{span.context.span_id:016x}" if span.context else ""


def trace_of(span: ReadableSpan) -> str:
    """The trace that it belongs to."""
    return f"{span.context.trace_id:032x}" if span.context else ""


def parent_of(span: ReadableSpan) -> str:
    """Its parent; empty for a root."""
    return f"{span.parent.span_id:016x}" if span.parent else ""


def linked(span: ReadableSpan) -> set[str]:
    """What it is linked to."""
    return {f"{link.context.span_id:016x}" for link in span.links}
