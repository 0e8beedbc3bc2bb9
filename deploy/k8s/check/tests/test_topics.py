from pathlib import Path

import yaml

from k8s_check.topics import TOPICS_FILE, USERS_FILE, documents
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


def test_nothing_is_opened_by_a_prefix_or_for_everybody() -> None:
    for user in yaml.safe_load_all(documents(catalogue())[USERS_FILE]):
        for acl in user["spec"]["authorization"]["acls"]:
            assert acl["resource"]["patternType"] == "literal"
            assert acl["resource"]["name"] != "*"
            assert "All" not in acl["operations"]
