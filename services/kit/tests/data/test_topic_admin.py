"""Topics on the brokers: what is to be there, what differs, and that a look changes nothing."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gongji_local.ports import free_port
from kit.__main__ import EXIT_DRIFT, EXIT_FAILED, app
from kit.kafka_client import KafkaAddress, client_options
from kit.testing_events import HAPPENED, SampleTopic
from kit.topic_admin import ABSENT, UNSTATED, Drift, Shape, TopicError, check_topics, compare, ensure_topics, shapes
from kit.topics import Catalogue, CleanupPolicy, Topic, catalogue

RUNNER = CliRunner()
PROMISED = {"retention.bytes": "-1", "unclean.leader.election.enable": "false", "message.timestamp.type": "CreateTime"}
CONFIGS = {"cleanup.policy": "delete", "retention.ms": "3600000", "min.insync.replicas": "2"}
STATED = Shape(6, 3, CONFIGS)


def topic(**stated: Any) -> Topic:
    (sample,) = SampleTopic(name="sample-v1").catalogue.topics.values()
    return dataclasses.replace(sample, **stated)


def test_a_dlq_has_one_partition_and_is_never_compacted() -> None:
    compacted = topic(partitions=4, cleanup_policy=CleanupPolicy.COMPACT, replication=3, min_insync_replicas=2)
    configs = {"retention.ms": "3600000", "min.insync.replicas": "2"} | PROMISED
    assert shapes(Catalogue([compacted])) == {
        "sample-v1": Shape(4, 3, configs | {"cleanup.policy": "compact"}),
        "sample-v1-dlq": Shape(1, 3, configs | {"cleanup.policy": "delete"}),
    }


def test_a_topic_without_a_dlq_is_alone() -> None:
    assert shapes(Catalogue([topic(dlq=None)])).keys() == {"sample-v1"}


@given(st.integers(1, 9), st.integers(1, 9), st.none() | st.integers(1, 9))
def test_one_broker_may_always_fail_and_no_more_copies_are_asked_for_than_there_are(
    stated: int, in_sync: int, on_fewer: int | None
) -> None:
    shape = shapes(Catalogue([topic(replication=stated, min_insync_replicas=in_sync)]), on_fewer)["sample-v1"]
    copies = stated if on_fewer is None else on_fewer
    needed = int(shape.configs["min.insync.replicas"])
    assert shape.replication == copies
    assert 1 <= needed <= in_sync
    assert needed < copies or copies == 1


def test_the_platform_s_topics_survive_the_loss_of_a_broker() -> None:
    for shape in shapes(catalogue()).values():
        assert (shape.replication, shape.configs["min.insync.replicas"]) == (3, "2")


def test_what_is_as_stated_is_no_drift() -> None:
    found = Shape(6, 3, CONFIGS | {"segment.bytes": "1073741824"})
    assert compare({"a-v1": STATED}, {"a-v1": found, "others": STATED}).drifts == ()


def test_what_somebody_set_for_a_topic_and_no_file_states_is_a_drift() -> None:
    own = frozenset({"retention.ms", "max.message.bytes", "compression.type"})
    found = Shape(6, 3, CONFIGS | {"compression.type": "lz4", "max.message.bytes": "1", "segment.ms": "9"}, own)
    assert compare({"a-v1": STATED}, {"a-v1": found}).drifts == (
        Drift("a-v1", "compression.type", UNSTATED, "lz4"),
        Drift("a-v1", "max.message.bytes", UNSTATED, "1"),
    )


def test_the_order_of_policies_is_no_drift() -> None:
    stated, found = ({"cleanup.policy": policy} for policy in ("compact,delete", "delete, compact"))
    assert compare({"a-v1": Shape(1, 1, stated)}, {"a-v1": Shape(1, 1, found)}).drifts == ()


@pytest.mark.parametrize(
    ("found", "what", "told"),
    [
        (Shape(7, 3, CONFIGS), "partitions", ("6", "7")),
        (Shape(6, 2, CONFIGS), "replication", ("3", "2")),
        (Shape(6, 3, CONFIGS | {"cleanup.policy": "compact"}), "cleanup.policy", ("delete", "compact")),
        (Shape(6, 3, CONFIGS | {"cleanup.policy": "compact,delete"}), "cleanup.policy", ("delete", "compact,delete")),
        (Shape(6, 3, CONFIGS | {"retention.ms": "-1"}), "retention.ms", ("3600000", "-1")),
        (Shape(6, 3, CONFIGS | {"min.insync.replicas": "1"}), "min.insync.replicas", ("2", "1")),
        (Shape(6, 3, {"cleanup.policy": "delete", "retention.ms": "3600000"}), "min.insync.replicas", ("2", ABSENT)),
    ],
)
def test_each_thing_that_differs_is_a_drift(found: Shape, what: str, told: tuple[str, str]) -> None:
    assert compare({"a-v1": STATED}, {"a-v1": found}).drifts == (Drift("a-v1", what, *told),)


def test_what_is_not_there_is_a_drift_and_what_no_file_states_is_told() -> None:
    compared = compare({"a-v1": STATED}, {"old-events-v1": STATED, "old-events-v1-dlq": STATED, "__consumer": STATED})
    assert compared.drifts == (Drift("a-v1", "topic", "present", ABSENT),)
    assert compared.unstated == ("old-events-v1", "old-events-v1-dlq")


@pytest.fixture
async def admin(kafka: KafkaAddress) -> AsyncIterator[Any]:
    client = AIOKafkaAdminClient(**client_options(kafka, "test"))
    await client.start()
    yield client
    await client.close()


async def test_topics_are_created_once_and_as_stated(kafka: KafkaAddress) -> None:
    sample = SampleTopic(partitions=4)
    assert await ensure_topics(kafka, 1, sample.catalogue) == [sample.name, sample.dlq]
    assert await ensure_topics(kafka.kafka_bootstrap, 1, sample.catalogue) == []
    assert (await check_topics(kafka, 1, sample.catalogue)).drifts == ()


async def test_the_platform_s_own_topics_are_what_brokers_take(kafka: KafkaAddress) -> None:
    await ensure_topics(kafka, 1)
    compared = await check_topics(kafka, 1)
    assert compared.drifts == ()
    assert set(shapes(catalogue())).isdisjoint(compared.unstated)


async def test_another_number_of_partitions_is_refused(kafka: KafkaAddress) -> None:
    sample = SampleTopic(partitions=2)
    await ensure_topics(kafka, 1, sample.catalogue)
    with pytest.raises(TopicError, match=f"{sample.name} has 2 instead of 3"):
        await ensure_topics(kafka, 1, SampleTopic(3, sample.name).catalogue)


async def test_what_the_brokers_refuse_is_told(kafka: KafkaAddress) -> None:
    sample = SampleTopic()
    with pytest.raises(TopicError, match=sample.name):
        await ensure_topics(kafka, 99, sample.catalogue)


async def test_a_look_shows_what_was_changed_by_hand_and_changes_nothing(kafka: KafkaAddress, admin: Any) -> None:
    sample = SampleTopic(partitions=2)
    await ensure_topics(kafka, 1, sample.catalogue)
    by_hand = ConfigResource(ConfigResourceType.TOPIC, sample.name, {"retention.ms": "60000"})
    await admin.alter_configs([by_hand])
    drifts = (Drift(sample.name, "partitions", "5", "2"), Drift(sample.name, "retention.ms", "3600000", "60000"))
    stated = SampleTopic(5, sample.name).catalogue
    assert (await check_topics(kafka, 1, stated)).drifts == drifts
    assert (await check_topics(kafka, 1, stated)).drifts == drifts


async def test_a_look_shows_settings_by_which_events_would_go_early_or_not_come_at_all(
    kafka: KafkaAddress, admin: Any
) -> None:
    sample = SampleTopic()
    await ensure_topics(kafka, 1, sample.catalogue)
    by_hand = {"retention.ms": "3600000", "retention.bytes": "1000000", "max.message.bytes": "2000"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, sample.dlq, by_hand)])
    assert (await check_topics(kafka, 1, sample.catalogue)).drifts == (
        Drift(sample.dlq, "retention.bytes", "-1", "1000000"),
        Drift(sample.dlq, "max.message.bytes", UNSTATED, "2000"),
    )


@pytest.mark.parametrize("policy", CleanupPolicy)
async def test_brokers_take_every_policy_as_it_is_stated(kafka: KafkaAddress, policy: CleanupPolicy) -> None:
    name = SampleTopic().name
    one = Catalogue([topic(name=name, dlq=None, schema=(HAPPENED,), cleanup_policy=policy)])
    assert await ensure_topics(kafka, 1, one) == [name]
    assert (await check_topics(kafka, 1, one)).drifts == ()


async def test_a_topic_that_is_not_there_is_told_and_not_made(kafka: KafkaAddress, admin: Any) -> None:
    sample, unstated = SampleTopic(), f"{SampleTopic().name.removesuffix('-v1')}-events-v1"
    await admin.create_topics([NewTopic(unstated, 1, 1)])
    compared = await check_topics(kafka, 1, sample.catalogue)
    assert [(drift.topic, drift.found) for drift in compared.drifts] == [(sample.name, ABSENT), (sample.dlq, ABSENT)]
    assert unstated in compared.unstated
    there = await admin.list_topics()
    assert unstated in there
    assert sample.name not in there


def stated_in(folder: Path, sample: SampleTopic, **other: Any) -> Path:
    words = {"en": "Tests.", "zh": "测试。"}
    stated = {"topic": sample.name, "description": words, "owner": "kit", "key": words, "partitions": 3}
    stated |= {"retention_hours": 1, "cleanup_policy": "delete", "replication": 1, "min_insync_replicas": 1}
    stated |= {"schema": ["google.protobuf.StringValue"], "consumers": [], "dlq": sample.dlq}
    folder.mkdir(exist_ok=True)
    (folder / f"{sample.name}.yaml").write_text(yaml.safe_dump(stated | other), encoding="utf-8")
    return folder


def run(command: str, folder: Path, bootstrap: str) -> tuple[int, str]:
    answer = RUNNER.invoke(app, ["topics", command, "--bootstrap", bootstrap, "--topics-dir", str(folder)])
    return answer.exit_code, answer.output


def test_the_commands_create_check_and_show_a_table_of_what_differs(kafka: KafkaAddress, tmp_path: Path) -> None:
    sample, bootstrap = SampleTopic(), kafka.kafka_bootstrap
    first = stated_in(tmp_path / "first", sample)
    code, told = run("check", first, bootstrap)
    assert (code, told.splitlines()[0].split()) == (EXIT_DRIFT, ["topic", "what", "stated", "found"])
    assert f"{sample.name}      topic  present  absent" in told
    assert run("create", first, bootstrap) == (0, f"created {sample.name}\ncreated {sample.dlq}\n")
    assert run("create", first, bootstrap) == (0, "all topics are there\n")
    code, told = run("check", first, bootstrap)
    assert (code, told.splitlines()[0]) == (0, "all topics are as stated")
    later = stated_in(tmp_path / "later", sample, retention_hours=2)
    code, told = run("check", later, bootstrap)
    assert code == EXIT_DRIFT
    assert told.splitlines()[1].split() == [sample.name, "retention.ms", "7200000", "3600000"]
    assert run("create", stated_in(tmp_path / "more", sample, partitions=4), bootstrap)[0] == EXIT_FAILED


def test_what_cannot_be_read_or_reached_is_told_without_a_trace(tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port(None, ())}"
    code, told = run("check", tmp_path, nowhere)
    assert code == EXIT_FAILED
    assert "no topic files" in told
    code, told = run("check", stated_in(tmp_path, SampleTopic()), nowhere)
    assert code == EXIT_FAILED
    assert "Unable to bootstrap" in told
    assert "Traceback" not in told
