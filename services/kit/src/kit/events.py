"""The one envelope of events: protobuf payload, CloudEvents 1.0 headers in binary mode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import NamedTuple
from uuid import UUID

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from kit.ids import uuid_of
from kit.topics import Catalogue, CatalogueError, catalogue, message_class

SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/protobuf"
MAX_PAYLOAD_BYTES = 256 * 1024
"""More than this is refused when it is written, because a broker would refuse it when nobody can answer any more."""

_OTHER_HEADERS = frozenset({"traceparent", "epoch"})

Headers = list[tuple[str, bytes]]


class UnreadableEventError(Exception):
    """What came from the bus is no event of this platform. The text is fit for a header: it holds no payload."""


class EventTooLargeError(Exception):
    """An event's payload exceeds what may be published."""


@dataclass(frozen=True, slots=True)
class Event:
    """A fact to be told, as a service states it."""

    message: Message
    key: str
    """The aggregate: events of one key keep their order."""
    occurred_at: datetime
    """When it became true, by the injected clock; aware."""
    subject: str = ""
    """What it is about; the key if not given."""
    cause: str = ""
    """By which a batch tells whose request brought it about (`kit.tracing.brings_about`); the key if not given."""

    def __post_init__(self) -> None:
        if not self.subject:
            object.__setattr__(self, "subject", self.key)


class Envelope(NamedTuple):
    """An event as a consumer gets it; a tuple, because one is made for each of the bus's records."""

    id: UUID
    """The same at every publication of the same event."""
    type: str
    source: str
    subject: str
    time: datetime
    sequence: int | None
    traceparent: str | None
    epoch: int
    """Raised by a restore from backup."""
    message: Message
    topic: str
    partition: int
    offset: int
    key: str


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of `outbox_event`: what is published, byte for byte the same each time."""

    id: int
    event_id: UUID
    topic: str
    key: str
    type: str
    source: str
    subject: str
    payload: bytes
    occurred_at: datetime
    sequence: int | None
    traceparent: str | None
    epoch: int


def sequence_of(message: Message) -> int | None:
    """The message's own `sequence`, if it has such a field."""
    return int(getattr(message, "sequence")) if _is_counted(message.DESCRIPTOR) else None  # noqa: B009 - mypy knows no fields here


@cache
def _is_counted(kind: Descriptor) -> bool:
    return "sequence" in kind.fields_by_name


def payload_of(message: Message) -> bytes:
    """The message's bytes, the same for the same content.

    Raises:
        EventTooLargeError: it has more than MAX_PAYLOAD_BYTES.
    """
    payload = message.SerializeToString(deterministic=True)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise EventTooLargeError(
            f"{message.DESCRIPTOR.full_name} has {len(payload)} bytes, {MAX_PAYLOAD_BYTES} may be sent"
        )
    return payload


def headers_of(row: StoredEvent) -> Headers:
    """The Kafka headers of an event."""
    headers = [
        ("ce_specversion", _SPEC_VERSION),
        ("ce_id", str(row.event_id).encode()),
        ("ce_type", _encoded(row.type)),
        ("ce_source", _encoded(row.source)),
        ("ce_subject", row.subject.encode()),
        ("ce_time", row.occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()),
        ("content-type", _CONTENT_TYPE),
        ("epoch", _encoded(str(row.epoch))),
    ]
    if row.sequence is not None:
        headers.append(("ce_sequence", str(row.sequence).encode()))
    if row.traceparent:
        headers.append(("traceparent", row.traceparent.encode()))
    return headers


@lru_cache(maxsize=256)  # names of types and services are few and come with every event
def _encoded(text: str) -> bytes:
    return text.encode()


_SPEC_VERSION, _CONTENT_TYPE = SPEC_VERSION.encode(), CONTENT_TYPE.encode()


def parse(
    headers: Sequence[tuple[str, bytes]],
    value: bytes,
    *,
    key: bytes | None = None,
    topic: str = "",
    partition: int = 0,
    offset: int = 0,
    topics: Catalogue | None = None,
) -> Envelope:
    """The event in a Kafka record.

    Raises:
        UnreadableEventError: a header is missing or malformed, the type is not in the topic's schema, or the payload
            is not of its type.
    """
    known = _texts(headers)
    full_name = _required(known, "ce_type")
    if known.get("ce_specversion") != SPEC_VERSION:
        raise UnreadableEventError("ce_specversion is not 1.0")
    return Envelope(  # in the order of its fields: names would take as long again
        _event_id(_required(known, "ce_id")),
        full_name,
        _required(known, "ce_source"),
        known.get("ce_subject", ""),
        _time(_required(known, "ce_time")),
        _number(known, "ce_sequence"),
        known.get("traceparent"),
        _number(known, "epoch") or 0,
        _message(full_name, value, topic, topics or catalogue()),
        topic,
        partition,
        offset,
        _text("key", key or b""),
    )


def _texts(headers: Sequence[tuple[str, bytes]]) -> dict[str, str]:
    ours = [pair for pair in headers if pair[0][:3] == "ce_" or pair[0] in _OTHER_HEADERS]
    try:
        return {name: value.decode() for name, value in ours}
    except UnicodeDecodeError:
        return {name: _text(name, value) for name, value in ours}  # says which


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise UnreadableEventError(f"{name} is not UTF-8") from None


def _required(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise UnreadableEventError(f"{name} is missing")
    return value


def _event_id(value: str) -> UUID:
    try:
        return uuid_of(value)
    except ValueError:
        raise UnreadableEventError("ce_id is not a UUID") from None


def _time(value: str) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise UnreadableEventError("ce_time is not an RFC 3339 time") from None
    if time.tzinfo is None:
        raise UnreadableEventError("ce_time has no offset")
    return time.astimezone(UTC)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise UnreadableEventError(f"{name} is not a number")
    return int(value)


def _message(full_name: str, value: bytes, topic: str, topics: Catalogue) -> Message:
    try:
        stated = topics.topic_of(full_name)
        if topic and stated.name != topic:
            raise UnreadableEventError(f"ce_type is not in the schema of {topic}")
        return message_class(full_name).FromString(value)
    except CatalogueError:
        raise UnreadableEventError("ce_type is not in the catalogue of topics") from None
    except DecodeError:
        raise UnreadableEventError(f"the payload is no {full_name}") from None
