"""The gRPC server of a service: mutual TLS, the chain around every method, health, and a stop that loses nothing."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from kit import certificates
from kit.auth import AccessTable, AssertionVerifier, Denylist, PeerIdentity
from kit.clock import Clock
from kit.grpc_certificates import ServerFiles, ServerSettings
from kit.grpc_chain import DEADLINE_CAP_SECONDS, Chain, Gate, UseOnce
from kit.grpc_handlers import Handler, ServicerError
from kit.probes import CannotListen
from kit.requests import FIELD as REQUEST_ID_FIELD
from kit.requests import Once
from kit.validation import Reader, warm_up

__all__ = ["CannotListen", "GrpcServer", "GrpcSettings", "Service", "ServicerError", "methods_of"]

Service = tuple[Callable[[Any, Any], None], object, str]
"""The generated `add_…Servicer_to_server`, the servicer, the service's full name."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_CONNECTION_AGE_SECONDS = 300.0
_CONNECTION_GRACE_SECONDS = 30.0
_LAST_ANSWERS_SECONDS = 1.0
QUIET_SECONDS = 0.3
"""Nobody calls for so long: those who are told by the health service are gone."""
LEAVE_SECONDS = 4.0
"""How long those who are not told are given; below what a callback of draining has."""
_MAX_METADATA_BYTES = 16 * 1024
# The transport takes a little more than the chain, which can say in full what was too large.
_TRANSPORT_MARGIN_BYTES = 1024 * 1024


class GrpcSettings(ServerSettings, Protocol):
    """What the server needs to know; `kit.config.ServiceSettings` has it."""

    @property
    def grpc_address(self) -> str: ...  # noqa: D102 - described in ServiceSettings
    @property
    def trust_domain(self) -> str: ...  # noqa: D102
    @property
    def jwks_file(self) -> Path: ...  # noqa: D102
    @property
    def grpc_reflection(self) -> bool: ...  # noqa: D102
    @property
    def grpc_max_concurrent(self) -> int: ...  # noqa: D102


class GrpcServer:
    """Serves `services` on `settings.grpc_address` (port 0 takes a free one, see `port`).

    The health service and, if asked for, reflection are open to every peer with a certificate of either CA; every other
    method goes through the chain and the access table.

    Args:
        settings: addresses, TLS files, limits.
        services: see `Service`.
        access: who may call which method; what is not in it is refused.
        clock: judges the times in assertions.
        service_name: this service's name, the audience of assertions.
        denylist: suspended institutions and revoked serials; none by default.
        use_once: see `kit.grpc_chain.UseOnce`; none by default.
        once: answers the requests that have a `request_id`; needed if there are such methods.
        max_message_bytes: of one request message.
        max_connection_age_seconds: after which clients are asked to connect again, to spread over new servers and to
            show certificates that are still good.
        deadline_cap_seconds: the most that a caller is given.
        own_caps_seconds: by the method's whole path, for streams that take longer.
    """

    def __init__(
        self,
        settings: GrpcSettings,
        services: Sequence[Service],
        access: AccessTable,
        clock: Clock,
        *,
        service_name: str,
        denylist: Denylist | None = None,
        use_once: UseOnce | None = None,
        once: Once | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_connection_age_seconds: float = MAX_CONNECTION_AGE_SECONDS,
        deadline_cap_seconds: float = DEADLINE_CAP_SECONDS,
        own_caps_seconds: Mapping[str, float] | None = None,
    ) -> None:
        self._settings = settings
        self._identity = PeerIdentity(
            settings.institution_ca_file, settings.service_ca_file, settings.trust_domain, denylist
        )
        certificates.watch("institution-ca", lambda: self._identity.authorities()[0])
        certificates.watch("service-ca", lambda: self._identity.authorities()[1])
        self._handlers = _collect(services)
        self._descriptors = _descriptors(self._handlers)
        self._own_caps_seconds = _of_methods(own_caps_seconds or {}, self._descriptors)
        self._once = once
        self._max_message_bytes = max_message_bytes
        self._max_connection_age_seconds = max_connection_age_seconds
        self._verifier = AssertionVerifier(settings.jwks_file, service_name, clock)
        self._fresh: asyncio.Task[None] | None = None
        self._gate = Gate(
            self._identity,
            access,
            self._verifier,
            settings.grpc_max_concurrent,
            deadline_cap_seconds,
            use_once,
            frozenset(path for path, method in self._descriptors.items() if only_reads(method)),
            self._own_caps_seconds,
        )
        self.health = grpc_health.aio.HealthServicer()
        self.port = 0
        self._server: grpc.aio.Server | None = None
        self._chain = Chain(self._gate)

    @property
    def methods(self) -> set[str]:
        """Every method that is served, such as `/gongji.binding.v1.ReviewService/ClaimApplication`."""
        return {_path(name, method) for name, methods in self._handlers.items() for method in methods}

    async def start(self) -> None:
        """Compile the contract's rules, listen, and say that it serves.

        Raises:
            CannotListen: the address is taken or not of this machine, or the TLS files do not fit together.
            ServicerError: a method takes a `request_id` and there is nothing that keeps it.
        """
        request_types = {path: _class_of(method) for path, method in self._descriptors.items()}
        warm_up(request_types.values())
        await self._verifier.issuers.refresh()
        self._fresh = asyncio.create_task(self._verifier.issuers.keep_fresh())
        server = grpc.aio.server(options=self.options)
        for name, methods in self._handlers.items():
            wrapped = {
                method: self._chain.wrap(
                    path, handler, Reader(request_types[path], self._max_message_bytes), self._once_of(path)
                )
                for method, handler in methods.items()
                for path in [_path(name, method)]
            }
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, wrapped),))
        self._add_infrastructure(server)
        self.port = self._bind(server)
        await server.start()
        self._server = server
        for name in ("", *self._handlers):
            await self.health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def not_serving(self) -> None:
        """Tell the health service's callers that this server goes away; calls are still answered."""
        await self.health.enter_graceful_shutdown()

    async def drain(self) -> None:
        """Tell that this server goes away, and answer what still comes until nothing does, or for `LEAVE_SECONDS`.

        Who watches its health (`kit.grpc_client` does) sends nothing new from then on. To refuse or hang up at once
        would meet calls that are on their way.
        """
        await self.not_serving()
        await self._chain.fall_quiet(QUIET_SECONDS, LEAVE_SECONDS)

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Take no new calls, give those under way `grace_seconds`, then cancel them."""
        await self.not_serving()
        if self._fresh is not None:
            self._fresh.cancel()
        if self._server is not None:
            await self._chain.close(grace_seconds)
            # What is still open may be health watchers, who never leave by themselves: they get no second grace.
            await self._server.stop(min(grace_seconds, _LAST_ANSWERS_SECONDS))
            self._server = None

    @property
    def options(self) -> list[tuple[str, Any]]:
        """What gRPC's own server is told."""
        return [
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self._max_message_bytes + _TRANSPORT_MARGIN_BYTES),
            ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
            # More than are served at a time, so that one more is told so at once, and does not wait in the client.
            ("grpc.max_concurrent_streams", 4 * self._settings.grpc_max_concurrent),
            ("grpc.max_connection_age_ms", int(self._max_connection_age_seconds * 1000)),
            ("grpc.max_connection_age_grace_ms", int(self._grace_seconds * 1000)),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ]

    @property
    def _grace_seconds(self) -> float:
        """For what is under way on a connection that has become old: a call is not cut off before its own end."""
        return max([_CONNECTION_GRACE_SECONDS, *self._own_caps_seconds.values()])

    def _once_of(self, path: str) -> Once | None:
        if not takes_request_id(self._descriptors[path]):
            return None
        if self._once is None:
            raise ServicerError(f"{path} takes a {REQUEST_ID_FIELD}, and there is nothing that keeps it: give `once`")
        return self._once

    def _add_infrastructure(self, server: grpc.aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        if self._settings.grpc_reflection:
            names = (*self._handlers, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)

    def _bind(self, server: grpc.aio.Server) -> int:
        try:
            port = server.add_secure_port(self._settings.grpc_address, self._credentials())
        except RuntimeError as error:
            raise CannotListen(self._settings.grpc_address, "gRPC", str(error)) from error
        return port

    def _credentials(self) -> grpc.ServerCredentials:
        files = ServerFiles(self._settings)
        certificates.watch("server", files.certificate)
        return grpc.dynamic_ssl_server_credentials(
            files.first(),
            lambda: self._renewed(files),
            require_client_authentication=True,
        )

    def _renewed(self, files: ServerFiles) -> Any:
        """Asked by gRPC, in a thread of its own, before each handshake; None if nothing has changed."""
        self._identity.look()  # so that whoever the handshake lets in is known to the chain as well
        return files.renewed()


class _Collector:
    """Stands in for a server while generated code adds its handlers."""

    def __init__(self) -> None:
        self.handlers: dict[str, Mapping[str, Handler]] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[object]) -> None:
        """Generated code says the same twice; the other one has the names."""

    def add_registered_method_handlers(self, name: str, handlers: Mapping[str, Handler]) -> None:
        """Take the handlers of one service."""
        self.handlers[name] = handlers


def _collect(services: Sequence[Service]) -> dict[str, Mapping[str, Handler]]:
    collector = _Collector()
    for add_to_server, servicer, full_name in services:
        add_to_server(servicer, collector)
        if full_name not in collector.handlers:
            raise ServicerError(f"{add_to_server.__name__} does not add the service {full_name}")
    return collector.handlers


def _descriptors(full_names: Iterable[str]) -> dict[str, MethodDescriptor]:
    pool = descriptor_pool.Default()
    return {_path(name, method.name): method for name in full_names for method in pool.FindServiceByName(name).methods}


def _of_methods(caps_seconds: Mapping[str, float], served: Mapping[str, object]) -> Mapping[str, float]:
    if unknown := sorted(set(caps_seconds) - set(served)):
        raise ServicerError(f"{', '.join(unknown)} has a cap of its own, and is not served")
    return caps_seconds


def _class_of(method: MethodDescriptor) -> type[Message]:
    return message_factory.GetMessageClass(method.input_type)


def only_reads(method: MethodDescriptor) -> bool:
    """Whether the contract says that a method changes nothing."""
    return bool(method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS)


def takes_request_id(method: MethodDescriptor) -> bool:
    """Whether one request of a method carries the id that makes it idempotent."""
    return not method.client_streaming and REQUEST_ID_FIELD in method.input_type.fields_by_name


def methods_of(*full_names: str) -> set[str]:
    """Every method of these services by the contract, as the access table spells it."""
    return set(_descriptors(full_names))


def _path(service: str, method: str) -> str:
    return f"/{service}/{method}"
