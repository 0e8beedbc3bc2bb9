from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from kit.events import Envelope
from kit.testing import MemoryBus, MemoryInbox, MemoryOutbox, MemoryWork, eventually
from kit.testing_events import SampleTopic, event

TOPIC = SampleTopic()


class BrokenOnPurposeError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Row:
    amount_fen: int


@dataclass(slots=True)
class Accounts:
    balances: dict[str, Row] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    entries: list[Row] = field(default_factory=list)
    version: int = 0
    outbox: MemoryOutbox = field(default_factory=lambda: MemoryOutbox(topics=TOPIC.catalogue))


async def change(work: MemoryWork[Accounts]) -> None:
    async with work() as accounts:
        accounts.balances["a"] = Row(1)
        accounts.names.add("a")
        accounts.entries.append(Row(1))
        accounts.version += 1
        await accounts.outbox.add([event("a", "changed")])


async def test_a_failed_unit_of_work_restores_every_kind_of_state_in_place() -> None:
    accounts = Accounts({"b": Row(2)}, {"b"}, [Row(2)], 1)
    balances, names, entries = accounts.balances, accounts.names, accounts.entries
    work = MemoryWork(accounts)
    work.fail_next_commit(BrokenOnPurposeError())
    with pytest.raises(BrokenOnPurposeError):
        await change(work)
    assert (accounts.balances, accounts.names, accounts.entries) == ({"b": Row(2)}, {"b"}, [Row(2)])
    assert (accounts.version, accounts.outbox.rows) == (1, [])
    assert accounts.balances is balances
    assert accounts.names is names
    assert accounts.entries is entries
    assert (work.commits, work.rollbacks) == (0, 1)


async def test_a_commit_fails_only_once() -> None:
    work = MemoryWork(Accounts())
    work.fail_next_commit(BrokenOnPurposeError())
    with pytest.raises(BrokenOnPurposeError):
        await change(work)
    await change(work)
    assert work.repository.version == 1
    assert [row.key for row in work.repository.outbox.rows] == ["a"]
    assert (work.commits, work.rollbacks) == (1, 1)


class Counter:
    """A consumer that is idempotent, or is not."""

    def __init__(self, *, idempotent: bool) -> None:
        self.inbox = MemoryInbox()
        self.seen: list[str] = []
        self._idempotent = idempotent

    async def handle(self, envelopes: Sequence[Envelope]) -> None:
        new = await self.inbox.first_time("counter", [envelope.id for envelope in envelopes])
        self.seen.extend(envelope.key for envelope in envelopes if envelope.id in new or not self._idempotent)


@pytest.mark.parametrize(("idempotent", "seen"), [(True, 20), (False, 60)])
@pytest.mark.parametrize("seed", range(3))
async def test_the_bus_delivers_repeatedly_and_in_any_order(seed: int, *, idempotent: bool, seen: int) -> None:
    outbox, bus, counter = (
        MemoryOutbox(topics=TOPIC.catalogue),
        MemoryBus(TOPIC.catalogue),
        Counter(idempotent=idempotent),
    )
    bus.subscribe([TOPIC.name], counter.handle)
    await outbox.add([event(f"k{number:02}", "x") for number in range(20)])
    bus.take(outbox)
    bus.take(outbox)
    await bus.deliver_badly(seed, times=3)
    assert len(counter.seen) == seen
    assert set(counter.seen) == {f"k{number:02}" for number in range(20)}
    assert counter.seen != sorted(counter.seen)


async def test_the_bus_gives_a_handler_only_its_topics() -> None:
    bus, counter = MemoryBus(TOPIC.catalogue), Counter(idempotent=False)
    outbox = MemoryOutbox(topics=TOPIC.catalogue)
    bus.subscribe(["another-v1"], counter.handle)
    await outbox.add([event("k", "x")])
    bus.take(outbox)
    await bus.deliver()
    assert counter.seen == []


async def test_a_delivery_is_what_a_consumer_would_get() -> None:
    outbox, bus = MemoryOutbox("kit", TOPIC.catalogue), MemoryBus(TOPIC.catalogue)
    got: list[Envelope] = []

    async def handle(envelopes: Sequence[Envelope]) -> None:
        got.extend(envelopes)

    bus.subscribe([TOPIC.name], handle)
    await outbox.add([event("k", "x", 3)])
    bus.take(outbox)
    await bus.deliver()
    assert (got[0].id, got[0].sequence, got[0].source) == (outbox.rows[0].event_id, 3, "/gongji/kit")


async def never() -> bool:
    return False


@pytest.mark.parametrize("condition", [lambda: False, never], ids=["a function", "a coroutine"])
async def test_waiting_for_what_never_comes_fails(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    with pytest.raises(AssertionError, match="the payer's notice"):
        await eventually(condition, timeout_seconds=0.02, what="the payer's notice")


async def test_what_is_asked_of_a_server_is_waited_for_too() -> None:
    answers = iter([False, False, True])

    async def asked() -> bool:
        return next(answers)

    await eventually(asked)
    assert list(answers) == []
