"""The events as their contracts state them: messages, fields and enums with the comments of the `.proto` files."""

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

_MESSAGE, _ENUM, _NESTED_MESSAGE, _NESTED_ENUM, _FIELD, _VALUE = 4, 5, 3, 4, 2, 2
"""Field numbers within descriptor.proto: what paths to comments are made of."""
_OURS: Final = "gongji."


class ContractsError(Exception):
    """The contracts could not be read."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message."""

    name: str
    number: int
    type: str
    """A scalar's name, or the full name of a message or an enum."""
    is_repeated: bool
    comment: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message."""

    full_name: str
    comment: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """One value of an enum."""

    name: str
    number: int
    comment: str


@dataclass(frozen=True, slots=True)
class Enum:
    """One enum."""

    full_name: str
    comment: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a type is written: what a document quotes."""

    file: str
    comment: str
    text: str
    """Its lines, without the comment before it."""


@dataclass(frozen=True, slots=True)
class Contracts:
    """All types of ours, by full name."""

    types: Mapping[str, Message | Enum]
    places: Mapping[str, Place]
    """Of the types that stand in a file's top level."""
    packages: Mapping[str, str]
    """The package of each file."""

    def message(self, full_name: str) -> Message:
        """A message by its full name.

        Raises:
            ContractsError: there is none.
        """
        found = self.types.get(full_name)
        if not isinstance(found, Message):
            raise ContractsError(f"the contracts have no message {full_name}")
        return found

    def reached_from(self, names: Iterable[str]) -> list[str]:
        """The types of ours that these messages' fields name, and theirs, in the order in which they are met."""
        met: dict[str, None] = {}
        waiting = list(names)
        while waiting:
            found = self.types[waiting.pop(0)]
            fields = found.fields if isinstance(found, Message) else ()
            new = [field.type for field in fields if field.type in self.types and field.type not in met]
            met |= dict.fromkeys(new)
            waiting += new
        return list(met)


def read_contracts(protos: Path) -> Contracts:
    """Read every contract below `protos/gongji`.

    Raises:
        ContractsError: the compiler refuses them.
    """
    types: dict[str, Message | Enum] = {}
    places: dict[str, Place] = {}
    files = [file for file in compiled(protos).file if file.package.startswith(_OURS)]
    for file in files:
        reader = _Reader(file, (protos / file.name).read_text(encoding="utf-8").splitlines())
        types |= {found.full_name: found for found in reader.types()}
        places |= dict(reader.places())
    return Contracts(types, places, {file.name: file.package for file in files})


def compiled(protos: Path, before: Sequence[Path] = ()) -> FileDescriptorSet:
    """What the compiler makes of the contracts, with their comments.

    Args:
        protos: the folder of the contracts.
        before: folders whose files stand in for those of `protos`.
    """
    names = sorted(str(path.relative_to(protos)) for path in (protos / "gongji").rglob("*.proto"))
    folders = [*before, protos, protos / "vendor"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "contracts.binpb"
        command = [sys.executable, "-m", "grpc_tools.protoc", *(f"-I{path}" for path in folders)]
        command += ["--include_source_info", "--include_imports", f"--descriptor_set_out={out}", *names]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ContractsError(done.stderr.strip())
        return FileDescriptorSet.FromString(out.read_bytes())


class _Reader:
    """Reads one file."""

    def __init__(self, file: FileDescriptorProto, lines: Sequence[str]) -> None:
        self._file = file
        self._lines = lines
        self._locations = {tuple(location.path): location for location in file.source_code_info.location}

    def types(self) -> Iterator[Message | Enum]:
        for index, message in enumerate(self._file.message_type):
            yield from self._message(message, self._file.package, (_MESSAGE, index))
        for index, enum in enumerate(self._file.enum_type):
            yield self._enum(enum, self._file.package, (_ENUM, index))

    def places(self) -> Iterator[tuple[str, Place]]:
        paths = {message.name: (_MESSAGE, index) for index, message in enumerate(self._file.message_type)}
        paths |= {enum.name: (_ENUM, index) for index, enum in enumerate(self._file.enum_type)}
        for name, path in paths.items():
            yield f"{self._file.package}.{name}", self._place(path)

    def _place(self, path: tuple[int, ...]) -> Place:
        span = self._locations[path].span
        first, last = span[0], span[-2] if len(span) > 3 else span[0]  # noqa: PLR2004 - on one line it has three parts
        return Place(self._file.name, self._comment(path), "\n".join(self._lines[first : last + 1]))

    def _message(self, message: DescriptorProto, scope: str, path: tuple[int, ...]) -> Iterator[Message | Enum]:
        name = f"{scope}.{message.name}"
        fields = (self._field(field, (*path, _FIELD, index)) for index, field in enumerate(message.field))
        yield Message(name, self._comment(path), tuple(fields))
        for index, nested in enumerate(message.nested_type):
            yield from self._message(nested, name, (*path, _NESTED_MESSAGE, index))
        for index, enum in enumerate(message.enum_type):
            yield self._enum(enum, name, (*path, _NESTED_ENUM, index))

    def _field(self, field: FieldDescriptorProto, path: tuple[int, ...]) -> Field:
        kind = field.type_name.removeprefix(".") or FieldDescriptorProto.Type.Name(field.type)[5:].lower()
        is_repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
        return Field(field.name, field.number, kind, is_repeated, self._comment(path))

    def _enum(self, enum: EnumDescriptorProto, scope: str, path: tuple[int, ...]) -> Enum:
        values = (
            Value(value.name, value.number, self._comment((*path, _VALUE, index)))
            for index, value in enumerate(enum.value)
        )
        return Enum(f"{scope}.{enum.name}", self._comment(path), tuple(values))

    def _comment(self, path: tuple[int, ...]) -> str:
        # One paragraph: where a line was broken says nothing.
        location = self._locations.get(path)
        return " ".join(location.leading_comments.split()) if location else ""
