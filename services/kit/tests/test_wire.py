"""The place of damage in a message's bytes."""

from google.protobuf import struct_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, SourceCodeInfo
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gongji.settlement.v1 import settlement_pb2
from kit import wire

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
