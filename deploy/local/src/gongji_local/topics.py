"""The topics of the catalogue on the local broker, and who reads them."""

from collections.abc import Collection
from typing import Final

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]

from gongji_local.blocking import run_blocking
from gongji_local.errors import StackError
from gongji_local.quiesce import Reader
from kit.kafka_acls import AclError, ensure_acls
from kit.kafka_client import KafkaSettings
from kit.topic_admin import TopicError, ensure_topics
from kit.topics import catalogue

REPLICATION: Final = 1


def create_topics(kafka: str | KafkaSettings) -> int:
    """Creates what is not there (one replica each) and returns how many topics the catalogue has."""
    try:
        run_blocking(lambda: ensure_topics(kafka, REPLICATION))
    except (TopicError, KafkaError) as error:
        raise StackError(
            f"The topics could not be created: {error}.",
            "On a throw-away stack, `gongji-local down --wipe` and `gongji-local up` make them anew.",
        ) from error
    return len(catalogue().topics)


def give_rights(kafka: KafkaSettings) -> int:
    """Gives every service what it may do there, as `make k8s-topics` writes it; how many rights were missing."""
    try:
        return len(run_blocking(lambda: ensure_acls(kafka)))
    except (AclError, KafkaError) as error:
        raise StackError(
            f"The services could not be given their rights: {error}.",
            "On a throw-away stack, `gongji-local down --wipe` and `gongji-local up` make everything anew.",
        ) from error


def readers_of(services: Collection[str]) -> list[Reader]:
    """The consumer groups of these services: a group has the name of its service, or begins with it and a dash."""
    return [
        Reader(topic.name, consumer)
        for topic in catalogue().topics.values()
        for consumer in topic.consumers
        if any(consumer == service or consumer.startswith(f"{service}-") for service in services)
    ]
