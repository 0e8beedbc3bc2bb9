"""The topics of the platform, as `protos/topics/*.yaml` state them, and the command that creates them."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from kit.kafka_client import KafkaAddress, KafkaSettings, client_options, started

_TOPIC_ALREADY_EXISTS = 36
_KNOWN_TIMEOUT_SECONDS = 30.0
_KNOWN_POLL_SECONDS = 0.05
_HOUR_MS = 3_600_000
_REPLICATION_WITH_QUORUM = 3


class CatalogueError(Exception):
    """The catalogue of topics is missing, contradicts itself, or does not know what it is asked for."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic, as its reviewed file states it."""

    name: str
    owner: str
    """The one service that publishes here."""
    key: str
    """What the key is, in words."""
    partitions: int
    """Never raised in place: keys would change their partition."""
    retention_hours: int
    schema: tuple[str, ...]
    """Full names of the messages that may be published."""
    consumers: tuple[str, ...]
    """The services that read it."""
    dlq: str | None
    """The topic that takes what a consumer could not handle."""


class TopicError(Exception):
    """The topics on the brokers are not what the catalogue states, and may not be changed in place."""


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
        stated = yaml.safe_load(file.read_text(encoding="utf-8"))
        return Topic(
            name=stated["topic"],
            owner=stated["owner"],
            key=stated["key"],
            partitions=int(stated["partitions"]),
            retention_hours=int(stated["retention_hours"]),
            schema=tuple(stated["schema"]),
            consumers=tuple(stated["consumers"]),
            dlq=stated.get("dlq"),
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise CatalogueError(f"{file.name} is no topic file ({type(error).__name__}: {error})") from error


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


async def ensure_topics(kafka: str | KafkaSettings, replication: int, topics: Catalogue | None = None) -> list[str]:
    """Create what the catalogue states and the brokers do not have; the names of the topics that were created.

    A DLQ has one partition, so that it keeps its order, and as long a retention as its topic.

    Args:
        kafka: `host:port`, or how to reach it over TLS.
        replication: copies of each partition; with three or more, two of them must have an event before it counts.
        topics: instead of the catalogue beside the contracts.

    Raises:
        TopicError: a topic has another number of partitions, or the brokers refused to create one.
    """
    settings = KafkaAddress(kafka) if isinstance(kafka, str) else kafka
    wanted = [new for topic in (topics or catalogue()).topics.values() for new in _new_topics(topic, replication)]
    admin = await started(lambda: AIOKafkaAdminClient(**client_options(settings, "topics")))
    try:
        created = await _create(admin, wanted)
        await _compare(admin, wanted)
    finally:
        await admin.close()
    return created


def _new_topics(topic: Topic, replication: int) -> Iterator[Any]:
    configs = {
        "cleanup.policy": "delete",
        "retention.ms": str(topic.retention_hours * _HOUR_MS),
        "min.insync.replicas": "2" if replication >= _REPLICATION_WITH_QUORUM else "1",
    }
    yield NewTopic(topic.name, topic.partitions, replication, topic_configs=configs)
    if topic.dlq is not None:
        yield NewTopic(topic.dlq, 1, replication, topic_configs=configs)


async def _create(admin: Any, wanted: Sequence[Any]) -> list[str]:
    answer = (await admin.create_topics(list(wanted))).to_object()
    refused = {
        error["topic"]: error.get("error_message") or f"error {error['error_code']}"
        for error in answer["topic_errors"]
        if error["error_code"] not in {0, _TOPIC_ALREADY_EXISTS}
    }
    if refused:
        raise TopicError("; ".join(f"{name}: {why}" for name, why in refused.items()))
    return [error["topic"] for error in answer["topic_errors"] if error["error_code"] == 0]


async def _compare(admin: Any, wanted: Sequence[Any]) -> None:
    found = await _partitions(admin, [new.name for new in wanted])
    wrong = [new for new in wanted if found[new.name] != new.num_partitions]
    if wrong:
        told = ", ".join(f"{new.name} has {found[new.name]} instead of {new.num_partitions}" for new in wrong)
        raise TopicError(f"partitions of a keyed topic are never changed in place: {told}; make a new topic -v2")


async def _partitions(admin: Any, names: Sequence[str]) -> dict[str, int]:
    # What was created just now takes a moment to be known by every broker.
    try:
        async with asyncio.timeout(_KNOWN_TIMEOUT_SECONDS):
            while True:
                described = await admin.describe_topics(list(names))
                found = {each["topic"]: len(each["partitions"]) for each in described if each["error_code"] == 0}
                if all(found.get(name) for name in names):
                    return found
                await asyncio.sleep(_KNOWN_POLL_SECONDS)
    except TimeoutError:
        raise TopicError(f"the brokers do not know all of {', '.join(names)}; look at their logs") from None
