"""The table in the contract, from an exception to the wire and back."""

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from hypothesis import given, settings
from hypothesis import strategies as st

from gongji.common.v1 import reason_pb2
from kit import errors
from kit.errors import FieldViolation, InvalidFields, Refusal, error_info, reason_of, to_rpc_status, violations_of

BROKEN_INSIDE = status_pb2.Status(
    code=code_pb2.NOT_FOUND,
    message="gone",
    details=[any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")],
).SerializeToString()
CODES = set(code_pb2.Code.values()) - {code_pb2.OK}


class OfTheDomain(Exception):
    def __init__(self, reason: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__("in words")
        self.reason = reason
        self.metadata = metadata or {}


def received(status: status_pb2.Status) -> grpc.aio.AioRpcError:
    sent = rpc_status.to_status(status)
    return grpc.aio.AioRpcError(
        sent.code, grpc.aio.Metadata(), grpc.aio.Metadata(*sent.trailing_metadata), sent.details
    )


def test_every_reason_of_the_contract_has_a_code_and_an_advice() -> None:
    rows = errors.table()
    assert set(rows) == {name.removeprefix("REASON_") for name in reason_pb2.Reason.DESCRIPTOR.values_by_name} - {
        "UNSPECIFIED"
    }
    assert {row.code for row in rows.values()} <= CODES
    assert {row.retry for row in rows.values()} <= {"SAME_ID", "NEW_ID", "NEVER"}


@pytest.mark.parametrize("reason", sorted(errors.table()))
def test_every_reason_arrives_as_it_was_raised(reason: str) -> None:
    for error in (Refusal(reason, "in words", {"window": "day"}), OfTheDomain(reason, {"window": "day"})):
        status = to_rpc_status(error)
        back = received(status)
        assert (status.code, status.message) == (errors.table()[reason].code, "in words")
        assert reason_of(back) == reason
        assert dict(error_info(back).metadata) == {"window": "day"}  # type: ignore[union-attr]


@pytest.mark.parametrize("error", [KeyError("张三"), OfTheDomain("NO_SUCH_REASON"), OfTheDomain("UNSPECIFIED")])
def test_what_the_table_does_not_know_is_internal_with_an_id_and_nothing_from_inside(error: Exception) -> None:
    status = to_rpc_status(error, "e-1")
    info = errors.error_info_in(status)
    assert info is not None
    assert (status.code, info.reason, dict(info.metadata)) == (code_pb2.INTERNAL, "INTERNAL", {"error_id": "e-1"})
    assert "张三" not in str(status)
    assert "in words" not in str(status)


def test_an_exception_of_a_library_with_a_reason_of_its_own_is_internal() -> None:
    error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    assert to_rpc_status(error).code == code_pb2.INTERNAL


texts = st.one_of(st.text(max_size=400), st.integers(0, 400).map(lambda length: "险" * length))


def on_the_wire_bytes(status: status_pb2.Status) -> int:
    return len(quote(status.message)) + len(base64.b64encode(status.SerializeToString()))


@settings(deadline=None)
@given(st.lists(st.builds(FieldViolation, texts, texts), max_size=60), texts)
def test_a_rich_status_always_fits_into_the_metadata_and_agrees_with_itself(
    violations: list[FieldViolation], text: str
) -> None:
    for error in (InvalidFields(violations), Refusal("OVERLOADED", text, {"a": text, "b": text})):
        status = to_rpc_status(error)
        assert on_the_wire_bytes(status) < 7_500
        assert error_info(received(status)) is not None


def test_violations_arrive_with_field_and_description() -> None:
    sent = (FieldViolation("bill.items[2]", "is not positive"), FieldViolation("msgid", "is too short"))
    back = received(to_rpc_status(InvalidFields(sent)))
    assert violations_of(back) == sent
    assert back.details() == "bill.items[2]: is not positive (and 1 more)"
    assert violations_of(received(to_rpc_status(Refusal("OVERLOADED")))) == ()


@pytest.mark.parametrize(
    "details",
    [
        b"no protobuf \xff\xff",
        BROKEN_INSIDE,
        status_pb2.Status(code=code_pb2.ABORTED, message="another").SerializeToString(),
    ],
)
def test_a_peers_broken_details_are_no_reason_and_no_crash(details: bytes) -> None:
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", details))
    error = grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), metadata, "gone")
    assert reason_of(error) is None
    bare = grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), grpc.aio.Metadata(), "gone")
    assert error_info(bare) is None


def test_a_foreign_domain_is_not_our_reason() -> None:
    status = to_rpc_status(Refusal("OVERLOADED"))
    foreign = error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="example.com")
    status.details[0].Pack(foreign)
    assert reason_of(received(status)) is None


def test_every_reason_that_the_kit_raises_is_in_the_table() -> None:
    sources = (Path(errors.__file__).parent).rglob("*.py")
    named = {name for path in sources for name in re.findall(r'Refusal\(\s*"([A-Z_]+)"', path.read_text("utf-8"))}
    assert {"UNAUTHENTICATED", "FORBIDDEN", "OVERLOADED"} <= named <= set(errors.table())
