"""The topics on the brokers: created as the catalogue states, and compared with it; never changed, never deleted."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType  # type: ignore[import-untyped]

from kit.kafka_client import KafkaAddress, KafkaSettings, client_options, started
from kit.topics import Catalogue, CleanupPolicy, Topic, catalogue

_TOPIC_ALREADY_EXISTS: Final = 36
_KNOWN_TIMEOUT_SECONDS: Final = 30.0
_KNOWN_POLL_SECONDS: Final = 0.05
_OURS: Final = re.compile(r"-events-v[1-9][0-9]*(-dlq)?$")
_SET_ON_THE_TOPIC: Final = 1
"""Kafka's name of the source: the topic's own setting, neither the brokers' nor Kafka's default."""
_PROMISED: Final = {
    # What the brokers think best would take events before their time, or after the loss of a broker.
    "retention.bytes": "-1",
    "unclean.leader.election.enable": "false",
    # A consumer that begins with a date goes by when an event was published.
    "message.timestamp.type": "CreateTime",
}
"""What holds for every topic, whatever the brokers' defaults are."""
ABSENT: Final = "absent"
"""Stands in a drift for a topic that the brokers do not have."""
UNSTATED: Final = "no word of it"
"""Stands in a drift for a setting of a topic that no file has."""


class TopicError(Exception):
    """The topics on the brokers are not what the catalogue states, and may not be changed in place."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a topic is, or is to be, on the brokers."""

    partitions: int
    replication: int
    """Copies of each partition; of the partition that has the fewest."""
    configs: Mapping[str, str]
    """By Kafka's names; of what is found, at least those that are stated."""
    own: frozenset[str] = frozenset()
    """Of what is found, the settings that were made for this topic."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing about one topic that is not as stated."""

    topic: str
    what: str
    stated: str
    found: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a look at the brokers showed."""

    drifts: tuple[Drift, ...]
    unstated: tuple[str, ...]
    """Topics that are named like ours and that no file states; an earlier version's, maybe."""


def shapes(topics: Catalogue, replication: int | None = None) -> dict[str, Shape]:
    """What is to be on the brokers, by name: each topic and its DLQ.

    A DLQ has one partition, so that it keeps its order, and as long a retention as its topic; it is never compacted,
    because records of one key are different failures.

    Args:
        topics: what is stated.
        replication: copies of each partition instead of what is stated, for brokers that are fewer.
    """
    return dict(shape for topic in topics.topics.values() for shape in _shapes_of(topic, replication))


def _shapes_of(topic: Topic, replication: int | None) -> Iterator[tuple[str, Shape]]:
    copies = topic.replication if replication is None else replication
    configs = {
        "cleanup.policy": topic.cleanup_policy.value,
        "retention.ms": str(topic.retention_ms),
        # With fewer brokers than stated, one of them must still be allowed to fail.
        "min.insync.replicas": str(min(topic.min_insync_replicas, max(1, copies - 1))),
    } | _PROMISED
    yield topic.name, Shape(topic.partitions, copies, configs)
    if topic.dlq is not None:
        yield topic.dlq, Shape(1, copies, configs | {"cleanup.policy": CleanupPolicy.DELETE.value})


def compare(stated: Mapping[str, Shape], found: Mapping[str, Shape]) -> Comparison:
    """Each thing that differs, topic by topic, and what is named like ours but stated nowhere."""
    drifts = [drift for name, shape in stated.items() for drift in _drifts(name, shape, found.get(name))]
    unstated = sorted(name for name in found.keys() - stated.keys() if _OURS.search(name))
    return Comparison(tuple(drifts), tuple(unstated))


def _drifts(name: str, stated: Shape, found: Shape | None) -> Iterator[Drift]:
    if found is None:
        yield Drift(name, "topic", "present", ABSENT)
        return
    if found.partitions != stated.partitions:
        yield Drift(name, "partitions", str(stated.partitions), str(found.partitions))
    if found.replication != stated.replication:
        yield Drift(name, "replication", str(stated.replication), str(found.replication))
    for key, value in stated.configs.items():
        there = found.configs.get(key, ABSENT)
        if _in_one_order(there) != _in_one_order(value):
            yield Drift(name, key, value, there)
    for key in sorted(found.own - stated.configs.keys()):
        yield Drift(name, key, UNSTATED, found.configs[key])


def _in_one_order(value: str) -> list[str]:
    # "delete,compact" and "compact,delete" are one policy.
    return sorted(part.strip() for part in value.split(","))


async def ensure_topics(
    kafka: str | KafkaSettings, replication: int | None = None, topics: Catalogue | None = None
) -> list[str]:
    """Create what the catalogue states and the brokers do not have; the names of the topics that were created.

    Args:
        kafka: `host:port`, or how to reach it over TLS.
        replication: copies of each partition instead of what is stated, for brokers that are fewer.
        topics: instead of the catalogue beside the contracts.

    Raises:
        TopicError: a topic has another number of partitions, or the brokers refused to create one.
    """
    wanted = shapes(topics or catalogue(), replication)
    admin = await _connected(kafka)
    try:
        created = await _create(admin, wanted)
        await _refuse_other_partitions(admin, wanted)
    finally:
        await admin.close()
    return created


async def check_topics(
    kafka: str | KafkaSettings, replication: int | None = None, topics: Catalogue | None = None
) -> Comparison:
    """Look how the topics on the brokers differ from the catalogue; changes nothing. Arguments as `ensure_topics`."""
    stated = shapes(topics or catalogue(), replication)
    admin = await _connected(kafka)
    try:
        return compare(stated, await _found(admin, stated))
    finally:
        await admin.close()


async def _connected(kafka: str | KafkaSettings) -> Any:
    settings = KafkaAddress(kafka) if isinstance(kafka, str) else kafka
    return await started(lambda: AIOKafkaAdminClient(**client_options(settings, "topics")))


async def _create(admin: Any, wanted: Mapping[str, Shape]) -> list[str]:
    new = [
        NewTopic(name, shape.partitions, shape.replication, topic_configs=dict(shape.configs))
        for name, shape in wanted.items()
    ]
    answer = (await admin.create_topics(new)).to_object()
    refused = {
        error["topic"]: error.get("error_message") or f"error {error['error_code']}"
        for error in answer["topic_errors"]
        if error["error_code"] not in {0, _TOPIC_ALREADY_EXISTS}
    }
    if refused:
        raise TopicError("; ".join(f"{name}: {why}" for name, why in refused.items()))
    return [error["topic"] for error in answer["topic_errors"] if error["error_code"] == 0]


async def _refuse_other_partitions(admin: Any, wanted: Mapping[str, Shape]) -> None:
    found = await _partitions(admin, list(wanted))
    wrong = [name for name, shape in wanted.items() if found[name] != shape.partitions]
    if wrong:
        told = ", ".join(f"{name} has {found[name]} instead of {wanted[name].partitions}" for name in wrong)
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


async def _found(admin: Any, stated: Mapping[str, Shape]) -> dict[str, Shape]:
    there = await admin.list_topics()
    names = sorted(name for name in there if name in stated or _OURS.search(name))
    if not names:
        return {}
    described = {each["topic"]: each for each in await admin.describe_topics(names)}
    configs = await _configs(admin, names)
    return {name: _shape(described[name], *configs[name]) for name in names}


def _shape(described: Mapping[str, Any], configs: Mapping[str, str], own: frozenset[str]) -> Shape:
    if described["error_code"]:
        raise TopicError(f"{described['topic']}: the brokers answer error {described['error_code']}")
    partitions = described["partitions"]
    return Shape(len(partitions), min(len(each["replicas"]) for each in partitions), configs, own)


async def _configs(admin: Any, names: Sequence[str]) -> dict[str, tuple[dict[str, str], frozenset[str]]]:
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    found: dict[str, tuple[dict[str, str], frozenset[str]]] = {}
    for error_code, message, _, name, entries in (resource for answer in answers for resource in answer.resources):
        if error_code:
            raise TopicError(f"{name}: {message or f'error {error_code}'}")
        own = frozenset(key for key, _, _, source, *_ in entries if source == _SET_ON_THE_TOPIC)
        found[name] = {entry[0]: entry[1] for entry in entries}, own
    return found
