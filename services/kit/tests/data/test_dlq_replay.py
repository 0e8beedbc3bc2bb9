"""What an operator may do with dead letters, in memory."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from kit.dead_letters import StoredRecord
from kit.dlq_actions import Action, Actions, Deed, MemoryActions
from kit.dlq_letters import Letter, MemoryDeadLetters, Place
from kit.dlq_replay import Drop, Dropping, LetterError, Looking, Replay, Replaying, ReplayStoppedError
from kit.events import Envelope, headers_of, parse
from kit.outbox import MemoryOutbox
from kit.testing import MemoryInbox
from kit.testing_events import SampleTopic, event

TOPIC = SampleTopic()


class BrokenOnPurposeError(Exception):
    pass


class Bench:
    """A DLQ whose events are handled with an inbox, as by every subscriber."""

    def __init__(self) -> None:
        self.dlq = MemoryDeadLetters()
        self.inbox = MemoryInbox()
        self.actions = MemoryActions(self.inbox)
        self.had: list[str] = []
        self.bad: set[str] = set()
        self.error: Exception = BrokenOnPurposeError()
        self.looking = Looking(self.dlq, self.work, ["group", "second"])
        handlers = {"group": self.handle, "second": self.handle_second}
        self.replaying = Replaying(self.looking, self.dlq, self.work, handlers, TOPIC.catalogue)

    @asynccontextmanager
    async def work(self) -> AsyncIterator[Actions]:
        yield self.actions

    async def handle(self, envelopes: Sequence[Envelope], group: str = "group") -> None:
        if any(envelope.key in self.bad for envelope in envelopes):
            raise self.error
        new = await self.inbox.first_time(group, [envelope.id for envelope in envelopes])
        self.had += [envelope.key for envelope in envelopes if envelope.id in new]

    async def handle_second(self, envelopes: Sequence[Envelope]) -> None:
        await self.handle(envelopes, "second")

    async def fail(self, *keys: str, group: str = "group") -> list[Letter]:
        """Events of these keys that a group failed on."""
        outbox = MemoryOutbox("kit", TOPIC.catalogue)
        await outbox.add([event(key, "x") for key in keys])
        for place, row in enumerate(outbox.rows):
            record = StoredRecord(TOPIC.name, 1, place, row.key.encode(), row.payload, headers_of(row))
            await self.dlq.bury(record, group, BrokenOnPurposeError())
        return self.dlq.letters[-len(keys) :]

    async def fail_again(self, letter: Letter, group: str = "group") -> Letter:
        """The same event buried once more, as after a crash between burying and acknowledging."""
        await self.dlq.bury(letter.origin, group, BrokenOnPurposeError())
        return self.dlq.letters[-1]

    async def replay(self, limit: int = 1_000) -> Replay:
        return await self.replaying.all(TOPIC.name, "Aliya", limit)

    async def replay_one(self, letter: Letter) -> Replay:
        return await self.replaying.one(TOPIC.name, letter.place, "Aliya")

    async def drop(self, letter: Letter) -> Drop:
        return await Dropping(self.looking, self.work).drop(TOPIC.name, letter.place, "Aliya", "a double")

    async def open(self) -> list[int]:
        return [found.letter.place.offset async for found in self.looking.all(TOPIC.name) if found.end is None]

    def deeds(self) -> list[tuple[int, str]]:
        return [(letter.place.offset, str(deed.action)) for letter, deed, _ in self.actions.rows]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_events_of_the_services_groups_are_handled_each_by_its_own_and_those_of_others_left(bench: Bench) -> None:
    (first,) = await bench.fail("a")
    await bench.fail("b", group="another")
    await bench.fail_again(first, "second")
    assert await bench.replay() == Replay(replayed=2, buried=0, others=1)
    assert bench.had == ["a", "a"]
    assert {consumer for consumer, _ in bench.inbox.taken} == {"group", "second"}


async def test_a_replay_goes_on_where_the_last_one_stopped(bench: Bench) -> None:
    await bench.fail("a", "b", "c")
    assert await bench.replay(limit=2) == Replay(2, 0, 0)
    assert bench.had == ["a", "b"]
    assert await bench.replay() == Replay(1, 0, 0)
    assert await bench.replay() == Replay(0, 0, 0)
    assert bench.had == ["a", "b", "c"]


async def test_what_fails_again_is_at_the_end_of_the_dlq_and_can_be_tried_once_more(bench: Bench) -> None:
    await bench.fail("a", "b")
    bench.bad = {"a"}
    assert await bench.replay() == Replay(1, 1, 0)
    assert (await bench.open(), bench.dlq.letters[-1].replays) == ([2], 1)
    bench.bad = set()
    assert await bench.replay() == Replay(1, 0, 0)
    assert bench.had == ["b", "a"]
    assert await bench.open() == []


async def test_what_somebody_else_replayed_meanwhile_is_not_counted_twice(bench: Bench) -> None:
    letter, _ = await bench.fail("a", "b")
    handle = bench.handle

    async def overtaken(envelopes: Sequence[Envelope], group: str = "group") -> None:
        await handle(envelopes, group)
        await bench.actions.add(letter, Deed(Action.REPLAYED, "Botagoz"))

    bench.replaying = Replaying(bench.looking, bench.dlq, bench.work, {"group": overtaken}, TOPIC.catalogue)
    assert await bench.replay() == Replay(replayed=1, buried=0, others=0)
    assert bench.had == ["a", "b"]
    ends = [(deed.action, deed.operator) for _, deed, _ in bench.actions.rows if deed.action is Action.REPLAYED]
    assert ends == [(Action.REPLAYED, "Botagoz"), (Action.REPLAYED, "Aliya")]


async def test_one_letter_is_replayed_and_the_others_stay_open(bench: Bench) -> None:
    letters = await bench.fail("a", "b", "c")
    assert await bench.replay_one(letters[1]) == Replay(1, 0, 0)
    assert (bench.had, await bench.open()) == (["b"], [0, 2])
    with pytest.raises(LetterError, match="at 1 was replayed by Aliya"):
        await bench.replay_one(letters[1])
    assert await bench.replay() == Replay(2, 0, 0)
    assert bench.had == ["b", "a", "c"]


async def test_every_deed_is_written_down_and_who_did_it(bench: Bench) -> None:
    letters = await bench.fail("a", "b", "c")
    await bench.drop(letters[2])
    bench.bad = {"b"}
    await bench.replay()
    assert bench.deeds() == [
        (2, "DROPPED"),
        (0, "REPLAY_BEGUN"),
        (0, "REPLAYED"),
        (1, "REPLAY_BEGUN"),
        (1, "FAILED_AGAIN"),
    ]
    assert {(deed.operator, deed.reason) for _, deed, _ in bench.actions.rows[:1]} == {("Aliya", "a double")}
    assert {deed.operator for _, deed, _ in bench.actions.rows} == {"Aliya"}


async def test_who_began_a_replay_that_died_is_known_and_the_letter_is_still_open(bench: Bench) -> None:
    (letter,) = await bench.fail("a")
    bench.bad, bench.error = {"a"}, ConnectionRefusedError()
    with pytest.raises(ReplayStoppedError, match="run it again"):
        await bench.replay()
    with pytest.raises(ReplayStoppedError, match="run it again"):
        await bench.replay_one(letter)
    assert bench.deeds() == [(0, "REPLAY_BEGUN")] * 2
    bench.bad = set()
    assert await bench.replay() == Replay(1, 0, 0)
    assert bench.had == ["a"]


async def test_a_fault_of_the_program_is_no_outage(bench: Bench) -> None:
    (letter,) = await bench.fail("a")
    bench.replaying = Replaying(bench.looking, bench.dlq, bench.work, {}, TOPIC.catalogue)
    for replay in (bench.replay(), bench.replay_one(letter)):
        with pytest.raises(KeyError):
            await replay


async def test_what_was_dropped_is_never_handled(bench: Bench) -> None:
    letters = await bench.fail("a", "b")
    assert await bench.drop(letters[0]) == Drop(was_handled=False)
    assert await bench.open() == [1]
    assert await bench.replay() == Replay(1, 0, 0)
    with pytest.raises(LetterError, match=r"was dropped by Aliya at .* because: a double"):
        await bench.replay_one(letters[0])
    with pytest.raises(LetterError, match="was dropped"):
        await bench.drop(letters[0])
    assert bench.had == ["b"]


async def test_an_event_that_was_dropped_is_dropped_wherever_else_it_is(bench: Bench) -> None:
    (letter,) = await bench.fail("a")
    double = await bench.fail_again(letter)
    await bench.drop(letter)
    assert await bench.open() == []
    with pytest.raises(LetterError, match="was dropped"):
        await bench.replay_one(double)
    assert await bench.replay() == Replay(0, 0, 0)
    await bench.handle([_envelope(letter)])  # as if its topic were read again
    assert bench.had == []


async def test_an_event_is_dropped_for_one_consumer_only(bench: Bench) -> None:
    (letter,) = await bench.fail("a")
    await bench.fail_again(letter, "second")
    await bench.drop(letter)
    assert await bench.replay() == Replay(1, 0, 0)
    assert bench.had == ["a"]


async def test_dropping_says_whether_the_event_had_its_effect_before(bench: Bench) -> None:
    (letter,) = await bench.fail("a")
    await bench.handle([_envelope(letter)])
    assert await bench.drop(letter) == Drop(was_handled=True)


async def test_what_cannot_be_read_can_be_dropped_by_its_place_alone(bench: Bench) -> None:
    for _ in range(2):
        torn = StoredRecord(TOPIC.name, 0, 7, b"k", b"\xff", [("ce_id", b"\xff"), ("ce_type", b"no type")])
        await bench.dlq.bury(torn, "group", BrokenOnPurposeError())
    letter = bench.dlq.letters[0]
    assert (letter.event_id, letter.event_type) == (None, "")
    assert await bench.drop(letter) == Drop(was_handled=False)
    assert await bench.open() == [1]
    assert await bench.replay() == Replay(0, 1, 0)


async def test_letters_that_are_not_there_or_of_others_are_refused(bench: Bench) -> None:
    (letter,) = await bench.fail("a", group="another")
    with pytest.raises(LetterError, match="one of the consumer 'another'"):
        await bench.drop(letter)
    with pytest.raises(LetterError, match=r"no letter at 9 of .*-dlq"):
        await bench.replay_one(replace(letter, place=Place(0, 9)))
    assert bench.deeds() == []


async def test_a_letter_that_another_operator_ended_meanwhile_is_passed_over(bench: Bench) -> None:
    letters = await bench.fail("a", "b")
    handle = bench.handle

    async def drops_the_next(envelopes: Sequence[Envelope]) -> None:
        await handle(envelopes)
        await bench.drop(letters[1])

    bench.replaying = Replaying(bench.looking, bench.dlq, bench.work, {"group": drops_the_next}, TOPIC.catalogue)
    assert await bench.replay() == Replay(1, 0, 0)
    assert bench.had == ["a"]


async def test_a_dlq_longer_than_a_page_is_listed_and_replayed_whole(bench: Bench) -> None:
    await bench.fail(*(f"{number}" for number in range(203)))
    assert await bench.open() == list(range(203))
    assert await bench.replay() == Replay(203, 0, 0)
    assert bench.had == [f"{number}" for number in range(203)]


def _envelope(letter: Letter) -> Envelope:
    origin = letter.origin
    return parse(origin.headers, origin.value or b"", key=origin.key, topic=origin.topic, topics=TOPIC.catalogue)
