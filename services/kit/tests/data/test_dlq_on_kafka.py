"""Dead letters on a real Kafka, with what was done with them on a real PostgreSQL."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from kit.clock import SystemClock
from kit.db import Database
from kit.dead_letters import KafkaDeadLetterQueue, StoredRecord
from kit.dlq_actions import actions_of
from kit.dlq_letters import KafkaDeadLetters, Letter, Place
from kit.dlq_replay import Drop, Dropping, LetterError, Looking, Replay, Replaying, ReplayStoppedError
from kit.events import Envelope, headers_of
from kit.inbox import PostgresInbox
from kit.kafka_client import KafkaAddress
from kit.outbox import MemoryOutbox
from kit.testing_events import SampleTopic, event


class BrokenOnPurposeError(Exception):
    pass


@dataclass
class Bench:
    kafka: KafkaAddress
    topic: SampleTopic
    database: Database
    queue: KafkaDeadLetterQueue
    had: list[str] = field(default_factory=list)
    bad: set[str] = field(default_factory=set)

    @property
    def letters(self) -> KafkaDeadLetters:
        return KafkaDeadLetters(self.kafka, self.queue, "test")

    @property
    def looking(self) -> Looking:
        return Looking(self.letters, actions_of(self.database), ["group"])

    @property
    def replaying(self) -> Replaying:
        handlers = {"group": self.handle}
        return Replaying(self.looking, self.queue, actions_of(self.database), handlers, self.topic.catalogue)

    async def handle(self, envelopes: Sequence[Envelope]) -> None:
        async with self.database.transaction() as transaction:
            new = await PostgresInbox(transaction).first_time("group", [envelope.id for envelope in envelopes])
            if self.bad.intersection(envelope.key for envelope in envelopes):
                raise BrokenOnPurposeError
        self.had += [envelope.key for envelope in envelopes if envelope.id in new]

    async def fail(self, *keys: str, group: str = "group") -> None:
        outbox = MemoryOutbox("kit", self.topic.catalogue)
        await outbox.add([event(key, "x") for key in keys])
        for place, row in enumerate(outbox.rows):
            record = StoredRecord(self.topic.name, 1, place, row.key.encode(), row.payload, headers_of(row))
            await self.queue.bury(record, group, BrokenOnPurposeError())

    async def all(self) -> list[Letter]:
        return [letter async for letter in self.letters.all(self.topic.dlq)]


@pytest.fixture
async def bench(kafka: KafkaAddress, topic: SampleTopic, database: Database) -> AsyncIterator[Bench]:
    queue = KafkaDeadLetterQueue(kafka, "test")
    yield Bench(kafka, topic, database, queue)
    await queue.close()


async def test_letters_are_read_from_the_first_to_the_last_as_often_as_one_likes(bench: Bench) -> None:
    assert await bench.all() == []
    await bench.fail("a", "b", "c")
    letters = await bench.all()
    assert [(str(letter.place), letter.record.key) for letter in letters] == [("0", b"a"), ("1", b"b"), ("2", b"c")]
    assert all(timedelta() <= SystemClock().now() - letter.written_at < timedelta(hours=1) for letter in letters)
    assert {(letter.consumer, letter.error, letter.replays) for letter in letters} == {
        ("group", "BrokenOnPurposeError", 0)
    }
    assert await bench.all() == letters


async def test_letters_are_found_in_every_partition_where_somebody_made_more(bench: Bench) -> None:
    keys = {f"key-{number}".encode() for number in range(30)}
    for key in keys:
        await bench.queue.send(bench.topic.name, StoredRecord(bench.topic.name, 0, 0, key, b"x", []), [])
    letters = [letter async for letter in bench.letters.all(bench.topic.name)]
    assert {letter.record.key for letter in letters} == keys
    assert {letter.place.partition for letter in letters} == {0, 1, 2}
    assert await bench.letters.at(bench.topic.name, letters[-1].place) == letters[-1]


async def test_one_letter_is_found_by_its_place(bench: Bench) -> None:
    await bench.fail("a", "b", "c")
    letters = await bench.all()
    assert [await bench.letters.at(bench.topic.dlq, letter.place) for letter in letters] == letters
    for place in (Place(0, 3), Place(1, 0)):
        assert await bench.letters.at(bench.topic.dlq, place) is None


async def test_letters_are_replayed_dropped_and_ended_for_good(bench: Bench) -> None:
    await bench.fail("a", "b", "c")
    await bench.fail("x", group="another")
    bench.bad = {"a"}
    dropping = Dropping(bench.looking, actions_of(bench.database))
    assert await dropping.drop(bench.topic.name, Place(0, 1), "Aliya", "a double") == Drop(was_handled=False)
    assert await bench.replaying.all(bench.topic.name, "Aliya") == Replay(replayed=1, buried=1, others=1)
    assert (bench.had, len(await bench.all())) == (["c"], 5)
    bench.bad = set()
    assert await bench.replaying.one(bench.topic.name, Place(0, 4), "Aliya") == Replay(1, 0, 0)
    assert await bench.replaying.all(bench.topic.name, "Aliya") == Replay(0, 0, 1)
    assert bench.had == ["c", "a"]
    with pytest.raises(LetterError, match=r"was dropped by Aliya at .* because: a double"):
        await bench.replaying.one(bench.topic.name, Place(0, 1), "Aliya")


async def test_a_replay_without_kafka_says_so(bench: Bench, unused_tcp_port: int) -> None:
    gone = KafkaAddress(f"127.0.0.1:{unused_tcp_port}")
    bench.kafka, bench.queue = gone, KafkaDeadLetterQueue(gone, "test")
    with pytest.raises(ReplayStoppedError, match="run it again"):
        await bench.replaying.all(bench.topic.name, "Aliya")
