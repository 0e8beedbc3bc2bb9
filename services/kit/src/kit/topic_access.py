"""Who may do what at the brokers, by `protos/topics`: a service writes its own topics and reads what it consumes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kit.dead_letters import dlq_of
from kit.topics import Catalogue, CatalogueError, Topic

CHECKER: Final = "topics-check"
"""Who compares topics and ACLs on the brokers with what is stated, and can do nothing else there."""
ANY: Final = "*"


class Kind(StrEnum):
    """What rights are given on."""

    TOPIC = "topic"
    GROUP = "group"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Grant:
    """What one user may do with one topic or group, by its whole name, or with the cluster.

    By a prefix, `settlement-events-v1` would open its DLQ, and a later version of the topic.
    """

    kind: Kind
    name: str
    """`*` is every one; the cluster has none."""
    operations: tuple[str, ...]
    """As Kafka spells them: `Describe`, `Write`, `Read`, `DescribeConfigs`."""


@dataclass(frozen=True, slots=True)
class Access:
    """What one service may do at the brokers; nothing else."""

    service: str
    writes: tuple[str, ...]
    """Its own topics, and the DLQs of what it consumes: where it puts what it could not handle."""
    reads: tuple[str, ...]
    """What it consumes, and the DLQs of it: an operator's `dlq show` and `replay` read them."""
    groups: tuple[str, ...]
    """Its consumer groups."""


def access_of(topics: Catalogue, services: Iterable[str]) -> tuple[Access, ...]:
    """The access of each of these services.

    Raises:
        CatalogueError: a topic's owner or consumer is none of the services, so that it would have no access.
    """
    known = tuple(services)
    for topic in topics.topics.values():
        for name in (topic.owner, *topic.consumers):
            service_of(name, known)
    return tuple(_access(service, known, list(topics.topics.values())) for service in known)


def services_of(topics: Catalogue) -> tuple[str, ...]:
    """The services: each owns a topic at least."""
    return tuple(sorted({topic.owner for topic in topics.topics.values()}))


def users_of(topics: Catalogue, services: Iterable[str]) -> dict[str, tuple[Grant, ...]]:
    """Everybody who may do anything at the brokers, and what: the services, and who checks.

    Raises:
        CatalogueError: see `access_of`.
    """
    return {each.service: tuple(_grants(each)) for each in access_of(topics, services)} | {CHECKER: _CHECKING}


_CHECKING: Final = (
    # Every topic, not those that are stated alone: one that no file states is told, too.
    Grant(Kind.TOPIC, ANY, ("Describe", "DescribeConfigs")),
    Grant(Kind.CLUSTER, "", ("Describe",)),
)


def _grants(access: Access) -> Iterator[Grant]:
    for topic in sorted({*access.writes, *access.reads}):
        write = ("Write",) if topic in access.writes else ()
        read = ("Read",) if topic in access.reads else ()
        yield Grant(Kind.TOPIC, topic, ("Describe", *write, *read))
    for group in access.groups:
        yield Grant(Kind.GROUP, group, ("Read",))


def service_of(group: str, services: Iterable[str]) -> str:
    """The service whose consumer group this is: `notify`, or `notify-webhooks` for a second one of notify's."""
    for service in services:
        if group == service or group.startswith(f"{service}-"):
            return service
    raise CatalogueError(f"{group} is no consumer group of {', '.join(services)}")


def _access(service: str, services: tuple[str, ...], topics: list[Topic]) -> Access:
    own = {topic.name for topic in topics if topic.owner == service}
    consumed = [topic for topic in topics if any(service_of(each, services) == service for each in topic.consumers)]
    letters = {dlq_of(topic.name) for topic in consumed}
    groups = {each for topic in consumed for each in topic.consumers if service_of(each, services) == service}
    return Access(
        service=service,
        writes=tuple(sorted(own | letters)),
        reads=tuple(sorted({topic.name for topic in consumed} | letters)),
        groups=tuple(sorted(groups)),
    )
