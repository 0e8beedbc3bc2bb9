"""Calls to the services of a local stack, each with a caller, a deadline and, for people, an assertion."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, Self, TypeVar, cast

import grpc
from google.protobuf.message import Message
from grpc import aio

from kit import errors, tracing
from kit.clock import Elapsed
from kit.grpc_client import IdentifyRequests, TlsFiles, secure_channel
from kit.grpc_headers import ASSERTION

TIMEOUT_SECONDS: Final = 10.0
"""What a call gets if the caller names nothing else; the services cap it at 15 s and refuse a call without any."""

# A service that was killed is back within a second; a test must not wait for gRPC's own two minutes.
RECONNECT_OPTIONS: Final = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000))

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class ServiceAddress(Protocol):
    """Where a service listens."""

    @property
    def grpc_address(self) -> str:
        """`host:port`."""


class Addresses(Protocol):
    """What the stack tells about itself."""

    @property
    def services(self) -> Mapping[str, ServiceAddress]:
        """The services by name."""


class StackAccess(Protocol):
    """What a client needs of a stack; `gongji_local.stack.Stack` has it."""

    @property
    def info(self) -> Addresses:
        """Where everything is."""

    def institution_tls(self, fixmedins_code: str) -> TlsFiles:
        """The certificate of an institution."""

    def service_tls(self, name: str) -> TlsFiles:
        """The certificate of a service."""

    def assertion(
        self,
        subject: str,
        *,
        roles: tuple[str, ...],
        audience: str,
        consent: Mapping[str, str] | None = None,
        psn_no: str = "",
    ) -> str:
        """A signed statement about a person behind the portal."""

    def code_of(self, verification_id: str) -> str:
        """The one-time code that went to a telephone; waits for it."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call as an onlooker tells it."""

    caller: str
    """Such as `HIS H65270100001`."""
    service: str
    """Such as `settlement`."""
    method: str
    """Such as `Settle`."""
    seconds: float
    """Until the answer was there."""
    refusal: str | None
    """The reason of the refusal, or the status code where there is none; None when the call was answered."""


OnCall = Callable[[CallRecord], None]


def ignore_call(record: CallRecord) -> None:
    """The onlooker who looks away."""
    del record


def reason_of(error: grpc.RpcError) -> str | None:
    """The vocabulary's name of what a call was refused for, such as `MSGID_REUSED`; None if there was none."""
    return errors.reason_of(error) if isinstance(error, aio.AioRpcError) else None


class Connections:
    """The open channels of one process; use it as `async with Connections(stack) as connections`.

    Args:
        stack: whose services are called, with whose certificates.
        on_call: told of every call that has ended.
    """

    def __init__(self, stack: StackAccess, on_call: OnCall = ignore_call) -> None:
        self.stack = stack
        self.on_call = on_call
        self._channels: dict[tuple[str, str], aio.Channel] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes every channel."""
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            await channel.close()

    def channel(self, service: str, principal: str, tls: Callable[[], TlsFiles]) -> aio.Channel:
        """The channel of `principal` to `service`, opened when it is first asked for.

        A service that is started again has its former address, and the channel finds it by itself.
        """
        if (service, principal) not in self._channels:
            address = self.stack.info.services[service].grpc_address
            self._channels[service, principal] = secure_channel(
                address, tls(), options=RECONNECT_OPTIONS, interceptors=(IdentifyRequests(),)
            )
        return self._channels[service, principal]


class Caller:
    """Somebody who calls services: a certificate and, for people, what the portal says about the person.

    Args:
        connections: the channels to use.
        title: how an onlooker calls this caller.
        principal: `institution/<fixmedins_code>` or `service/<name>`.
        subject: `psn:…` or `clerk:…` of the person behind the portal; empty for a system on its own behalf.
        roles: that person's roles.
        psn_no: a clerk's own person number, where the portal knows it; a person's is in the subject.
        timeout_seconds: the deadline of each call.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        title: str,
        principal: str,
        subject: str = "",
        roles: tuple[str, ...] = (),
        psn_no: str = "",
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._connections = connections
        self.title = title
        self._kind, _, self._name = principal.partition("/")
        self._subject = subject
        self._roles = roles
        self._psn_no = psn_no
        self._timeout_seconds = timeout_seconds

    @property
    def stack(self) -> StackAccess:
        """Whose services are called."""
        return self._connections.stack

    def channel(self, service: str) -> aio.Channel:
        """This caller's channel to a service, for a stub."""
        return self._connections.channel(service, f"{self._kind}/{self._name}", self._tls)

    async def call(
        self,
        method: "aio.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        *,
        timeout_seconds: float | None = None,
        consent: Mapping[str, str] | None = None,
    ) -> Response:
        """Sends one request; the contract's names tell an onlooker which method it is.

        A request that takes a `request_id` and has none gets a new one. A service that is just being started again is
        waited for, within the deadline.

        Raises:
            grpc.aio.AioRpcError: refused, or no answer; `reason_of` tells which.
        """
        timeout_seconds = timeout_seconds or self._timeout_seconds
        metadata = self._metadata(type(request), consent)
        return await self._watched(
            type(request), lambda: method(request, timeout=timeout_seconds, metadata=metadata, wait_for_ready=True)
        )

    async def stream(
        self,
        method: "aio.StreamUnaryMultiCallable[Request, Response]",
        request_type: type[Request],
        requests: AsyncIterator[Request],
    ) -> Response:
        """The same for a stream of requests."""
        metadata = self._metadata(request_type)
        timeout_seconds = self._timeout_seconds
        return await self._watched(
            request_type, lambda: method(requests, timeout=timeout_seconds, metadata=metadata, wait_for_ready=True)
        )

    async def _watched(self, request_type: type[Message], send: "Callable[[], aio.Call]") -> Response:
        elapsed, refusal = Elapsed(), None
        try:
            return await cast("aio.UnaryUnaryCall[Message, Response]", send())
        except aio.AioRpcError as error:
            refusal = reason_of(error) or error.code().name
            raise
        finally:
            method = request_type.DESCRIPTOR.name.removesuffix("Request")
            record = CallRecord(self.title, _service(request_type), method, elapsed.seconds, refusal)
            self._connections.on_call(record)

    def _metadata(
        self, request_type: type[Message], consent: Mapping[str, str] | None = None
    ) -> tuple[tuple[str, str], ...]:
        traceparent = tracing.current()
        trace = ((tracing.HEADER, traceparent),) if traceparent else ()
        if not self._subject:
            return trace
        # A new one for each call: it lives for minutes by the movable clock, and writes may use it once only.
        audience = _service(request_type)
        assertion = self._connections.stack.assertion(
            self._subject, roles=self._roles, audience=audience, consent=consent, psn_no=self._psn_no
        )
        return ((ASSERTION, assertion), *trace)

    def _tls(self) -> TlsFiles:
        stack = self._connections.stack
        return stack.institution_tls(self._name) if self._kind == "institution" else stack.service_tls(self._name)


def _service(request_type: type[Message]) -> str:
    # `gongji.settlement.v1.SettleRequest`: the package names the service, the message its method.
    return request_type.DESCRIPTOR.full_name.split(".")[1]
