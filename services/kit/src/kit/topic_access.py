"""Who may do what at the brokers, by `protos/topics`: a service writes its own topics and reads what it consumes."""

from collections.abc import Iterable
from dataclasses import dataclass

from kit.dead_letters import dlq_of
from kit.topics import Catalogue, CatalogueError, Topic


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
