"""What no log may hold: every identity number, name, telephone, token and proof that went over the wire in a session.

`watched()` sees each message that a channel of this process sends or receives, and each assertion that is made;
`Unlogged.found_in` reads the logs for them afterwards.
"""

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf.message import Message

from gongji_local.keys import Keys

FIELDS: Final = frozenset(
    {
        *("psn_name", "holder_name", "certno", "mdtrt_cert_no", "tel", "address"),
        *("visit_credential", "voucher", "card_sn", "secret"),
    }
)
"""Fields of the contracts whose text is about a person or opens something."""
PROOFS: Final = frozenset({"gongji.binding.v1.UploadProofRequest", "gongji.binding.v1.DownloadProofResponse"})
"""Messages whose `chunk` is of somebody's document."""
SHORTEST: Final = 11
"""Of what is written in ASCII; shorter things, such as a day, stand in logs by chance."""
_HAN: Final = re.compile(r"[㐀-鿿·]{2,}")
_WORD: Final = re.compile(r"[A-Za-z0-9_.+/=@-]{11,}")
_DIGITS: Final = re.compile(r"\d{11,18}[Xx]?")
_EXCERPT_BYTES: Final = 24
_SHOWN: Final = 4


class Unlogged:
    """What was seen, and where it was found."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._documents: set[bytes] = set()

    def add(self, what: str, text: str) -> None:
        """Remember a text, and what it is."""
        if _HAN.fullmatch(text):
            self._names[text] = what
        elif len(text) >= SHORTEST and "*" not in text:
            self._words[text] = what

    def add_document(self, content: bytes) -> None:
        """Remember a part of a proof from its middle: how files of a kind begin is no secret."""
        middle = len(content) // 2
        if len(excerpt := content[middle : middle + _EXCERPT_BYTES]) == _EXCERPT_BYTES:
            self._documents.add(excerpt)

    def see(self, message: Any) -> None:
        """Remember what of a message may be in no log."""
        if not isinstance(message, Message):
            return
        for field, value in message.ListFields():
            if field.name == "chunk" and message.DESCRIPTOR.full_name in PROOFS:
                self.add_document(value)
            elif field.type == field.TYPE_MESSAGE:
                for each in value if field.is_repeated and not _is_map(field) else (value,):
                    self.see(each)
            elif field.name in FIELDS:
                for each in value if field.is_repeated else (value,):
                    self.add(field.name, each)

    @property
    def kinds(self) -> set[str]:
        """What kinds of things were seen."""
        return {*self._words.values(), *self._names.values(), *({"document"} if self._documents else ())}

    def found_in(self, folder: Path) -> list[str]:
        """Which log has what, without showing it whole."""
        return [f"{path.name}: {what}" for path in sorted(folder.glob("*")) for what in self._found(path)]

    def _found(self, path: Path) -> list[str]:
        raw = path.read_bytes()
        text = raw.decode(errors="replace")
        numbers = _DIGITS.findall(text)  # a telephone's may be behind a country's
        words = {*_WORD.findall(text), *numbers, *(number[-SHORTEST:] for number in numbers)}
        told = {f"{self._words[word]} {word[:_SHOWN]}…" for word in words & self._words.keys()}
        told |= {f"{what} {name[0]}…" for name, what in self._names.items() if name in text or _escaped(name) in text}
        told |= {f"document {part[:_SHOWN]!r}…" for part in self._documents if _holds(raw, part)}
        return sorted(told)


def _is_map(field: Any) -> bool:
    return bool(field.message_type.GetOptions().map_entry)


def _escaped(name: str) -> str:
    return name.encode("ascii", "backslashreplace").decode()


def _holds(raw: bytes, part: bytes) -> bool:
    # Of base64 each of three beginnings gives other letters; the first and last ones depend on the neighbours.
    return any(form in raw for form in (part, repr(part)[2:-1].encode(), *_in_base64(part)))


def _in_base64(part: bytes) -> Iterator[bytes]:
    for shift in range(3):
        yield base64.b64encode(part[shift : shift + (len(part) - shift) // 3 * 3])


@contextmanager
def watched(unlogged: Unlogged) -> Iterator[None]:
    """See the messages of every channel that is opened meanwhile, and the assertions."""
    with pytest.MonkeyPatch.context() as patch:
        opened, asserted = grpc.aio.secure_channel, Keys.assertion

        def secure_channel(*args: Any, **options: Any) -> grpc.aio.Channel:
            return _seen(opened(*args, **options), unlogged)

        def assertion(self: Keys, *args: Any, **options: Any) -> str:
            token = asserted(self, *args, **options)
            unlogged.add("assertion", token)
            return token

        patch.setattr(grpc.aio, "secure_channel", secure_channel)
        patch.setattr(Keys, "assertion", assertion)
        yield


def _seen(channel: grpc.aio.Channel, unlogged: Unlogged) -> grpc.aio.Channel:
    for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
        setattr(channel, kind, _watching(getattr(channel, kind), unlogged))
    return channel


def _watching(make: Callable[..., Any], unlogged: Unlogged) -> Callable[..., Any]:
    def made(
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        **options: Any,
    ) -> Any:
        def sent(message: Any) -> bytes:
            unlogged.see(message)
            return request_serializer(message) if request_serializer else message

        def received(raw: bytes) -> Any:
            message = response_deserializer(raw) if response_deserializer else raw
            unlogged.see(message)
            return message

        return make(method, request_serializer=sent, response_deserializer=received, **options)

    return made
