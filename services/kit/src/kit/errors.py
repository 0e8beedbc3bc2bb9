"""From an exception to the wire and back: the one table is the enum `gongji.common.v1.Reason` in the contract.

Each value of the enum carries the option `(gongji.common.v1.error)`: the gRPC code that it travels as, and what the
caller does next. Nothing here knows any single business reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, TypeVar, runtime_checkable

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from gongji.common.v1 import reason_pb2
from kit.ids import uuid7

D = TypeVar("D", bound=Message)

DOMAIN = "gongji"
"""The `domain` of every ErrorInfo that this platform sends."""

_PREFIX = "REASON_"
# Trailing metadata beyond 8 KiB is refused by clients' default limits, and then they would see no reason at all. The
# message travels percent-encoded (nine characters for a Chinese one), the details in base64.
MAX_VIOLATIONS = 20
MAX_DETAILS_BYTES = 3000
MAX_TEXT_CHARACTERS = 160


@runtime_checkable
class HasReason(Protocol):
    """An exception of the domain, which knows no library: it only has a name from the vocabulary and some facts."""

    reason: str
    """A name of `gongji.common.v1.Reason` without `REASON_`."""
    metadata: Mapping[str, str]
    """Facts for the caller's program, such as the window of a reached limit; never personal data."""


class Refusal(Exception):
    """The request is understood and refused, for a reason of the vocabulary."""

    def __init__(self, reason: str, message: str = "", metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message or reason)
        self.reason = reason
        self.message = message or reason
        self.metadata: dict[str, str] = dict(metadata or {})


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One thing that is wrong with a request."""

    field: str
    """The path in the request as the contract spells it, such as `items[2].amount_fen`; empty for the whole of it."""
    description: str
    """What is wrong, for the person who writes the client; never the value that was sent."""


class InvalidFields(Exception):
    """The request breaks the contract: every violation at once, as INVALID_ARGUMENT with BadRequest."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(f"{violation.field}: {violation.description}" for violation in self.violations))


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of the error table."""

    reason: str
    code: int
    """A `google.rpc.Code`, which has the numbers of gRPC's status codes."""
    retry: str
    """`SAME_ID`, `NEW_ID` or `NEVER`: how a caller may send it again."""


@cache
def table() -> Mapping[str, TableRow]:
    """The error table as the contract states it, by reason name without `REASON_`."""
    extension = reason_pb2.error
    rows = {}
    for value in reason_pb2.Reason.DESCRIPTOR.values:
        if value.number:
            row = value.GetOptions().Extensions[extension]
            name = value.name.removeprefix(_PREFIX)
            rows[name] = TableRow(name, row.code, reason_pb2.Retry.Name(row.retry).removeprefix("RETRY_"))
    return rows


def to_rpc_status(error: BaseException, error_id: str | None = None) -> status_pb2.Status:
    """What the caller is told about an exception.

    An exception without a reason, or with one that is not in the vocabulary, is `INTERNAL`: the caller gets `error_id`
    (made up if not given), which the log has beside the exception, and nothing from inside.
    """
    if isinstance(error, InvalidFields):
        return _invalid(error)
    row = table().get(error.reason) if isinstance(error, HasReason) else None
    if row is None or not isinstance(error, HasReason):
        return _internal(error_id or uuid7().hex)
    return _status(row, str(error) or row.reason, error.metadata)


def _internal(error_id: str) -> status_pb2.Status:
    message = f"internal error {error_id}; report this id to the operators"
    return _status(table()["INTERNAL"], message, {"error_id": error_id})


def _invalid(error: InvalidFields) -> status_pb2.Status:
    total = len(error.violations)
    first = error.violations[0] if error.violations else FieldViolation("", "breaks the contract")
    rest = f" (and {total - 1} more)" if total > 1 else ""
    message = _clip(f"{first.field or 'request'}: {first.description}", MAX_TEXT_CHARACTERS - len(rest)) + rest
    return _status(table()["INVALID_FIELDS"], message, {"violations": str(total)}, _bad_request(error))


def _bad_request(error: InvalidFields) -> error_details_pb2.BadRequest:
    detail = error_details_pb2.BadRequest()
    for violation in error.violations[:MAX_VIOLATIONS]:
        detail.field_violations.add(field=_clip(violation.field), description=_clip(violation.description))
        if detail.ByteSize() > MAX_DETAILS_BYTES:
            del detail.field_violations[-1]
            break
    return detail


def _status(row: TableRow, message: str, metadata: Mapping[str, str], *details: Message) -> status_pb2.Status:
    facts = {key: _clip(value) for key, value in metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=row.reason, domain=DOMAIN, metadata=facts)
    return status_pb2.Status(
        code=row.code, message=_clip(message), details=[_packed(detail) for detail in (info, *details)]
    )


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _clip(text: str, limit: int = MAX_TEXT_CHARACTERS) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def error_info(rpc_error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    """The ErrorInfo of this platform in an error that a call ended with, or None if there is none to be read."""
    status = _rich_status(rpc_error)
    return error_info_in(status) if status else None


def error_info_in(status: status_pb2.Status) -> error_details_pb2.ErrorInfo | None:
    """The ErrorInfo of this platform in a rich status, or None."""
    found = _details(status, error_details_pb2.ErrorInfo)
    return next((info for info in found if info.domain == DOMAIN), None)


def violations_of(rpc_error: grpc.aio.AioRpcError) -> tuple[FieldViolation, ...]:
    """The field violations in an error that a call ended with; empty if it has none."""
    status = _rich_status(rpc_error)
    found = _details(status, error_details_pb2.BadRequest) if status else []
    return tuple(FieldViolation(one.field, one.description) for bad in found for one in bad.field_violations)


def reason_of(rpc_error: grpc.aio.AioRpcError) -> str | None:
    """The reason's name in an error that a call ended with, or None if the other side gave none."""
    info = error_info(rpc_error)
    return info.reason if info else None


def _rich_status(rpc_error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    # What a peer or a proxy on the way sends may be inconsistent or no protobuf at all; then there is no rich status.
    try:
        status: status_pb2.Status | None = rpc_status.from_call(rpc_error)  # type: ignore[arg-type]
    except (ValueError, KeyError, DecodeError):
        return None
    return status


def _details(status: status_pb2.Status, kind: type[D]) -> list[D]:
    found = []
    for detail in status.details:
        message = kind()
        try:
            if detail.Unpack(message):
                found.append(message)
        except DecodeError:
            continue
    return found


def code_name(status: status_pb2.Status) -> str:
    """The code's name, such as `INVALID_ARGUMENT`."""
    name: str = code_pb2.Code.Name(status.code)
    return name
