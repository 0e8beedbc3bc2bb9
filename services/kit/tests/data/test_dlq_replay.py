import pytest

from kit.db import Database
from kit.dead_letters import KafkaDeadLetterQueue, StoredRecord
from kit.events import Envelope, headers_of
from kit.inbox import PostgresInbox
from kit.kafka import KafkaAddress, Replay, ReplayStoppedError, replay_dlq
from kit.outbox import MemoryOutbox
from kit.testing_events import SampleTopic, event


class BrokenOnPurposeError(Exception):
    pass


class Effects:
    """A handler with an inbox, as every subscriber has."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.had: list[str] = []
        self.bad: set[str] = set()
        self.error: Exception = BrokenOnPurposeError()

    async def handle(self, envelopes: list[Envelope]) -> None:
        async with self._database.transaction() as transaction:
            new = await PostgresInbox(transaction).first_time("group", [envelope.id for envelope in envelopes])
            for envelope in envelopes:
                if envelope.key in self.bad:
                    raise self.error
            self.had += [envelope.key for envelope in envelopes if envelope.id in new]


@pytest.fixture
def effects(database: Database) -> Effects:
    return Effects(database)


async def bury(kafka: KafkaAddress, topic: SampleTopic, group: str, *keys: str) -> None:
    outbox = MemoryOutbox("kit", topic.catalogue)
    await outbox.add([event(key, "x") for key in keys])
    queue = KafkaDeadLetterQueue(kafka, "test")
    for place, row in enumerate(outbox.rows):
        record = StoredRecord(topic.name, 1, place, row.key.encode(), row.payload, headers_of(row))
        await queue.bury(record, group, BrokenOnPurposeError())
    await queue.close()


async def replay(kafka: KafkaAddress, topic: SampleTopic, effects: Effects, limit: int = 1000) -> Replay:
    return await replay_dlq(
        kafka,
        topic.name,
        "group",
        effects.handle,  # type: ignore[arg-type]  # the tests' handlers take lists
        limit=limit,
        topics=topic.catalogue,
    )


async def test_events_of_the_group_are_handled_and_those_of_others_left(
    kafka: KafkaAddress, topic: SampleTopic, effects: Effects
) -> None:
    await bury(kafka, topic, "group", "a")
    await bury(kafka, topic, "another", "b")
    await bury(kafka, topic, "group", "c")
    assert await replay(kafka, topic, effects) == Replay(replayed=2, buried=0, others=1)
    assert effects.had == ["a", "c"]


async def test_a_replay_goes_on_where_the_last_one_stopped(
    kafka: KafkaAddress, topic: SampleTopic, effects: Effects
) -> None:
    await bury(kafka, topic, "group", "a", "b", "c")
    assert await replay(kafka, topic, effects, limit=2) == Replay(2, 0, 0)
    assert effects.had == ["a", "b"]
    assert await replay(kafka, topic, effects) == Replay(1, 0, 0)
    assert await replay(kafka, topic, effects) == Replay(0, 0, 0)
    assert effects.had == ["a", "b", "c"]


async def test_what_fails_again_is_at_the_end_of_the_dlq_and_can_be_tried_once_more(
    kafka: KafkaAddress, topic: SampleTopic, effects: Effects
) -> None:
    await bury(kafka, topic, "group", "a", "b")
    effects.bad = {"a"}
    assert await replay(kafka, topic, effects) == Replay(1, 1, 0)
    effects.bad = set()
    assert await replay(kafka, topic, effects) == Replay(1, 0, 0)
    assert effects.had == ["b", "a"]


async def test_an_outage_stops_the_replay_without_losing_the_event(
    kafka: KafkaAddress, topic: SampleTopic, effects: Effects
) -> None:
    await bury(kafka, topic, "group", "a", "b")
    effects.bad, effects.error = {"b"}, ConnectionRefusedError()
    with pytest.raises(ReplayStoppedError, match="run it again"):
        await replay(kafka, topic, effects)
    effects.bad = set()
    assert await replay(kafka, topic, effects) == Replay(1, 0, 0)
    assert effects.had == ["a", "b"]


async def test_an_event_that_was_handled_meanwhile_has_no_second_effect(
    kafka: KafkaAddress, topic: SampleTopic, effects: Effects
) -> None:
    await bury(kafka, topic, "group", "a")
    assert await replay(kafka, topic, effects) == Replay(1, 0, 0)
    group = "group-dlq-replay"
    await forget(kafka, topic, group)
    assert await replay(kafka, topic, effects) == Replay(1, 0, 0)
    assert effects.had == ["a"]


async def forget(kafka: KafkaAddress, topic: SampleTopic, group: str) -> None:
    """Let the group begin at the DLQ's start again."""
    from aiokafka import TopicPartition  # type: ignore[import-untyped]

    from kit.kafka_client import new_consumer, started

    consumer = await started(lambda: new_consumer(kafka, "test", group_id=group))
    place = TopicPartition(topic.dlq, 0)
    consumer.assign([place])
    await consumer.commit({place: 0})
    await consumer.stop()


async def test_a_replay_without_kafka_says_so(topic: SampleTopic, effects: Effects, unused_tcp_port: int) -> None:
    with pytest.raises(ReplayStoppedError):
        await replay(KafkaAddress(f"127.0.0.1:{unused_tcp_port}"), topic, effects)
