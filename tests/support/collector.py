"""An OTLP collector: a gRPC server that takes spans as a real one does, and keeps them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1 import common_pb2

from kit.testing import eventually


@dataclass(frozen=True, slots=True)
class Span:
    """One span as it came."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    """Empty for a root."""
    attributes: Mapping[str, str]
    raw: bytes
    """All of it, names of the process included."""


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Use it as `async with Collector() as collector`; services send to `collector.endpoint`."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.endpoint = ""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])

    async def __aenter__(self) -> Self:
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    async def Export(  # noqa: N802 - the contract's name
        self, request: trace_service_pb2.ExportTraceServiceRequest, _context: Any
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """Take what a service sends."""
        for resource in request.resource_spans:
            named = _texts(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans += [_span(each, named.get("service.name", ""), resource.resource) for each in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    async def until(self, condition: Callable[[Sequence[Span]], bool], trace_id: str) -> list[Span]:
        """The spans of a trace, once they are as wanted."""
        await eventually(lambda: condition(self.of(trace_id)))
        return self.of(trace_id)

    def of(self, trace_id: str) -> list[Span]:
        """The spans of a trace that have come."""
        return [span for span in self.spans if span.trace_id == trace_id]


async def hangs(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A collector that takes connections and says nothing."""
    await asyncio.Event().wait()
    writer.close()


def _span(span: Any, service: str, resource: Any) -> Span:
    return Span(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        _texts(span.attributes),
        resource.SerializeToString() + span.SerializeToString(),
    )


def _texts(attributes: Sequence[common_pb2.KeyValue]) -> dict[str, str]:
    return {each.key: each.value.string_value or str(each.value.int_value) for each in attributes}
