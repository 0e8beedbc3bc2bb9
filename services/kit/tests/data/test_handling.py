import asyncio
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
import structlog
from prometheus_client import REGISTRY

from kit.db_errors import ConnectTimedOut
from kit.dead_letters import MemoryDeadLetterQueue, Record, StoredRecord, burial_headers, describe, origin_of
from kit.errors import Refusal
from kit.events import Envelope, UnreadableEventError, headers_of
from kit.handling import BatchProcessor, PostponedError, RetryPolicy, TooManyFailuresError
from kit.observability import configure_logging
from kit.outbox import MemoryOutbox
from kit.testing_events import AT, SampleTopic, event

TOPIC = SampleTopic()
IMPATIENT = RetryPolicy(attempts=3, first_pause_seconds=0.0, most_pause_seconds=0.0, halt_after=3)


class BrokenOnPurposeError(Exception):
    pass


async def records(*texts: str) -> list[StoredRecord]:
    outbox = MemoryOutbox("kit", TOPIC.catalogue)
    await outbox.add([event("k", text) for text in texts])
    return [
        StoredRecord(TOPIC.name, 1, 100 + place, b"k", row.payload, headers_of(row))
        for place, row in enumerate(outbox.rows)
    ]


@pytest.fixture
def a_log(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """What a process writes, on what the test captures."""
    del capsys
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logging("kit", "INFO")
    yield
    structlog.reset_defaults()
    root.handlers, root.level = before


class Script:
    """A handler that has an effect unless it is told to fail."""

    def __init__(self, failing: Callable[[str], Exception | None] = lambda _text: None) -> None:
        self.effects: list[str] = []
        self.calls: list[list[str]] = []
        self.failing = failing

    async def handle(self, envelopes: Sequence[Envelope]) -> None:
        texts = [str(getattr(envelope.message, "text")) for envelope in envelopes]  # noqa: B009 - a dynamic message
        self.calls.append(texts)
        for text in texts:
            if error := self.failing(text):
                raise error
        self.effects += texts


class Bench:
    def __init__(self, script: Script, policy: RetryPolicy = IMPATIENT) -> None:
        self.script = script
        self.dlq = MemoryDeadLetterQueue()
        self.processor = BatchProcessor("group", script.handle, self.dlq, policy, TOPIC.catalogue)

    @property
    def buried(self) -> list[int]:
        return [int(dict(record.headers)["x-dlq-offset"]) for record in self.dlq.buried]


def only(bad: str, error: Exception | None = None) -> Callable[[str], Exception | None]:
    return lambda text: (error or BrokenOnPurposeError("11010119900307001X")) if text == bad else None


async def test_a_batch_is_handled_in_one_call() -> None:
    bench = Bench(Script())
    await bench.processor.process(await records("a", "b", "c"))
    assert bench.script.calls == [["a", "b", "c"]]
    assert bench.buried == []


async def test_one_bad_event_does_not_fail_its_batch_mates() -> None:
    bench = Bench(Script(only("b")))
    await bench.processor.process(await records("a", "b", "c"))
    assert bench.script.effects == ["a", "c"]
    assert bench.buried == [101]


async def test_a_failing_event_is_tried_as_often_as_the_policy_says() -> None:
    bench = Bench(Script(only("a")))
    await bench.processor.process(await records("a"))
    assert bench.script.calls == [["a"]] * (1 + IMPATIENT.attempts)


async def test_an_event_that_succeeds_at_last_is_not_buried() -> None:
    failures = iter([BrokenOnPurposeError(), BrokenOnPurposeError(), BrokenOnPurposeError()])
    bench = Bench(Script(lambda _text: next(failures, None)))
    await bench.processor.process(await records("a"))
    assert (bench.script.effects, bench.buried) == (["a"], [])


@pytest.mark.parametrize(
    "outage",
    [
        ConnectionRefusedError(),
        asyncpg.CannotConnectNowError(),
        asyncpg.DeadlockDetectedError(),
        asyncpg.DiskFullError(),
        ConnectTimedOut(),
        Refusal("OVERLOADED"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_outage_puts_the_batch_off_and_buries_nothing(outage: Exception) -> None:
    bench = Bench(Script(only("b", outage)))
    for _ in range(50):
        with pytest.raises(PostponedError):
            await bench.processor.process(await records("a", "b"))
    assert bench.buried == []
    bench.script.failing = lambda _text: None
    await bench.processor.process(await records("a", "b"))
    assert bench.script.effects == ["a", "b"]


async def test_an_outage_while_trying_alone_also_puts_the_batch_off() -> None:
    errors = iter([BrokenOnPurposeError(), ConnectionResetError()])
    bench = Bench(Script(lambda _text: next(errors, None)))
    with pytest.raises(PostponedError):
        await bench.processor.process(await records("a", "b"))
    assert bench.buried == []


@pytest.mark.parametrize("error", [asyncpg.QueryCanceledError(), asyncpg.UniqueViolationError(), FileNotFoundError()])
async def test_an_event_s_own_fault_is_no_outage(error: Exception) -> None:
    bench = Bench(Script(only("a", error)))
    await bench.processor.process(await records("a"))
    assert bench.buried == [100]


async def test_what_cannot_be_read_is_buried_without_a_try() -> None:
    good, bad, last = await records("a", "b", "c")
    bench = Bench(Script())
    await bench.processor.process([good, replace(bad, headers=[("ce_id", b"\xff")]), last])
    assert bench.script.calls == [["a", "c"]]
    assert bench.buried == [101]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ([("traceparent", f"00-{'a' * 32}-{'b' * 16}-01".encode())], re.compile("a{32}")),
        ([("traceparent", b"\xff")], re.compile("[0-9a-f]{32}")),
        ([], re.compile("[0-9a-f]{32}")),
    ],
    ids=["that it has", "malformed", "none"],
)
@pytest.mark.parametrize("is_readable", [True, False])
async def test_the_line_of_a_burial_has_a_trace_by_which_it_is_found(
    header: list[tuple[str, bytes]],
    expected: re.Pattern[str],
    is_readable: bool,  # noqa: FBT001 - a parameter of the test
    capsys: pytest.CaptureFixture[str],
    a_log: None,
) -> None:
    del a_log
    (record,) = await records("a")
    own = [(name, value) for name, value in record.headers if name != "traceparent"] if is_readable else []
    await Bench(Script(only("a"))).processor.process([replace(record, headers=own + header)])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = (line for line in found if line["event"] == "event sent to the DLQ")
    assert expected.fullmatch(line["trace_id"])


async def test_tombstones_say_nothing() -> None:
    good, other = await records("a", "b")
    bench = Bench(Script())
    await bench.processor.process([replace(other, value=None, headers=[]), good])
    await bench.processor.process([replace(other, value=None)])
    assert (bench.script.calls, bench.buried) == ([["a"]], [])


async def test_too_many_failures_in_a_row_stop_it_before_the_next_burial() -> None:
    bench = Bench(Script(lambda _text: BrokenOnPurposeError()))
    with pytest.raises(TooManyFailuresError):
        await bench.processor.process(await records("a", "b", "c", "d", "e"))
    assert bench.buried == [100, 101, 102]
    with pytest.raises(TooManyFailuresError):
        await bench.processor.process(await records("f"))
    assert len(bench.buried) == 3


async def test_a_success_between_failures_counts_from_the_start_again() -> None:
    bench = Bench(Script(lambda text: BrokenOnPurposeError() if text.startswith("bad") else None))
    for _ in range(4):
        await bench.processor.process(await records("bad 1", "bad 2", "good", "bad 3"))
        await bench.processor.process(await records("good"))
    assert len(bench.buried) == 12


async def test_unreadable_events_in_a_row_count_as_failures() -> None:
    bad = [replace(record, headers=[]) for record in await records("a", "b", "c", "d")]
    bench = Bench(Script())
    with pytest.raises(TooManyFailuresError):
        await bench.processor.process(bad)
    assert len(bench.buried) == 3


class BrokenQueue(MemoryDeadLetterQueue):
    closed = 0

    async def bury(self, record: Record, group: str, error: BaseException) -> None:
        del record, group, error
        raise TimeoutError

    async def close(self) -> None:
        self.closed += 1


async def test_an_event_that_cannot_even_be_buried_is_put_off() -> None:
    queue = BrokenQueue()
    processor = BatchProcessor("group", Script(only("a")).handle, queue, IMPATIENT, TOPIC.catalogue)
    with pytest.raises(PostponedError, match="DLQ"):
        await processor.process(await records("a"))
    assert queue.closed == 1


async def test_being_stopped_is_no_failure_of_the_event() -> None:
    async def hang(_envelopes: Sequence[Envelope]) -> None:
        await asyncio.Event().wait()

    queue = MemoryDeadLetterQueue()
    processor = BatchProcessor("group", hang, queue, IMPATIENT, TOPIC.catalogue)
    task = asyncio.create_task(processor.process(await records("a")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert queue.buried == []


async def test_a_burial_keeps_the_event_and_says_what_happened() -> None:
    bench = Bench(Script(only("a")))
    record = (await records("a"))[0]
    await bench.processor.process([record])
    buried = bench.dlq.buried[0]
    told = dict(buried.headers)
    assert (buried.topic, buried.key, buried.value) == (TOPIC.dlq, b"k", record.value)
    assert told["x-dlq-consumer"] == b"group"
    assert told["x-dlq-error"] == b"BrokenOnPurposeError"
    assert (told["x-dlq-topic"], told["x-dlq-partition"]) == (TOPIC.name.encode(), b"1")
    assert told["x-dlq-replays"] == b"0"
    assert origin_of(buried) == record


async def test_no_value_of_an_error_travels_with_a_burial() -> None:
    bench = Bench(Script(only("a")))
    await bench.processor.process(await records("a"))
    assert b"11010119900307001X" not in b"".join(value for _, value in bench.dlq.buried[0].headers)


def test_an_error_is_described_by_what_is_known_to_hold_no_data() -> None:
    database = asyncpg.UniqueViolationError("Key (certno)=(11010119900307001X) already exists.")
    assert describe(database) == ("UniqueViolationError", "SQLSTATE 23505")
    assert describe(Refusal("NOT_FOUND", "no 11010119900307001X")) == ("Refusal", "reason NOT_FOUND")
    assert describe(UnreadableEventError("ce_id is missing")) == ("UnreadableEventError", "ce_id is missing")


async def test_a_second_burial_keeps_the_first_origin_and_counts() -> None:
    record = (await records("a"))[0]
    first = StoredRecord(TOPIC.dlq, 0, 5, b"k", record.value, burial_headers(record, "group", BrokenOnPurposeError()))
    second = replace(first, headers=burial_headers(first, "group", BrokenOnPurposeError()))
    told = dict(second.headers)
    assert (told["x-dlq-offset"], told["x-dlq-replays"]) == (b"100", b"1")
    assert len(second.headers) == len(first.headers)
    assert origin_of(second) == record


def test_strange_burial_headers_do_not_break_a_replay() -> None:
    headers = [("x-dlq-offset", b"\xff"), ("x-dlq-partition", b"one")]
    origin = origin_of(StoredRecord("x-v1-dlq", 4, 1, b"k", b"", headers))
    assert (origin.partition, origin.offset) == (0, 0)


async def test_how_old_the_picture_is_follows_the_newest_event_that_was_handled() -> None:
    bench = Bench(Script(lambda text: BrokenOnPurposeError() if text == "later" else None))
    outbox = MemoryOutbox("kit", TOPIC.catalogue)
    moments = {"new": AT, "old": AT - timedelta(hours=1), "later": AT + timedelta(hours=1)}
    await outbox.add([replace(event("k", text), occurred_at=at) for text, at in moments.items()])
    rows = [StoredRecord(TOPIC.name, 1, row.id, b"k", row.payload, headers_of(row)) for row in outbox.rows]
    await bench.processor.process(rows)
    await bench.processor.process(rows[:2])
    labels = {"group": "group", "topic": TOPIC.name}
    assert REGISTRY.get_sample_value("gongji_consumer_newest_event_seconds", labels) == AT.timestamp()
