"""Calls to other services: TLS both ways, a deadline always, retries only where a repeat is harmless."""

import json
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc

from kit import tracing
from kit.auth.call import current_or_none
from kit.grpc_certificates import ClientFiles
from kit.grpc_channel import FollowingChannel
from kit.grpc_headers import ASSERTION, REQUEST_ID
from kit.ids import uuid7
from kit.requests import FIELD as REQUEST_ID_FIELD

Req_contra = TypeVar("Req_contra", contravariant=True)
Res_co = TypeVar("Res_co", covariant=True)

_ATTEMPTS = 3
_RECONNECT_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    # gRPC's own two minutes would leave a replica that is back without work; and when the others are replaced in their
    # turn, the caller must know this one again.
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A name is asked for again when a connection ends; not only after the half minute in which a roll-out may be over.
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
)
_ADDRESS_LISTS = ("ipv4:", "ipv6:")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a caller shows and whom it believes, as PEM files."""

    cert: Path
    key: Path
    ca: Path
    """The CA that vouches for servers."""


class UnaryMethod(Protocol[Req_contra, Res_co]):
    """A method of a generated stub with one answer."""

    def __call__(
        self, request: Req_contra, /, *, timeout: float, metadata: Sequence[tuple[str, str]]
    ) -> Awaitable[Res_co]:
        """Start the call."""
        ...


def secure_channel(
    target: str,
    tls: TlsFiles,
    ca: Path | None = None,
    *,
    server_name: str | None = None,
    idempotent: Sequence[str] = (),
    options: Sequence[tuple[str, Any]] = (),
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    """A channel to `target`, such as `127.0.0.1:7102` or `dns:///binding:7102`, over all addresses that this means.

    A server that says of itself that it does not serve is passed over from that moment on, while it still answers what
    it was asked: so none of our calls meets a server that stops. The files may be replaced at any time: calls that
    begin afterwards show and believe what they say then (`kit.followed`).

    Args:
        target: where to; several addresses that no name stands for are `ipv4:10.0.0.1:7102,10.0.0.2:7102`, whose
            certificates must all have the first one's address, or `server_name`.
        tls: our certificate and whom we believe.
        ca: believe this CA instead of `tls.ca`.
        server_name: the DNS name that the server's certificate must have, if it is not the target's host.
        idempotent: methods (`/package.Service/Method`) or services (`/package.Service/`) that are tried again on
            UNAVAILABLE, at most 3 times in all and within the call's deadline. All others are never repeated.
        options: further channel options of gRPC.
        interceptors: what calls pass through, such as `IdentifyRequests`.
    """
    chosen: list[tuple[str, Any]] = [
        ("grpc.service_config", _service_config(idempotent)),
        ("grpc.enable_retries", int(bool(idempotent))),
        # Not below the server's minimum of 10 s, or it answers GOAWAY.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        *_RECONNECT_OPTIONS,
        *options,
    ]
    if name := server_name or _name_in_list(target):
        chosen.append(("grpc.ssl_target_name_override", name))

    def opened(credentials: grpc.ChannelCredentials) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(target, credentials, options=chosen, interceptors=interceptors)

    return FollowingChannel(ClientFiles(tls.cert, tls.key, ca or tls.ca), opened)


class IdentifyRequests(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives each request that takes a `request_id` and has none a new one; a repeat of the object keeps it."""

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """See gRPC."""
        if REQUEST_ID_FIELD in request.DESCRIPTOR.fields_by_name and not getattr(request, REQUEST_ID_FIELD):
            setattr(request, REQUEST_ID_FIELD, str(uuid7()))
        return await continuation(client_call_details, request)


def _name_in_list(target: str) -> str:
    """What the certificates of a list of addresses are held to: gRPC would look for the whole list in them."""
    if not target.startswith(_ADDRESS_LISTS):
        return ""
    first = target.partition(":")[2].partition(",")[0]
    return first.rpartition(":")[0].strip("[]")


def _service_config(idempotent: Sequence[str]) -> str:
    config: dict[str, Any] = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": ""},
    }
    if idempotent:
        retry = {
            "maxAttempts": _ATTEMPTS,
            "initialBackoff": "0.05s",
            "maxBackoff": "1s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        config["methodConfig"] = [{"name": [_name(path) for path in idempotent], "retryPolicy": retry}]
    return json.dumps(config)


def _name(path: str) -> dict[str, str]:
    service, _, method = path.removeprefix("/").partition("/")
    return {"service": service, "method": method} if method else {"service": service}


async def call(
    method: UnaryMethod[Req_contra, Res_co],
    request: Req_contra,
    timeout_seconds: float,
    metadata: Sequence[tuple[str, str]] = (),
    *,
    assertion: str | None = None,
) -> Res_co:
    """Call `method` with a deadline, handing on the request id and the trace of the call that is being served.

    Within a served call the deadline is never later than that call's own.

    Raises:
        grpc.aio.AioRpcError: the call failed; `kit.errors.reason_of` tells why.
    """
    served = current_or_none()
    headers = dict(metadata)
    if served is not None:
        timeout_seconds = min(timeout_seconds, served.deadline.remaining_seconds)
        headers.setdefault(REQUEST_ID, served.request_id)
    if (traceparent := tracing.current()) is not None:
        headers.setdefault(tracing.HEADER, traceparent)
    if assertion is not None:
        headers[ASSERTION] = assertion
    return await method(request, timeout=timeout_seconds, metadata=tuple(headers.items()))
