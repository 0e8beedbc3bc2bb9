"""A message and a topic of the kit's own, for tests of what carries events without caring what they say."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import uuid4

from google.protobuf import descriptor_pb2, descriptor_pool

from kit.events import Event
from kit.topics import Catalogue, CleanupPolicy, Topic, Words, message_class

PACKAGE = "kit.testing.v1"
HAPPENED = f"{PACKAGE}.Happened"
"""Has `text` and `sequence`."""
NOTED = f"{PACKAGE}.Noted"
"""Has `text` only."""
AT = datetime(2025, 3, 14, 1, 59, 26, 535_000, tzinfo=UTC)


@cache
def _declare() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="kit/testing/v1/samples.proto", package=PACKAGE, syntax="proto3")
    for name, fields in (("Happened", ("text", "sequence")), ("Noted", ("text",))):
        message = file.message_type.add(name=name)
        for number, field_name in enumerate(fields, start=1):
            kind = "TYPE_INT64" if field_name == "sequence" else "TYPE_STRING"
            message.field.add(
                name=field_name,
                number=number,
                type=descriptor_pb2.FieldDescriptorProto.Type.Value(kind),
                label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
            )
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())


def happened(text: str, sequence: int = 0) -> Any:
    """A message with a sequence."""
    _declare()
    return message_class(HAPPENED)(text=text, sequence=sequence)


def noted(text: str) -> Any:
    """A message without one."""
    _declare()
    return message_class(NOTED)(text=text)


def event(key: str, text: str, sequence: int = 0) -> Event:
    """An event of `key`."""
    return Event(happened(text, sequence), key, AT)


@dataclass(frozen=True, slots=True)
class SampleTopic:
    """A topic that no other test uses, with its DLQ, and the catalogue that holds only it."""

    partitions: int = 3
    name: str = field(default_factory=lambda: f"sample-{uuid4().hex[:12]}-v1")

    @property
    def dlq(self) -> str:
        """Its dead-letter topic."""
        return f"{self.name}-dlq"

    @property
    def catalogue(self) -> Catalogue:
        """A catalogue of this topic alone."""
        _declare()
        return Catalogue(
            [
                Topic(
                    name=self.name,
                    description=Words("What tests say.", "测试内容。"),
                    owner="kit",
                    key=Words("anything", "任意"),
                    partitions=self.partitions,
                    retention_hours=1,
                    cleanup_policy=CleanupPolicy.DELETE,
                    replication=1,
                    min_insync_replicas=1,
                    schema=(HAPPENED, NOTED),
                    consumers=("kit",),
                    dlq=self.dlq,
                )
            ]
        )
