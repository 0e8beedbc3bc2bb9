"""What every unit of work promises, kept by the one in memory and the one on PostgreSQL."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID, uuid4

import pytest

from kit.db import Database, PostgresWork, Transaction, Work
from kit.inbox import Inbox, MemoryInbox, PostgresInbox
from kit.outbox import MemoryOutbox, Outbox, PostgresOutbox
from kit.testing import MemoryWork
from kit.testing_events import SampleTopic, event

TOPIC = SampleTopic()


class BrokenOnPurposeError(Exception):
    pass


class Facts(Protocol):
    inbox: Inbox
    outbox: Outbox

    async def put(self, fact: str) -> None: ...
    async def all(self) -> list[str]: ...
    async def told(self) -> int: ...


class MemoryFacts:
    def __init__(self) -> None:
        self.inbox: Inbox = MemoryInbox()
        self.memory_outbox = MemoryOutbox(topics=TOPIC.catalogue)
        self.outbox: Outbox = self.memory_outbox
        self.facts: dict[str, list[str]] = {}

    async def put(self, fact: str) -> None:
        self.facts.setdefault("all", []).append(fact)

    async def all(self) -> list[str]:
        return list(self.facts.get("all", []))

    async def told(self) -> int:
        return len(self.memory_outbox.rows)


class PostgresFacts:
    def __init__(self, transaction: Transaction) -> None:
        self.inbox: Inbox = PostgresInbox(transaction)
        self.outbox: Outbox = PostgresOutbox(transaction, "kit", TOPIC.catalogue)
        self._raw = transaction.raw

    async def put(self, fact: str) -> None:
        await self._raw.execute("INSERT INTO fact (id) VALUES ($1)", fact)

    async def all(self) -> list[str]:
        return [row["id"] for row in await self._raw.fetch("SELECT id FROM fact ORDER BY id")]

    async def told(self) -> int:
        told: int = await self._raw.fetchval("SELECT count(*) FROM outbox_event")
        return told


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.stack)])
def work(request: pytest.FixtureRequest) -> Work[Facts]:
    if request.param == "memory":
        facts: Facts = MemoryFacts()
        return MemoryWork(facts)
    database: Database = request.getfixturevalue("database")
    return PostgresWork[Facts](database, PostgresFacts)


async def receive(work: Work[Facts], ids: Sequence[UUID], *, broken: bool = False) -> int:
    """As a subscriber does: take in, have the effect, tell of it."""
    async with work() as facts:
        new = await facts.inbox.first_time("group", ids)
        for event_id in sorted(new):
            await facts.put(str(event_id))
        await facts.outbox.add([event(str(event_id), "seen") for event_id in sorted(new)])
        if broken:
            raise BrokenOnPurposeError
    return len(new)


async def state(work: Work[Facts]) -> tuple[int, int]:
    async with work() as facts:
        return len(await facts.all()), await facts.told()


async def test_what_was_done_in_a_unit_of_work_is_there_in_the_next(work: Work[Facts]) -> None:
    assert await receive(work, [uuid4(), uuid4()]) == 2
    assert await state(work) == (2, 2)


async def test_a_failed_unit_of_work_leaves_nothing_behind(work: Work[Facts]) -> None:
    ids = [uuid4(), uuid4()]
    with pytest.raises(BrokenOnPurposeError):
        await receive(work, ids, broken=True)
    assert await state(work) == (0, 0)
    assert await receive(work, ids) == 2
    assert await state(work) == (2, 2)


async def test_the_second_delivery_of_an_event_has_no_effect(work: Work[Facts]) -> None:
    first, second = uuid4(), uuid4()
    assert await receive(work, [first]) == 1
    assert await receive(work, [second, first, second]) == 1
    assert await state(work) == (2, 2)


async def test_a_failure_undoes_only_its_own_unit_of_work(work: Work[Facts]) -> None:
    await receive(work, [uuid4()])
    with pytest.raises(BrokenOnPurposeError):
        await receive(work, [uuid4()], broken=True)
    assert await state(work) == (1, 1)
