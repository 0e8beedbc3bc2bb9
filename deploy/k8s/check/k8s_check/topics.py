"""`topics`: Strimzi's KafkaTopics and KafkaUsers, written from `protos/topics` and kept in the tree."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml

from kit.topic_access import Grant, Kind, users_of
from kit.topic_admin import Shape, shapes
from kit.topics import Catalogue

SERVICES: Final = ("identity", "binding", "settlement", "notify")
NAMESPACE: Final = "gongji"
CLUSTER: Final = "gongji"
TOPICS_FILE: Final = "topics.yaml"
USERS_FILE: Final = "users.yaml"
_HEAD: Final = "# Written by `make k8s-topics` from protos/topics; a test tells when it is not in step.\n"


def documents(topics: Catalogue) -> dict[str, str]:
    """The text of each file, by its name."""
    return {
        TOPICS_FILE: _written(_topic(name, shape) for name, shape in shapes(topics).items()),
        USERS_FILE: _written(_user(user, grants) for user, grants in users_of(topics, SERVICES).items()),
    }


def _written(objects: Iterable[Mapping[str, Any]]) -> str:
    return _HEAD + "---\n".join(yaml.safe_dump(each, sort_keys=False, width=120) for each in objects)


def _topic(name: str, shape: Shape) -> Mapping[str, Any]:
    return {
        **_head("KafkaTopic", name),
        "spec": {"partitions": shape.partitions, "replicas": shape.replication, "config": dict(shape.configs)},
    }


def _user(user: str, grants: Iterable[Grant]) -> Mapping[str, Any]:
    # Strimzi puts the certificate into a Secret of the user's name, which is the one that the Deployments mount.
    return {
        **_head("KafkaUser", f"{user}-kafka"),
        "spec": {
            "authentication": {"type": "tls"},
            "authorization": {"type": "simple", "acls": [_acl(grant) for grant in grants]},
        },
    }


def _acl(grant: Grant) -> Mapping[str, Any]:
    named = {} if grant.kind is Kind.CLUSTER else {"name": grant.name, "patternType": "literal"}
    return {"resource": {"type": grant.kind.value, **named}, "operations": list(grant.operations)}


def _head(kind: str, name: str) -> Mapping[str, Any]:
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"strimzi.io/cluster": CLUSTER}},
    }
