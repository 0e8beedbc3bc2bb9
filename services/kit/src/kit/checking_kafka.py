"""Whether Kafka answers, has the topics of this service, and lets it do there what it does."""

import asyncio
import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]

from kit.checking import Finding
from kit.config import ConsumerSettings, DatabaseSettings
from kit.demands import Surroundings
from kit.kafka_client import KafkaError, KafkaSettings, client_options, ssl_context, started
from kit.kafka_rights import NO_SUCH_TOPIC, NOT_ALLOWED, Operation, Rights, of_groups, of_topics
from kit.topic_admin import shapes
from kit.topics import Catalogue, CatalogueError, catalogue

_SECONDS: Final = 15.0
_HANDSHAKE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a service does with topics and groups."""

    topics: dict[str, frozenset[Operation]] = field(default_factory=dict)
    groups: frozenset[str] = frozenset()


def wanted(around: Surroundings, stated: Catalogue) -> Wanted:
    """It publishes what it owns, reads what its groups consume, and buries what it fails on."""
    topics: dict[str, set[Operation]] = {}
    for topic in stated.topics.values():
        if topic.owner == around.service:
            topics.setdefault(topic.name, set()).add(Operation.WRITE)
    for name in {name for names in around.consumed.values() for name in names}:
        topics.setdefault(name, set()).add(Operation.READ)
        if dlq := stated.topic(name).dlq:
            topics.setdefault(dlq, set()).update({Operation.READ, Operation.WRITE})
    return Wanted({name: frozenset(done) for name, done in topics.items()}, frozenset(around.consumed))


async def kafka(settings: DatabaseSettings, around: Surroundings, stated: Catalogue | None = None) -> Sequence[Finding]:
    """What the brokers say; nothing where the service does not speak to Kafka."""
    if not isinstance(settings, ConsumerSettings):
        return []
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it finds is said here, in a line
    try:
        stated = stated or catalogue()
        does = wanted(around, stated)
    except CatalogueError as error:
        return [Finding("Kafka", fault=f"the topics of this version cannot be read: {error}")]
    if (why := await _unreachable(settings)) is not None:
        return [Finding("Kafka", fault=f"{settings.kafka_bootstrap} {why}")]
    try:
        async with asyncio.timeout(_SECONDS):
            topics, groups = await _asked(settings, does)
    except (KafkaError, OSError, TimeoutError) as error:
        return [Finding("Kafka", fault=f"{settings.kafka_bootstrap} does not answer as Kafka: {type(error).__name__}")]
    partitions = {name: shape.partitions for name, shape in shapes(stated).items()}
    return [
        Finding("Kafka", note=f"{settings.kafka_bootstrap}, {'TLS' if settings.kafka_ca_file else 'plain text'}"),
        *(judged(f"topic {name}", topics[name], does.topics[name], partitions[name]) for name in sorted(topics)),
        *(judged(f"group {name}", groups[name], frozenset({Operation.READ})) for name in sorted(groups)),
    ]


def judged(subject: str, rights: Rights, does: frozenset[Operation], partitions: int | None = None) -> Finding:
    """Whether a topic or a group is there, as stated, and open to what this service does with it."""
    if rights.error == NO_SUCH_TOPIC:
        return Finding(subject, fault="is not there; python -m kit topics create")
    if rights.error in NOT_ALLOWED:
        return Finding(subject, fault=f"is closed to this service: no ACL allows {_listed(does)}")
    if rights.error:
        return Finding(subject, fault=f"the brokers answer error {rights.error}")
    if partitions is not None and rights.partitions != partitions:
        return Finding(subject, fault=f"has {rights.partitions} partitions, not the {partitions} that its file states")
    if missing := frozenset(does - rights.allowed):
        return Finding(subject, fault=f"no ACL allows {_listed(missing)}")
    shown = "" if partitions is None else f"{partitions} partitions, "
    return Finding(subject, note=f"{shown}{_listed(does)}")


def _listed(operations: frozenset[Operation]) -> str:
    return " and ".join(sorted(each.name for each in operations))


async def _unreachable(settings: KafkaSettings) -> str | None:
    """Why none of the first addresses takes a connection; the client itself says only that none did."""
    whys = [why for each in settings.kafka_bootstrap.split(",") if (why := await _refused(each, settings))]
    return whys[0] if len(whys) == len(settings.kafka_bootstrap.split(",")) else None


async def _refused(address: str, settings: KafkaSettings) -> str | None:
    host, _, port = address.rpartition(":")
    try:
        context = ssl_context(settings)
        async with asyncio.timeout(_HANDSHAKE_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=context)
    except ssl.SSLError as error:
        return f"does not agree on TLS: {error.reason or type(error).__name__}"
    except TimeoutError:
        return "does not answer in time"
    except OSError as error:
        return f"does not answer: {error.strerror or error}"
    writer.close()
    return None


async def _asked(settings: KafkaSettings, does: Wanted) -> tuple[Mapping[str, Rights], Mapping[str, Rights]]:
    admin: Any = await started(lambda: AIOKafkaAdminClient(**client_options(settings, "check")))
    try:
        return await of_topics(admin, sorted(does.topics)), await of_groups(admin, sorted(does.groups))
    finally:
        await admin.close()
