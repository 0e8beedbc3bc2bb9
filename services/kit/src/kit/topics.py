"""The topics of the platform, as `protos/topics/*.yaml` state them; `kit.topic_admin` creates and checks them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Final, Self

import yaml
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

_NAME: Final = r"^[a-z][a-z0-9-]*-v[1-9][0-9]*$"
_MOST_PARTITIONS: Final = 1_000
_MOST_HOURS: Final = 24 * 366 * 10
_MOST_COPIES: Final = 9
_HOUR_MS: Final = 3_600_000


class CatalogueError(Exception):
    """The catalogue of topics is missing, contradicts itself, or does not know what it is asked for."""


class CleanupPolicy(StrEnum):
    """What Kafka does with old records of a topic, in Kafka's words."""

    DELETE = "delete"
    """What is older than the retention goes."""
    COMPACT = "compact"
    """The newest record of each key stays for ever."""
    COMPACT_AND_DELETE = "compact,delete"
    """Of each key the newest stays, until it is older than the retention."""


@dataclass(frozen=True, slots=True)
class Words:
    """The same in both languages of the documents."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic, as its reviewed file states it."""

    name: str
    description: Words
    """What it tells, for those who may want to read it."""
    owner: str
    """The one service that publishes here."""
    key: Words
    """What the key is, in words."""
    partitions: int
    """Never raised in place: keys would change their partition."""
    retention_hours: int
    cleanup_policy: CleanupPolicy
    replication: int
    """Copies of each partition, where the brokers are as many."""
    min_insync_replicas: int
    """How many copies must have an event before it counts."""
    schema: tuple[str, ...]
    """Full names of the messages that may be published."""
    consumers: tuple[str, ...]
    """The services that read it."""
    dlq: str | None
    """The topic that takes what a consumer could not handle."""

    @property
    def retention_ms(self) -> int:
        """As Kafka counts it."""
        return self.retention_hours * _HOUR_MS


class Catalogue:
    """All topics, and the way from a message's full name to its topic and its class."""

    def __init__(self, topics: Sequence[Topic]) -> None:
        self._topics = {topic.name: topic for topic in topics}
        self._of_type: dict[str, Topic] = {}
        for topic in topics:
            self._add(topic)

    def _add(self, topic: Topic) -> None:
        for full_name in topic.schema:
            other = self._of_type.setdefault(full_name, topic)
            if other is not topic:
                raise CatalogueError(f"{full_name} is in {other.name} and in {topic.name}; an event has one topic")

    @property
    def topics(self) -> Mapping[str, Topic]:
        """Every topic by its name."""
        return self._topics

    def topic(self, name: str) -> Topic:
        """The topic of that name."""
        try:
            return self._topics[name]
        except KeyError:
            raise CatalogueError(f"there is no topic {name}; add protos/topics/{name}.yaml") from None

    def topic_of(self, full_name: str) -> Topic:
        """The topic on which a message is published."""
        try:
            return self._of_type[full_name]
        except KeyError:
            raise CatalogueError(f"no topic lists {full_name} in its schema; add it under protos/topics/") from None


def load_catalogue(directory: Path) -> Catalogue:
    """Read every `*.yaml` of a directory.

    Raises:
        CatalogueError: there is none, or one cannot be understood.
    """
    files = sorted(directory.glob("*.yaml"))
    if not files:
        raise CatalogueError(f"no topic files in {directory}; set TOPICS_DIR to the folder protos/topics")
    return Catalogue([_topic(file) for file in files])


def _topic(file: Path) -> Topic:
    try:
        stated = _Stated.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise CatalogueError(f"{file.name} is no topic file ({type(error).__name__}: {error})") from error
    if stated.topic != file.stem:
        raise CatalogueError(f"{file.name} states the topic {stated.topic}; a file is named after its topic")
    return stated.as_topic()


class _Frozen(BaseModel):
    # A misspelt key must not leave a setting at what the brokers think best.
    model_config = ConfigDict(extra="forbid", frozen=True)


class _StatedWords(_Frozen):
    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)

    def as_words(self) -> Words:
        return Words(self.en, self.zh)


class _Stated(_Frozen):
    """A topic's file."""

    topic: str = Field(pattern=_NAME)
    description: _StatedWords
    owner: str = Field(min_length=1)
    key: _StatedWords
    partitions: int = Field(ge=1, le=_MOST_PARTITIONS)
    retention_hours: int = Field(ge=1, le=_MOST_HOURS)
    cleanup_policy: CleanupPolicy
    replication: int = Field(ge=1, le=_MOST_COPIES)
    min_insync_replicas: int = Field(ge=1)
    schema_: tuple[str, ...] = Field(alias="schema", min_length=1)
    consumers: tuple[str, ...]
    dlq: str | None = None

    @model_validator(mode="after")
    def _in_step(self) -> Self:
        if self.min_insync_replicas > self.replication:
            raise ValueError("min_insync_replicas is more than replication: nothing could ever be published")
        if self.cleanup_policy is not CleanupPolicy.DELETE and len(self.schema_) > 1:
            raise ValueError("compaction keeps one record of a key: an event would push out one of another kind")
        return self

    def as_topic(self) -> Topic:
        """The same, as the rest of the platform knows it."""
        return Topic(
            name=self.topic,
            description=self.description.as_words(),
            owner=self.owner,
            key=self.key.as_words(),
            partitions=self.partitions,
            retention_hours=self.retention_hours,
            cleanup_policy=self.cleanup_policy,
            replication=self.replication,
            min_insync_replicas=self.min_insync_replicas,
            schema=self.schema_,
            consumers=self.consumers,
            dlq=self.dlq,
        )


def default_directory() -> Path:
    """Where the topic files are when no setting names a folder: packed with the contracts, or beside their source."""
    for location in import_module("gongji").__path__:
        for candidate in (Path(location) / "topics", Path(location).parent.parent / "topics"):
            if candidate.is_dir():
                return candidate
    raise CatalogueError("the topic files are not beside the installed contracts; set TOPICS_DIR")


@cache
def catalogue(directory: Path | None = None) -> Catalogue:
    """The catalogue in `directory` (default: beside the contracts), read once."""
    return load_catalogue(directory or default_directory())


@cache
def message_class(full_name: str) -> type[Message]:
    """The class of a message by its full name, importing the contract's package if that was not done yet.

    Raises:
        CatalogueError: the installed contracts do not have it.
    """
    pool = descriptor_pool.Default()
    try:
        descriptor = pool.FindMessageTypeByName(full_name)
    except KeyError:
        _import_package(full_name.rpartition(".")[0])
        try:
            descriptor = pool.FindMessageTypeByName(full_name)
        except KeyError:
            raise CatalogueError(f"the installed contracts have no {full_name}") from None
    return message_factory.GetMessageClass(descriptor)


def _import_package(name: str) -> None:
    try:
        package = import_module(name)
    except ModuleNotFoundError as error:
        raise CatalogueError(f"the installed contracts have no package {name}") from error
    for module in iter_modules(package.__path__):
        if module.name.endswith("_pb2"):
            import_module(f"{name}.{module.name}")
