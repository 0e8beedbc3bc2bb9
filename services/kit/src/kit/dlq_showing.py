"""Dead letters as an operator may see them: what they are about, without personal data.

Of an event's texts only identifiers are shown; all others are masked unless this module knows them to be harmless, so a
field that is new is masked, too. A psn_no is shown by its last four digits.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from kit.dead_letters import StoredRecord
from kit.dlq_letters import Letter
from kit.dlq_replay import Found, ending
from kit.events import Envelope, UnreadableEventError, parse
from kit.redaction import MASK, scrub
from kit.topics import Catalogue

_HARMLESS: Final = re.compile(
    r"(?:\w+_)?id|fixmedins_code|msgid|replaces|replaced_by|algorithm|valid_from|valid_to|ended_from"
)
_HARMLESS_VALUE: Final = re.compile(r"[\w.:/+-]{0,100}", re.ASCII)
_PSN_NO: Final = re.compile(r"(?:\w+_)?psn_no")
_TAIL: Final = 4
_TIME: Final = "google.protobuf.Timestamp"


def lines_of(found: Sequence[Found], now: datetime) -> Iterator[str]:
    """A table of letters, the widest text of a column deciding its width."""
    rows: list[tuple[str, ...]] = [("OFFSET", "AGE", "EVENT", "TYPE", "CONSUMER", "TRIES", "ERROR", "STATE")]
    rows += [_row(one.letter, one, now) for one in found]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _row(letter: Letter, found: Found, now: datetime) -> tuple[str, ...]:
    return (
        str(letter.place),
        age_of(now - letter.written_at),
        str(letter.event_id or "-"),
        letter.event_type.rpartition(".")[2] or "-",
        printable(letter.consumer) or "-",
        str(letter.replays + 1),
        printable(letter.error) or "-",
        found.end.deed.action.lower().replace("_", " ") if found.end else "open",
    )


def age_of(age: timedelta) -> str:
    """How long ago, in the largest unit that says something."""
    seconds = max(0, int(age.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def details_of(found: Found, now: datetime, topics: Catalogue | None = None) -> Iterator[str]:
    """Everything about one letter that may be shown."""
    letter, origin = found.letter, found.letter.origin
    yield f"letter    {letter.dlq} {letter.place}, buried {age_of(now - letter.written_at)} ago"
    yield f"state     {ending(found.end) if found.end else 'open'}"
    yield f"consumer  {printable(letter.consumer) or '-'}, replayed {letter.replays} times"
    yield f"error     {printable(letter.error)}: {printable(letter.why)}"
    yield f"origin    {printable(origin.topic)}, partition {origin.partition}, offset {origin.offset}"
    yield f"key       {_named(_decoded(origin.key))}"
    yield from _event_lines(letter, origin, topics)


def _event_lines(letter: Letter, origin: StoredRecord, topics: Catalogue | None) -> Iterator[str]:
    try:
        envelope = _envelope(origin, topics)
    except UnreadableEventError as error:
        yield f"event     {letter.event_id or '-'} {letter.event_type or '-'}"
        yield f"payload   {len(origin.value or b'')} bytes that cannot be read: {error}"
        return
    sequence = "" if envelope.sequence is None else f", sequence {envelope.sequence}"
    yield f"event     {envelope.id} {envelope.type}"
    yield f"          of {envelope.time:%Y-%m-%d %H:%M:%S}Z{sequence}, epoch {envelope.epoch}"
    yield f"          from {printable(envelope.source)} about {_named(envelope.subject)}"
    yield "payload"
    yield from (f"  {line}" for line in _fields(envelope.message))


def _envelope(origin: StoredRecord, topics: Catalogue | None) -> Envelope:
    return parse(origin.headers, origin.value or b"", key=origin.key, topic=origin.topic, topics=topics)


def _fields(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        if isinstance(value, Mapping):
            yield f"{field.name}: <{len(value)} entries>"
        elif field.is_repeated:
            for place, each in enumerate(value):
                yield from _field(f"{field.name}[{place}]", field, each)
        else:
            yield from _field(field.name, field, value)


def _field(label: str, field: FieldDescriptor, value: Any) -> Iterator[str]:
    if field.type != FieldDescriptor.TYPE_MESSAGE:
        yield f"{label}: {_scalar(field, value)}"
    elif value.DESCRIPTOR.full_name == _TIME:
        yield f"{label}: {value.ToJsonString()}"
    else:
        yield f"{label}:"
        yield from (f"  {line}" for line in _fields(value))


def _scalar(field: FieldDescriptor, value: Any) -> str:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return f"<{len(value)} bytes>"
    if field.type == FieldDescriptor.TYPE_ENUM:
        known = field.enum_type.values_by_number.get(value) if field.enum_type else None
        return known.name if known else str(value)
    return _text(field.name, value) if field.type == FieldDescriptor.TYPE_STRING else str(value)


def _text(name: str, value: str) -> str:
    if _PSN_NO.fullmatch(name):
        return _tail(value)
    if _HARMLESS.fullmatch(name) and _HARMLESS_VALUE.fullmatch(value):
        return scrub(value)
    return MASK


def _named(text: str) -> str:
    """A key or subject: ids are shown, anything else may be a person."""
    try:
        return str(UUID(text))
    except ValueError:
        return _tail(text)


def _tail(text: str) -> str:
    """The last digits alone; of a text that is hardly longer, nothing."""
    return f"{MASK}{text[-_TAIL:]}" if len(text) >= 2 * _TAIL and text.isascii() and text.isalnum() else MASK


def _decoded(key: bytes | None) -> str:
    return (key or b"").decode(errors="replace")


def printable(text: str) -> str:
    """The text in one line without what a terminal would obey, and without identity numbers."""
    return scrub("".join(character if character.isprintable() else "�" for character in text))
