"""Whether Kafka answers, has the topics of this service, and lets it do there what it does."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]

from kit.checking import Finding
from kit.config import ConsumerSettings, DatabaseSettings
from kit.demands import Surroundings
from kit.kafka_client import KafkaError, KafkaSettings, client_options, started
from kit.kafka_reach import principal_of, unreachable
from kit.kafka_rights import NO_SUCH_TOPIC, NOT_ALLOWED, Operation, Rights, of_groups, of_topics
from kit.topic_admin import shapes
from kit.topics import Catalogue, CatalogueError, catalogue

_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a service does with topics and groups."""

    topics: dict[str, frozenset[Operation]] = field(default_factory=dict)
    groups: frozenset[str] = frozenset()


def wanted(service: str, consumed: Mapping[str, Sequence[str]], stated: Catalogue) -> Wanted:
    """It publishes what it owns, reads what its groups consume, and buries what it fails on."""
    topics: dict[str, set[Operation]] = {}
    for topic in stated.topics.values():
        if topic.owner == service:
            topics.setdefault(topic.name, set()).add(Operation.WRITE)
    for name in {name for names in consumed.values() for name in names}:
        topics.setdefault(name, set()).add(Operation.READ)
        if dlq := stated.topic(name).dlq:
            topics.setdefault(dlq, set()).update({Operation.READ, Operation.WRITE})
    return Wanted({name: frozenset(done) for name, done in topics.items()}, frozenset(consumed))


async def kafka(settings: DatabaseSettings, around: Surroundings, stated: Catalogue | None = None) -> Sequence[Finding]:
    """What the brokers say; nothing where the service does not speak to Kafka."""
    if not isinstance(settings, ConsumerSettings):
        return []
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it finds is said here, in a line
    try:
        stated = stated or catalogue()
        does = wanted(around.service, around.consumed, stated)
    except CatalogueError as error:
        return [Finding("Kafka", fault=f"the topics of this version cannot be read: {error}")]
    if (gone := await unreachable(settings)) is not None:
        return [Finding("Kafka", fault=f"{settings.kafka_bootstrap} {gone.why}")]
    try:
        found = await permitted(settings, does, stated)
    except (KafkaError, OSError, TimeoutError) as error:
        return [Finding("Kafka", fault=f"{settings.kafka_bootstrap} does not answer as Kafka: {type(error).__name__}")]
    how = f"TLS as {principal_of(settings)}" if settings.kafka_ca_file else "plain text"
    return [Finding("Kafka", note=f"{settings.kafka_bootstrap}, {how}"), *found]


async def permitted(settings: KafkaSettings, does: Wanted, stated: Catalogue) -> Sequence[Finding]:
    """A line for each topic and group. Raises what Kafka's client raises."""
    async with asyncio.timeout(_SECONDS):
        topics, groups = await _asked(settings, does)
    who = principal_of(settings)
    partitions = {name: shape.partitions for name, shape in shapes(stated).items()}
    return [
        *(judged(f"topic {name}", topics[name], does.topics[name], who, partitions[name]) for name in sorted(topics)),
        *(judged(f"group {name}", groups[name], frozenset({Operation.READ}), who) for name in sorted(groups)),
    ]


def judged(
    subject: str, rights: Rights, does: frozenset[Operation], who: str, partitions: int | None = None
) -> Finding:
    """Whether a topic or a group is there, as stated, and open to what this service does with it."""
    missing = does if rights.error in NOT_ALLOWED else frozenset() if rights.error else does - rights.allowed
    if missing:
        return Finding(subject, fault=f"no ACL allows {who} to {_listed(missing)}", refused=True)
    if rights.error == NO_SUCH_TOPIC:
        return Finding(subject, fault="is not there; python -m kit topics create")
    if rights.error:
        return Finding(subject, fault=f"the brokers answer error {rights.error}")
    if partitions is not None and rights.partitions != partitions:
        return Finding(subject, fault=f"has {rights.partitions} partitions, not the {partitions} that its file states")
    shown = "" if partitions is None else f"{partitions} partitions, "
    return Finding(subject, note=f"{shown}{_listed(does)}")


def _listed(operations: frozenset[Operation]) -> str:
    return " and ".join(sorted(each.name for each in operations))


async def _asked(settings: KafkaSettings, does: Wanted) -> tuple[Mapping[str, Rights], Mapping[str, Rights]]:
    admin: Any = await started(lambda: AIOKafkaAdminClient(**client_options(settings, "check")))
    try:
        return await of_topics(admin, sorted(does.topics)), await of_groups(admin, sorted(does.groups))
    finally:
        await admin.close()
