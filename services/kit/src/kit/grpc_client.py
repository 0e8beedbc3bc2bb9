"""Calls to other services: TLS both ways, a deadline always, retries only where a repeat is harmless."""

import json
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc

from kit import tracing
from kit.auth.call import current_or_none
from kit.grpc_headers import ASSERTION, REQUEST_ID
from kit.ids import uuid7
from kit.requests import FIELD as REQUEST_ID_FIELD

Req_contra = TypeVar("Req_contra", contravariant=True)
Res_co = TypeVar("Res_co", covariant=True)

_ATTEMPTS = 3


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
    """A channel to `target`, such as `127.0.0.1:7102` or `dns:///binding:7102`.

    Args:
        target: where to.
        tls: our certificate and whom we believe.
        ca: believe this CA instead of `tls.ca`.
        server_name: the DNS name that the server's certificate must have, if it is not the target's host.
        idempotent: methods (`/package.Service/Method`) or services (`/package.Service/`) that are tried again on
            UNAVAILABLE, at most 3 times in all and within the call's deadline. All others are never repeated.
        options: further channel options of gRPC.
        interceptors: what calls pass through, such as `IdentifyRequests`.
    """
    credentials = grpc.ssl_channel_credentials(
        (ca or tls.ca).read_bytes(), private_key=tls.key.read_bytes(), certificate_chain=tls.cert.read_bytes()
    )
    chosen: list[tuple[str, Any]] = [
        ("grpc.service_config", _service_config(idempotent)),
        ("grpc.enable_retries", int(bool(idempotent))),
        # Not below the server's minimum of 10 s, or it answers GOAWAY.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        *options,
    ]
    if server_name is not None:
        chosen.append(("grpc.ssl_target_name_override", server_name))
    return grpc.aio.secure_channel(target, credentials, options=chosen, interceptors=interceptors)


class IdentifyRequests(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives each request that takes a `request_id` and has none a new one; a repeat of the object keeps it."""

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """See gRPC."""
        if REQUEST_ID_FIELD in request.DESCRIPTOR.fields_by_name and not getattr(request, REQUEST_ID_FIELD):
            setattr(request, REQUEST_ID_FIELD, str(uuid7()))
        return await continuation(client_call_details, request)


def _service_config(idempotent: Sequence[str]) -> str:
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
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
