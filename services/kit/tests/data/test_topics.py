from pathlib import Path

import pytest

from kit.testing_events import SampleTopic
from kit.topics import (
    Catalogue,
    CatalogueError,
    CleanupPolicy,
    Topic,
    Words,
    catalogue,
    default_directory,
    load_catalogue,
    message_class,
)

GOOD = """
topic: good-v1
description: {en: All that is good., zh: 一切美好。}
owner: kit
key: {en: anything, zh: 任意}
partitions: 6
retention_hours: 24
cleanup_policy: delete
replication: 3
min_insync_replicas: 2
schema: [google.protobuf.StringValue]
consumers: [one, two]
dlq: good-v1-dlq
"""


def test_a_topic_file_says_all_about_a_topic(tmp_path: Path) -> None:
    (tmp_path / "good-v1.yaml").write_text(GOOD, encoding="utf-8")
    assert load_catalogue(tmp_path).topic_of("google.protobuf.StringValue") == Topic(
        name="good-v1",
        description=Words("All that is good.", "一切美好。"),
        owner="kit",
        key=Words("anything", "任意"),
        partitions=6,
        retention_hours=24,
        cleanup_policy=CleanupPolicy.DELETE,
        replication=3,
        min_insync_replicas=2,
        schema=("google.protobuf.StringValue",),
        consumers=("one", "two"),
        dlq="good-v1-dlq",
    )


BROKEN = {
    "nothing but a name": "topic: good-v1",
    "a list": "- a",
    "no YAML": "{",
    "a number in words": GOOD.replace("partitions: 6", "partitions: six"),
    "no partition": GOOD.replace("partitions: 6", "partitions: 0"),
    "a misspelt key": GOOD.replace("retention_hours", "retention_hour"),
    "a key that Kafka would take": GOOD + "max.message.bytes: 1\n",
    "another policy": GOOD.replace("cleanup_policy: delete", "cleanup_policy: shred"),
    "no event": GOOD.replace("[google.protobuf.StringValue]", "[]"),
    "no Chinese": GOOD.replace(", zh: 一切美好。", ""),
    "an empty description": GOOD.replace("一切美好。", "''"),
    "more copies in step than copies": GOOD.replace("min_insync_replicas: 2", "min_insync_replicas: 4"),
    "no copy in step": GOOD.replace("min_insync_replicas: 2", "min_insync_replicas: 0"),
    "compaction of several kinds of events": GOOD.replace("cleanup_policy: delete", "cleanup_policy: compact").replace(
        "StringValue]", "StringValue, google.protobuf.BoolValue]"
    ),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_topic_file_is_named(tmp_path: Path, broken: str) -> None:
    (tmp_path / "good-v1.yaml").write_text(broken, encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"good-v1\.yaml"):
        load_catalogue(tmp_path)


def test_a_file_is_named_after_its_topic(tmp_path: Path) -> None:
    (tmp_path / "other-v1.yaml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"other-v1\.yaml states the topic good-v1"):
        load_catalogue(tmp_path)


@pytest.mark.parametrize("name", ["good", "good-v0", "Good-v1", "good_v1", "-good-v1"])
def test_a_topic_s_name_ends_with_its_version(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.yaml").write_text(GOOD.replace("topic: good-v1", f"topic: {name}"), encoding="utf-8")
    with pytest.raises(CatalogueError, match="pattern"):
        load_catalogue(tmp_path)


@pytest.mark.parametrize("policy", CleanupPolicy)
def test_a_topic_of_one_kind_of_event_may_keep_the_newest_of_each_key(tmp_path: Path, policy: CleanupPolicy) -> None:
    stated = GOOD.replace("cleanup_policy: delete", f"cleanup_policy: '{policy.value}'")
    (tmp_path / "good-v1.yaml").write_text(stated, encoding="utf-8")
    assert load_catalogue(tmp_path).topic("good-v1").cleanup_policy is policy


def test_a_folder_without_topics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="TOPICS_DIR"):
        load_catalogue(tmp_path)


def test_an_event_has_one_topic_only() -> None:
    one, other = SampleTopic().catalogue, SampleTopic().catalogue
    with pytest.raises(CatalogueError, match="an event has one topic"):
        Catalogue([*one.topics.values(), *other.topics.values()])


def test_unknown_names_are_told() -> None:
    with pytest.raises(CatalogueError, match="unheard-v1"):
        SampleTopic().catalogue.topic("unheard-v1")
    with pytest.raises(CatalogueError, match=r"kit\.Unheard"):
        SampleTopic().catalogue.topic_of("kit.Unheard")


def test_every_message_of_the_platform_s_topics_is_in_the_contracts() -> None:
    stated = catalogue()
    for topic in stated.topics.values():
        assert topic.schema
        for full_name in topic.schema:
            assert message_class(full_name).DESCRIPTOR.full_name == full_name


def test_the_topics_are_found_beside_the_contracts() -> None:
    assert sorted(path.stem for path in default_directory().glob("*.yaml")) == sorted(catalogue().topics)


@pytest.mark.parametrize("name", ["gongji.unheard.events.v1.X", "google.protobuf.Unheard"])
def test_a_message_that_the_contracts_do_not_have_is_refused(name: str) -> None:
    with pytest.raises(CatalogueError):
        message_class(name)
