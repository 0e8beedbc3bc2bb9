"""The place of damage in a message's bytes."""

from typing import Any

import pytest
from google.protobuf import descriptor_pool, message_factory, struct_pb2, text_format
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, SourceCodeInfo
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BytesValue
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gongji.binding.v1 import authorization_pb2
from gongji.settlement.v1 import settlement_pb2
from kit import wire
from kit.errors import FieldViolation, InvalidFields
from kit.validation import Reader

Location = SourceCodeInfo.Location
Settle = settlement_pb2.SettleRequest


def test_packed_numbers_are_as_good_as_single_ones() -> None:
    packed, single = b"\x0a\x02\x01\x02", b"\x08\x01\x08\x02"
    for raw in (packed, single):
        assert list(Location.FromString(raw).path) == [1, 2]
        assert wire.damage(raw + b"\x1a\x05x", Location.DESCRIPTOR).field == "leading_comments"


def test_the_path_leads_through_nested_and_repeated_messages() -> None:
    inner = DescriptorProto(name="x").SerializeToString() + b"\x0a\x02\xff\xff"
    raw = DescriptorProto(nested_type=[DescriptorProto(name="fine")]).SerializeToString()
    raw += b"\x1a" + bytes([len(inner)]) + inner
    assert wire.damage(raw, DescriptorProto.DESCRIPTOR).field == "nested_type[1].name"


def test_a_misread_field_is_found_wherever_it_stands() -> None:
    fine = struct_pb2.Struct(fields={"a": struct_pb2.Value(list_value=struct_pb2.ListValue(values=[]))})
    assert not wire.misread(fine)
    deep = struct_pb2.ListValue.FromString(b"\x0a\x02\x18\x05")  # string_value, field 3, sent as a varint
    assert wire.misread(deep)
    fine.fields["a"].list_value.CopyFrom(deep)
    assert wire.misread(fine)


def test_a_text_with_a_nul_is_found_wherever_it_stands() -> None:
    fine = DescriptorProto(name="x", nested_type=[DescriptorProto(name="y")], reserved_name=["a", "b"])
    assert wire.nul(fine) is None
    nested = DescriptorProto(nested_type=[fine, DescriptorProto(reserved_name=["a", "b\0"])])
    assert wire.nul(nested) == FieldViolation("nested_type[1].reserved_name[1]", "has the character U+0000")
    for value in (struct_pb2.Value(string_value="\0"), struct_pb2.Value(number_value=0)):
        found = wire.nul(struct_pb2.Struct(fields={"key": value}))
        assert (found.field if found else None) == ("fields[…].string_value" if value.string_value else None)
    assert wire.nul(struct_pb2.Struct(fields={"\0": struct_pb2.Value()})) is not None


def test_a_request_with_a_nul_is_refused_with_its_field_and_bytes_may_have_one() -> None:
    read = Reader(settlement_pb2.ReverseRequest, 4096)
    usual = {"fixmedins_code": "H65270100001", "msgid": "H" + "1" * 29, "original_msgid": "H" + "2" * 29}
    assert read(settlement_pb2.ReverseRequest(**usual, reason="wrong bill").SerializeToString()).reason == "wrong bill"
    with pytest.raises(InvalidFields) as refused:
        read(settlement_pb2.ReverseRequest(**usual, reason="wrong\0bill").SerializeToString())
    assert [violation.field for violation in refused.value.violations] == ["reason"]
    file = BytesValue(value=b"a\0b")
    assert Reader(BytesValue, 4096)(file.SerializeToString()) == file


def test_nesting_without_end_is_damage_and_not_a_crash() -> None:
    raw = b""
    for _ in range(5000):
        length, size = len(raw), b""
        while length > 127:
            size, length = size + bytes([length & 127 | 128]), length >> 7
        raw = b"\x1a" + size + bytes([length]) + raw
    assert wire.damage(raw, DescriptorProto.DESCRIPTOR).description == "is nested too deeply"


@settings(deadline=None)
@given(st.binary(max_size=60))
@example(b"\x0a")
@example(b"\x0b\x0c")
@example(b"\x00")
def test_whatever_cannot_be_read_gets_one_violation(raw: bytes) -> None:
    try:
        message = Settle.FromString(raw)
    except DecodeError:
        assert wire.damage(raw, Settle.DESCRIPTOR).description
    else:
        assert wire.misread(message) in {True, False}


@settings(deadline=None)
@given(st.data(), st.integers(0, 255))
def test_a_byte_changed_on_the_way_never_breaks_the_reader(data: st.DataObject, byte: int) -> None:
    sound = Settle(fixmedins_code="H65270100001", msgid="H" + "1" * 29, visit_credential="好" * 9).SerializeToString()
    place = data.draw(st.integers(0, len(sound) - 1))
    raw = sound[:place] + bytes([byte]) + sound[place + 1 :]
    try:
        message = Settle.FromString(raw)
    except DecodeError:
        assert wire.damage(raw, Settle.DESCRIPTOR).description != ""
    else:
        if wire.misread(message):
            assert wire.damage(raw, Settle.DESCRIPTOR).field != ""


@pytest.mark.parametrize(
    ("seconds", "nanos", "is_one"),
    [
        (1_749_520_800, 999_999_999, True),
        (1_749_520_800, 1_000_000_000, False),
        (1_749_520_800, -1, False),
        (-62_135_596_800, 0, True),
        (-62_135_596_801, 0, False),
        (253_402_300_799, 0, True),
        (253_402_300_800, 0, False),
    ],
)
def test_a_time_that_is_no_moment_is_found_wherever_it_stands(seconds: int, nanos: int, *, is_one: bool) -> None:
    outcome = authorization_pb2.Outcome(occurred_at=Timestamp(seconds=seconds, nanos=nanos))
    asked = authorization_pb2.AuthorizationRequest(outcomes=[authorization_pb2.Outcome(), outcome])
    found = wire.no_moment(authorization_pb2.AuthorizeRequest(requests=[asked]))
    assert (found.field if found else None) == (None if is_one else "requests[0].outcomes[1].occurred_at")


def test_a_time_is_found_in_a_map_and_in_a_message_that_contains_its_own_kind() -> None:
    file = FileDescriptorProto(
        name="made_for_this_test.proto", package="made", syntax="proto3", dependency=["google/protobuf/timestamp.proto"]
    )
    text_format.Parse(
        """
        message_type {
          name: "Node"
          field { name: "times" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".made.Node.TimesEntry" }
          field { name: "next" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".made.Node" }
          nested_type {
            name: "TimesEntry" options { map_entry: true }
            field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
            field {
              name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp"
            }
          }
        }
        """,
        file,
    )
    pool: Any = descriptor_pool.Default()
    pool.Add(file)
    node: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("made.Node"))
    assert wire.no_moment(node(times={"a": {"seconds": 1}}, next={})) is None
    found = wire.no_moment(node(next={"times": {"a": {"nanos": -1}}}))
    assert found is not None
    assert found.field == "next.times[…]"


def test_only_what_can_hold_a_time_is_searched_for_one() -> None:
    assert wire.has_times(authorization_pb2.AuthorizeRequest.DESCRIPTOR)
    assert not wire.has_times(settlement_pb2.ReverseRequest.DESCRIPTOR)
    assert not wire.has_times(struct_pb2.Struct.DESCRIPTOR)  # which contains itself
