"""Kubernetes' gRPC probes, on a port of their own: the kubelet speaks no TLS, and the services' port demands it.

Nothing is served there but `grpc.health.v1`, from threads of its own: a hung event loop must not be able to call itself
well (ADR 25).
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Protocol

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kit.health import Health
from kit.lifecycle import Application
from kit.metrics import EVERY
from kit.probes import CannotListen, HttpProbes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STARTUP: Final = "startup"
"""Every part of the process has been started once."""
READINESS: Final = "readiness"
"""Calls may be sent here; the same as `/readyz`."""
LIVENESS: Final = "liveness"
"""Going on makes sense; the same as `/livez`."""

PROCESS_READY: Final = EVERY.gauge(
    "gongji_process_ready", "1 while calls may be sent here, as the readiness probe says.", unit="0/1"
)

_THREADS: Final = 2
_AT_ONCE_MAX: Final = 16
_MESSAGE_BYTES_MAX: Final = 4096


class ProbeSettings(Protocol):
    """What probes need to know; `kit.config.ServiceSettings` has it."""

    @property
    def http_address(self) -> str: ...  # noqa: D102 - described in ServiceSettings
    @property
    def probe_address(self) -> str | None: ...  # noqa: D102


def add_probes(application: Application, settings: ProbeSettings, health: Health) -> None:
    """Let the process answer probes from its first part to its last: over HTTP, and over gRPC where settings say so."""
    PROCESS_READY.set_function(health.ready)
    over_http = HttpProbes(settings.http_address, health)
    application.add("probes", over_http.start, over_http.stop)
    if settings.probe_address is not None:
        over_grpc = GrpcProbes(settings.probe_address, health)
        application.add("gRPC probes", over_grpc.start, over_grpc.stop)


class GrpcProbes:
    """Serves `grpc.health.v1.Health/Check` without TLS on `address` (HOST:PORT; port 0 takes a free one)."""

    def __init__(self, address: str, health: Health) -> None:
        self._address = address
        self._answers = _Answers(health)
        self._server: grpc.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen and answer from now on.

        Raises:
            CannotListen: the address is taken or not of this machine.
        """
        threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="grpc-probes")
        server = grpc.server(threads, options=_OPTIONS, maximum_concurrent_rpcs=_AT_ONCE_MAX)
        health_pb2_grpc.add_HealthServicer_to_server(self._answers, server)
        try:
            self.port = server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise CannotListen(self._address, "gRPC probes", str(error)) from error
        server.start()
        self._server = server

    async def stop(self) -> None:
        """Answer no more."""
        if self._server is not None:
            stopped, self._server = self._server.stop(grace=None), None
            await asyncio.to_thread(stopped.wait)


_OPTIONS: Final[list[tuple[str, Any]]] = [
    # A second process on the same port must fail, not share it.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
]


class _Answers(health_pb2_grpc.HealthServicer):
    """One check each; `Watch` stays unimplemented, because a stream would hold a thread for good."""

    def __init__(self, health: Health) -> None:
        self._questions: Mapping[str, Callable[[], bool]] = {
            STARTUP: health.started,
            READINESS: health.ready,
            LIVENESS: health.live,
        }

    def Check(  # noqa: N802 - the protocol's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        """See grpc.health.v1."""
        question = self._questions.get(request.service)
        if question is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there are {', '.join(self._questions)}")
            raise AssertionError  # abort has raised
        answer = health_pb2.HealthCheckResponse
        return answer(status=answer.SERVING if question() else answer.NOT_SERVING)
