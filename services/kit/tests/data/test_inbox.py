"""What every inbox promises, kept by the one in memory and the one on PostgreSQL."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from kit.db import Database
from kit.inbox import Inbox, MemoryInbox, PostgresInbox


class PostgresBench:
    """Each call in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def first_time(self, consumer: str, event_ids: Sequence[UUID]) -> set[UUID]:
        async with self._database.transaction() as transaction:
            return await PostgresInbox(transaction).first_time(consumer, event_ids)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.stack)])
def inbox(request: pytest.FixtureRequest) -> Inbox:
    return MemoryInbox() if request.param == "memory" else PostgresBench(request.getfixturevalue("database"))


async def test_an_event_is_new_once(inbox: Inbox) -> None:
    event_id = uuid4()
    assert await inbox.first_time("group", [event_id]) == {event_id}
    assert await inbox.first_time("group", [event_id]) == set()


async def test_only_the_new_ones_of_a_batch_are_told(inbox: Inbox) -> None:
    old, new = uuid4(), uuid4()
    await inbox.first_time("group", [old])
    assert await inbox.first_time("group", [new, old]) == {new}


async def test_an_event_that_is_twice_in_one_batch_counts_once(inbox: Inbox) -> None:
    event_id = uuid4()
    assert await inbox.first_time("group", [event_id, event_id]) == {event_id}


async def test_consumers_do_not_share_what_they_took_in(inbox: Inbox) -> None:
    event_id = uuid4()
    await inbox.first_time("group", [event_id])
    assert await inbox.first_time("other", [event_id]) == {event_id}


async def test_nothing_taken_in_is_nothing_new(inbox: Inbox) -> None:
    assert await inbox.first_time("group", []) == set()


async def take_in(database: Database, ids: list[UUID], entered: asyncio.Event, leave: asyncio.Event) -> set[UUID]:
    async with database.transaction() as transaction:
        new = await PostgresInbox(transaction).first_time("group", ids)
        entered.set()
        await leave.wait()
        return new


@pytest.mark.stack
async def test_of_two_at_once_only_one_has_the_effect(database: Database) -> None:
    ids = [uuid4() for _ in range(20)]
    entered, leave, never = asyncio.Event(), asyncio.Event(), asyncio.Event()
    leave_second = asyncio.Event()
    leave_second.set()
    first = asyncio.create_task(take_in(database, ids, entered, leave))
    await entered.wait()
    second = asyncio.create_task(take_in(database, ids[::-1], never, leave_second))
    leave.set()
    assert await first == set(ids)
    assert await second == set()


@pytest.mark.stack
async def test_many_at_once_in_any_order_do_not_lock_each_other_out(database: Database) -> None:
    ids = [uuid4() for _ in range(200)]
    go = asyncio.Event()
    go.set()
    orders = [sorted(ids, key=lambda event_id, salt=salt: hash((event_id, salt))) for salt in range(8)]  # type: ignore[misc]
    taken = await asyncio.gather(*(take_in(database, order, asyncio.Event(), go) for order in orders))
    assert sorted(event_id for new in taken for event_id in new) == sorted(ids)
