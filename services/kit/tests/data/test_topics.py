from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType  # type: ignore[import-untyped]

from kit.kafka_client import KafkaAddress, client_options
from kit.testing_events import SampleTopic
from kit.topics import (
    Catalogue,
    CatalogueError,
    Topic,
    TopicError,
    catalogue,
    default_directory,
    ensure_topics,
    load_catalogue,
    message_class,
)

GOOD = """
topic: good-v1
owner: kit
key: anything
partitions: 6
retention_hours: 24
schema: [google.protobuf.StringValue]
consumers: [one, two]
dlq: good-v1-dlq
"""


def test_a_topic_file_says_all_about_a_topic(tmp_path: Path) -> None:
    (tmp_path / "good-v1.yaml").write_text(GOOD, encoding="utf-8")
    assert load_catalogue(tmp_path).topic_of("google.protobuf.StringValue") == Topic(
        "good-v1", "kit", "anything", 6, 24, ("google.protobuf.StringValue",), ("one", "two"), "good-v1-dlq"
    )


@pytest.mark.parametrize("broken", ["topic: x", "- a", "{", GOOD.replace("partitions: 6", "partitions: six")])
def test_a_broken_topic_file_is_named(tmp_path: Path, broken: str) -> None:
    (tmp_path / "bad-v1.yaml").write_text(broken, encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"bad-v1\.yaml"):
        load_catalogue(tmp_path)


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


async def configs(kafka: KafkaAddress, topic: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(**client_options(kafka, "test"))
    await admin.start()
    try:
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        return {config[0]: config[1] for config in answers[0].resources[0][4]}
    finally:
        await admin.close()


async def test_topics_are_created_once_and_as_stated(kafka: KafkaAddress) -> None:
    sample = SampleTopic(partitions=4)
    assert await ensure_topics(kafka, 1, sample.catalogue) == [sample.name, sample.dlq]
    assert await ensure_topics(kafka.kafka_bootstrap, 1, sample.catalogue) == []
    found = await configs(kafka, sample.name)
    assert (found["retention.ms"], found["cleanup.policy"]) == ("3600000", "delete")


async def test_another_number_of_partitions_is_refused(kafka: KafkaAddress) -> None:
    sample = SampleTopic(partitions=2)
    await ensure_topics(kafka, 1, sample.catalogue)
    with pytest.raises(TopicError, match=f"{sample.name} has 2 instead of 3"):
        await ensure_topics(kafka, 1, SampleTopic(3, sample.name).catalogue)


async def test_what_the_brokers_refuse_is_told(kafka: KafkaAddress) -> None:
    sample = SampleTopic()
    with pytest.raises(TopicError, match=sample.name):
        await ensure_topics(kafka, 99, sample.catalogue)
