"""A valid request of every RPC, and every way in which each of its fields can be wrong; all from the descriptors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import protovalidate
from buf.validate import validate_pb2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from gongji.binding.v1 import application_pb2, authorization_pb2, relation_pb2, review_pb2
from gongji.identity.v1 import access_log_pb2, institution_pb2, person_pb2, register_import_pb2, visit_pb2
from gongji.notify.v1 import contact_pb2, inbox_pb2, webhook_pb2
from gongji.settlement.v1 import account_pb2, premium_pb2, reconciliation_pb2, settlement_pb2

FILES: Final = {
    "identity": (person_pb2, register_import_pb2, institution_pb2, access_log_pb2, visit_pb2),
    "binding": (application_pb2, review_pb2, relation_pb2, authorization_pb2),
    "settlement": (settlement_pb2, account_pb2, premium_pb2, reconciliation_pb2),
    "notify": (inbox_pb2, contact_pb2, webhook_pb2),
}
A_UUID: Final = "0197548e-7a00-7000-8000-000000000001"
A_DAY: Final = "2025-06-10"
DAYS: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
TEXTS: Final = {
    "certno": "110101199003077475",
    "psn_name": "张三",
    "fixmedins_code": "H65270199999",
    "fixmedins_name": "测试医院",
    "msgid": "H65270199999202506101000000001",
    "original_msgid": "H65270199999202506101000000002",
    "insuplc_admdvs": "652701",
    "mdtrt_cert_no": "110101199003077475",
    "card_sn": "A1234567",
    "reason": "测试",
    "insured_psn_no": "65270002",
    "tel": "13900000000",
    "code": "123456",
    "page_token": "",
    "region": "652701",
    "content_sha256": "0" * 64,
    "admdvs_prefix": "6527",
    "month": "2025-06",
    "address": "13900000000",
    "language": "zh-CN",
    "system": "records",
    "url": "https://his.example.com/hooks",
    "owner": "system/records",
    "event_types": "gongji.settlement.events.v1.SettlementCompleted",
    "event_id": "0197548e-7a00-7000-8000-000000000002",
}
NUMBERS: Final = {"year": 2025, "until_minute": 480}
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
NOON_SECONDS: Final = 1_749_520_800
LARGEST: Final = {"int64": 2**63 - 1, "int32": 2**31 - 1}


@dataclass(frozen=True)
class Rpc:
    """One method as the descriptors tell it."""

    service: str
    path: str
    request_type: str
    client_streaming: bool
    server_streaming: bool


def rpcs() -> Iterator[Rpc]:
    """Every RPC of the four services."""
    for service, files in FILES.items():
        for file in files:
            for found in file.DESCRIPTOR.services_by_name.values():
                for method in found.methods:
                    path = f"/{found.full_name}/{method.name}"
                    streams = (method.client_streaming, method.server_streaming)
                    yield Rpc(service, path, method.input_type.full_name, *streams)


def new(full_name: str) -> Message:
    """An empty message of that type."""
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(full_name))()


def valid(full_name: str, choice: int = 0) -> Message:
    """A message that keeps every rule of its contract, with every field set, and of each oneof the choice-th."""
    message = new(full_name)
    _fill(message, choice)
    return message


def choices(full_name: str) -> int:
    """How many members the largest oneof of a message has."""
    oneofs = descriptor_pool.Default().FindMessageTypeByName(full_name).oneofs
    return max((len(oneof.fields) for oneof in oneofs), default=1)


def _fill(message: Message, choice: int) -> None:
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        if oneof is None or oneof.fields[choice % len(oneof.fields)].name == field.name:
            _set(message, field, choice)


def _set(message: Message, field: Any, choice: int) -> None:
    if field.message_type is not None:
        inner = getattr(message, field.name)
        inner = inner.add() if field.is_repeated else inner
        if field.message_type.full_name == "google.protobuf.Timestamp":
            inner.FromJsonString("2025-06-10T02:00:00Z")
        else:
            _fill(inner, choice)
    elif field.is_repeated:
        getattr(message, field.name).append(_scalar(field))
    else:
        setattr(message, field.name, _scalar(field))


def _scalar(field: Any) -> object:
    if field.enum_type is not None:
        refused = {0, *_rules(field).enum.not_in}
        return next(value.number for value in field.enum_type.values if value.number not in refused)
    if field.type == field.TYPE_BYTES:
        return b"%PDF-1.4"
    if field.type == field.TYPE_STRING:
        rules = _rules(field).repeated.items.string if field.is_repeated else _rules(field).string
        return A_UUID if rules.uuid else A_DAY if DAYS in rules.pattern else _text(field.name)
    return {field.TYPE_BOOL: True}.get(field.type, NUMBERS.get(field.name, 60))


def _text(name: str) -> str:
    if name in TEXTS:
        return TEXTS[name]
    if name.endswith(("_from", "_to", "_on", "day")) or name == "brdy":
        return "2025-06-10"
    if name == "admdvs":
        return "652700"
    return "65270001"


def _rules(field: Any) -> validate_pb2.FieldRules:
    rules: validate_pb2.FieldRules = field.GetOptions().Extensions[validate_pb2.field]
    return rules


@dataclass(frozen=True)
class Wrong:
    """A request that is wrong in one place."""

    what: str
    path: str
    raw: bytes


def wrong_requests(full_name: str) -> Iterator[Wrong]:
    """Every way in which one field of a valid request can be wrong."""
    for choice in range(choices(full_name)):
        message = valid(full_name, choice)
        yield from _wrong_fields(message, "", lambda raw: raw)
        yield from _missing(message, message.DESCRIPTOR)


def _missing(message: Message, descriptor: Any) -> Iterator[Wrong]:
    """The fields without which the contract refuses the request, each left out."""
    for field in descriptor.fields:
        if _is_set(message, field):
            rest = type(message).FromString(_without(message, field))
            violations = protovalidate.collect_violations(rest)
            if any(_names(violation, field.name) for violation in violations):
                yield Wrong("missing", field.name, rest.SerializeToString())


def _names(violation: protovalidate.Violation, name: str) -> bool:
    path = violation.proto.field
    return path is not None and bool(path.elements) and path.elements[0].field_name == name


def _wrong_fields(message: Message, prefix: str, wrap: Callable[[bytes], bytes]) -> Iterator[Wrong]:
    for field in message.DESCRIPTOR.fields:
        path = f"{prefix}{field.name}" + ("[0]" if field.is_repeated and field.message_type is not None else "")
        if not _is_set(message, field):
            continue
        for what, raw in _wrong_values(field):
            yield Wrong(what, path, wrap(_without(message, field) + raw))
        if field.message_type is not None and field.message_type.full_name.startswith("gongji."):
            value = getattr(message, field.name)
            inner = value[0] if field.is_repeated else value
            yield from _wrong_fields(inner, f"{path}.", _wrapper(message, field, wrap))


def _is_set(message: Message, field: Any) -> bool:
    return any(present.name == field.name for present, _ in message.ListFields())


def _wrapper(message: Message, field: Any, wrap: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    rest = _without(message, field)
    return lambda inner: wrap(rest + delimited(field.number, inner))


def _without(message: Message, field: Any) -> bytes:
    copy = type(message)()
    copy.CopyFrom(message)
    copy.ClearField(field.name)
    return copy.SerializeToString()


def _wrong_values(field: Any) -> Iterator[tuple[str, bytes]]:
    number = field.number
    if field.type in (field.TYPE_STRING, field.TYPE_BYTES):
        yield "wrong type", varint(number, 7)
        yield "oversized", delimited(number, b"x" * 70_000)
        if field.type == field.TYPE_STRING:
            yield "wrong encoding", delimited(number, b"\xff\xfe\xfa")
            yield "no text", delimited(number, b"a\0b")
    elif field.message_type is not None:
        yield "wrong type", varint(number, 7)
        yield "cut short", delimited(number, b"\x0a\xff")
        if field.message_type.full_name == "google.protobuf.Timestamp" and not field.is_repeated:
            yield "nanos below 0", delimited(number, varint(1, NOON_SECONDS) + varint(2, 2**64 - 5))
            yield "nanos of a second and more", delimited(number, varint(1, NOON_SECONDS) + varint(2, 1_000_000_000))
            yield "beyond year 9999", delimited(number, varint(1, 2**40))
    elif field.enum_type is not None:
        yield "unknown enum", varint(number, 987_654)
        yield "wrong type", fixed32(number, 1)
    elif field.type == field.TYPE_BOOL:
        yield "wrong type", delimited(number, b"yes")
    else:
        kind = "int64" if field.type == field.TYPE_INT64 else "int32"
        yield "negative", varint(number, 2**64 - 1)
        yield "overflow", varint(number, LARGEST[kind])
        yield "wrong type", delimited(number, b"100")


def _tag(number: int, kind: int) -> bytes:
    return _number(number << 3 | kind)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint(number: int, value: int) -> bytes:
    """A varint field."""
    return _tag(number, VARINT) + _number(value)


def delimited(number: int, value: bytes) -> bytes:
    """A length-delimited field."""
    return _tag(number, DELIMITED) + _number(len(value)) + value


def fixed32(number: int, value: int) -> bytes:
    """A field of 32 bits."""
    return _tag(number, FIXED32) + value.to_bytes(4, "little")
