from pathlib import Path
from typing import Any

import yaml

from k8s_check.topics import TOPICS_FILE, USERS_FILE, documents
from kit.kafka_acls import Acl, stated
from kit.topics import catalogue

STRIMZI = Path(__file__).parents[2] / "components/strimzi"


def test_what_the_tree_has_is_what_the_topics_state() -> None:
    for name, text in documents(catalogue()).items():
        assert (STRIMZI / name).read_text() == text, f"{name} has drifted: run `make k8s-topics`"


def test_each_topic_and_its_dead_letters_are_made_as_stated() -> None:
    made = {each["metadata"]["name"]: each["spec"] for each in yaml.safe_load_all(documents(catalogue())[TOPICS_FILE])}
    assert len(made) == 2 * len(catalogue().topics)
    for topic in catalogue().topics.values():
        assert made[topic.name]["partitions"] == topic.partitions
        assert made[topic.name]["config"]["min.insync.replicas"] == str(topic.min_insync_replicas)
        assert made[f"{topic.name}-dlq"]["partitions"] == 1


def test_a_service_may_write_what_it_owns_and_only_read_what_others_own() -> None:
    users = {each["metadata"]["name"]: each for each in yaml.safe_load_all(documents(catalogue())[USERS_FILE])}
    acls = {
        (each["resource"]["type"], each["resource"]["name"]): each["operations"]
        for each in users["binding-kafka"]["spec"]["authorization"]["acls"]
    }
    assert acls == {
        ("topic", "binding-events-v1"): ["Describe", "Write"],
        ("topic", "identity-events-v1"): ["Describe", "Read"],
        ("topic", "identity-events-v1-dlq"): ["Describe", "Write", "Read"],
        ("topic", "settlement-events-v1"): ["Describe", "Read"],
        ("topic", "settlement-events-v1-dlq"): ["Describe", "Write", "Read"],
        ("group", "binding"): ["Read"],
    }


def acls_of_users() -> dict[str, list[dict[str, Any]]]:
    users = yaml.safe_load_all(documents(catalogue())[USERS_FILE])
    return {each["metadata"]["name"]: each["spec"]["authorization"]["acls"] for each in users}


def test_nothing_is_opened_by_a_prefix_or_for_everybody() -> None:
    for user, acls in acls_of_users().items():
        for acl in acls:
            assert "All" not in acl["operations"]
            if user != "topics-check-kafka":
                assert acl["resource"]["patternType"] == "literal"
                assert acl["resource"]["name"] != "*"


def test_who_checks_may_look_at_every_topic_and_every_acl_and_do_nothing() -> None:
    assert acls_of_users()["topics-check-kafka"] == [
        {
            "resource": {"type": "topic", "name": "*", "patternType": "literal"},
            "operations": ["Describe", "DescribeConfigs"],
        },
        {"resource": {"type": "cluster"}, "operations": ["Describe"]},
    ]


def test_the_command_for_other_brokers_gives_the_very_same_rights() -> None:
    by_the_operator = {
        Acl(f"User:CN={user}", acl["resource"]["type"], acl["resource"].get("name", ""), operation)
        for user, acls in acls_of_users().items()
        for acl in acls
        for operation in acl["operations"]
    }
    assert stated(catalogue(), "User:CN={user}-kafka") == by_the_operator
