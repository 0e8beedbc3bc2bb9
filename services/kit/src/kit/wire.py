"""Finds the place in a message's bytes that does not fit its contract; asked when something is known to be wrong."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from kit.errors import FieldViolation

_VARINT, _FIXED64, _DELIMITED, _START_GROUP, _END_GROUP, _FIXED32 = range(6)
_KIND_NAMES = {_VARINT: "varint", _FIXED64: "64 bits", _DELIMITED: "length-delimited", _FIXED32: "32 bits"}
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_TYPES_64 = {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_SFIXED64}
_TYPES_32 = {FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_FIXED32, FieldDescriptor.TYPE_SFIXED32}
_TYPES_DELIMITED = {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_MESSAGE}
_VARINT_BYTES = 10
_TIMESTAMP = "google.protobuf.Timestamp"
_NANOS = 1_000_000_000
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_DEEPEST = 100


class _Damage(Exception):
    def __init__(self, path: str, description: str) -> None:
        super().__init__(description)
        self.violation = FieldViolation(path, description)


def misread(message: Message) -> bool:
    """Whether a field of the contract came with another wire type than its own.

    Protobuf takes such a field for an unknown one and goes on as if it had not been sent, which is the last thing that
    a caller who sent an amount wants. Fields of newer contracts, whose numbers are free here, are no concern.
    """
    return _has_unknown(message) and _misread(message)


def _has_unknown(message: Message) -> bool:
    """Whether there is a field, however deep, that the contract does not know in this form. Costs no walk in Python."""
    known = type(message)()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    return known.ByteSize() != message.ByteSize()


def _misread(message: Message) -> bool:
    descriptor = message.DESCRIPTOR
    unknown: Any = UnknownFieldSet(message)  # the stubs do not know that it can be iterated
    if len(unknown) and any(field.field_number in descriptor.fields_by_number for field in unknown):
        return True
    return any(_misread(inner) for inner in _inner_messages(message))


def _inner_messages(message: Message) -> Iterator[Message]:
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if not field.is_repeated:
            yield value
        elif field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                yield from value.values()
        else:
            yield from value


def nul(message: Message, prefix: str = "") -> FieldViolation | None:
    """The first text that has the character U+0000, or None: PostgreSQL keeps no such text, so nobody may send it."""
    for path, value in _values(message, prefix):
        if isinstance(value, str) and "\0" in value:
            return FieldViolation(path, "has the character U+0000")
        if isinstance(value, Message) and (found := nul(value, f"{path}.")):
            return found
    return None


def has_times(descriptor: Any) -> bool:
    """Whether messages of this type can hold a Timestamp, however deep."""
    return _has_times(descriptor, set())


def _has_times(descriptor: Any, seen: set[str]) -> bool:
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    return descriptor.full_name == _TIMESTAMP or any(
        field.message_type is not None and _has_times(field.message_type, seen) for field in descriptor.fields
    )


def no_moment(message: Message) -> FieldViolation | None:
    """The first Timestamp that is no moment, or None: rules compare its seconds, and its nanos can be anything."""
    return _no_moment(message, "") if _has_no_moment(message) else None


def _has_no_moment(message: Message) -> bool:
    """Whether there is one, asked of the fields alone that lead to a Timestamp: a third of the price of a path."""
    if isinstance(message, Timestamp):
        return not 0 <= message.nanos < _NANOS or not _FIRST_SECOND <= message.seconds <= _LAST_SECOND
    for name, is_repeated, is_map in _ways_to_times(message.DESCRIPTOR):
        if is_repeated:
            inner = getattr(message, name)
            if any(map(_has_no_moment, inner.values() if is_map else inner)):
                return True
        elif message.HasField(name) and _has_no_moment(getattr(message, name)):
            return True
    return False


@cache
def _ways_to_times(descriptor: Descriptor) -> tuple[tuple[str, bool, bool], ...]:
    return tuple(
        (field.name, field.is_repeated, field.message_type.GetOptions().map_entry)
        for field in descriptor.fields
        if field.message_type is not None and has_times(field.message_type)
    )


def _no_moment(message: Message, prefix: str) -> FieldViolation | None:
    for path, value in _values(message, prefix):
        if isinstance(value, Timestamp):
            if _has_no_moment(value):
                return FieldViolation(path, "is no moment: from year 1 to 9999, nanos from 0 to 999,999,999")
        elif isinstance(value, Message) and (found := _no_moment(value, f"{path}.")):
            return found
    return None


def _values(message: Message, prefix: str) -> Iterator[tuple[str, object]]:
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        if not field.is_repeated:
            yield path, value
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            # A text key is a value that the caller chose: it is not repeated, as no value is.
            yield from ((f"{path}[…]", part) for pair in value.items() for part in pair)
        else:
            yield from ((f"{path}[{place}]", one) for place, one in enumerate(value))


def damage(raw: bytes, descriptor: Any) -> FieldViolation:
    """The first place in `raw` that does not fit the message `descriptor`, in the words of the contract."""
    try:
        _walk(raw, descriptor, "", 0)
    except _Damage as found:
        return found.violation
    return FieldViolation("", "the bytes are not a message of this contract")


def _walk(raw: bytes, descriptor: Descriptor, prefix: str, depth: int) -> None:
    counts: dict[int, int] = {}
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at, prefix)
        number, kind = tag >> 3, tag & 7
        field = descriptor.fields_by_number.get(number)
        path = _path(prefix, field, number, counts)
        value, at = _value(raw, at, kind, path)
        if field is not None:
            _check(field, kind, value, path, depth)


def _path(prefix: str, field: FieldDescriptor | None, number: int, counts: dict[int, int]) -> str:
    if field is None:
        return f"{prefix}#{number}"
    if not field.is_repeated:
        return f"{prefix}{field.name}"
    index = counts[number] = counts.get(number, -1) + 1
    return f"{prefix}{field.name}[{index}]"


def _check(field: FieldDescriptor, kind: int, value: bytes, path: str, depth: int) -> None:
    expected = _expected(field)
    packed = field.is_repeated and kind == _DELIMITED and expected != _DELIMITED
    if kind != expected and not packed:
        raise _Damage(path, f"was sent as {_KIND_NAMES[kind]}, the contract says {_KIND_NAMES[expected]}")
    if field.type == FieldDescriptor.TYPE_STRING:
        _check_text(value, path)
    elif field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type is not None:
        if depth >= _DEEPEST:
            raise _Damage(path, "is nested too deeply")
        _walk(value, field.message_type, f"{path}.", depth + 1)


def _check_text(value: bytes, path: str) -> None:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        raise _Damage(path, "is not valid UTF-8") from None


def _expected(field: FieldDescriptor) -> int:
    if field.type in _TYPES_DELIMITED:
        return _DELIMITED
    if field.type in _TYPES_64:
        return _FIXED64
    return _FIXED32 if field.type in _TYPES_32 else _VARINT


def _value(raw: bytes, at: int, kind: int, path: str) -> tuple[bytes, int]:
    if kind == _VARINT:
        _, end = _varint(raw, at, path)
        return raw[at:end], end
    if kind == _DELIMITED:
        length, at = _varint(raw, at, path)
    elif kind in _FIXED:
        length = _FIXED[kind]
    else:
        raise _Damage(path, "is not a field of this contract: its wire type is unknown")
    if at + length > len(raw):
        raise _Damage(path, "is cut short")
    return raw[at : at + length], at + length


def _varint(raw: bytes, at: int, path: str) -> tuple[int, int]:
    value = 0
    for place in range(_VARINT_BYTES):
        if at + place >= len(raw):
            raise _Damage(path.rstrip("."), "is cut short")
        byte = raw[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:  # noqa: PLR2004 - the bit that says whether more bytes follow
            return value, at + place + 1
    raise _Damage(path.rstrip("."), "holds a number of more than 64 bits")
