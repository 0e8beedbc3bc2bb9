"""Spans of events on their way: one for each that is published, one for each that is consumed.

Both are children of the span in which the event was stated, as its header says; the header is the same at every
publication. An event of a trace that is not recorded has neither.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from time import time_ns

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from kit import tracing
from kit.events import Envelope, StoredEvent


def now_ns() -> int | None:
    """When a round began; None without a collector."""
    return time_ns() if tracing.tracer() else None


def published(rows: Iterable[StoredEvent], confirmed: Iterable[int], began_ns: int | None) -> None:
    """Tell of the events that Kafka confirmed, of a round that began then."""
    tracer = tracing.tracer()
    if tracer is None or began_ns is None:
        return
    taken = set(confirmed)
    for row in rows:
        if row.id in taken and (parent := _parent(row.traceparent)):
            context = trace.set_span_in_context(parent)
            tracer.start_span(
                f"publish {row.topic}", context, SpanKind.PRODUCER, _of_row(row), start_time=began_ns
            ).end()


def consumed(group: str, envelopes: Sequence[Envelope]) -> AbstractContextManager[None]:
    """Spans around the handling of these events; what is done and told meanwhile belongs to their trace, if one."""
    first = envelopes[0].traceparent if envelopes else None
    only = first if all(each.traceparent == first for each in envelopes) else None
    tracer = tracing.tracer()
    return tracing.continued(only) if tracer is None else _consumed(tracer, group, envelopes, only)


@contextmanager
def _consumed(tracer: Tracer, group: str, envelopes: Sequence[Envelope], only: str | None) -> Iterator[None]:
    spans = [
        tracer.start_span(
            f"process {group}", trace.set_span_in_context(parent), SpanKind.CONSUMER, _of_envelope(group, envelope)
        )
        for envelope in envelopes
        if (parent := _parent(envelope.traceparent))
    ]
    try:
        with tracing.continued(tracing.traceparent_of(spans[0]) if only and spans else only):
            yield
    except BaseException:
        for span in spans:
            span.set_status(StatusCode.ERROR)
        raise
    finally:
        for span in spans:
            span.end()


def _parent(traceparent: str | None) -> Span | None:
    parent = tracing.remote(traceparent)
    return parent if parent and parent.get_span_context().trace_flags.sampled else None


def _of_row(row: StoredEvent) -> Mapping[str, AttributeValue]:
    # Neither key nor subject: they may be a person's number.
    return {
        "messaging.system": "kafka",
        "messaging.operation.type": "send",
        "messaging.destination.name": row.topic,
        "messaging.message.id": str(row.event_id),
        "cloudevents.event_type": row.type,
    }


def _of_envelope(group: str, envelope: Envelope) -> Mapping[str, AttributeValue]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": group,
        "messaging.destination.name": envelope.topic,
        "messaging.destination.partition.id": str(envelope.partition),
        "messaging.kafka.offset": envelope.offset,
        "messaging.message.id": str(envelope.id),
        "cloudevents.event_type": envelope.type,
    }
