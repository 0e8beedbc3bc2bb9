"""What every repository of notify does: the fake and PostgreSQL alike, and what only PostgreSQL shows."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from kit.crypto import DecryptionError
from kit.db import Database, Work
from notify.main import work
from notify.postgres import messages
from notify.repository import NewMessage, Repository, StoredMessage
from notify.testing import AT, keyring, message


async def kept(backend: Work[Repository], *messages: NewMessage) -> set[object]:
    async with backend() as repository:
        return set(await repository.add_messages(messages))


async def newest(backend: Work[Repository], psn_no: str = "1001", limit: int = 10) -> list[StoredMessage]:
    async with backend() as repository:
        return await repository.newest_messages(psn_no, limit)


async def test_a_message_comes_back_as_it_was(backend: Work[Repository]) -> None:
    sent = message()
    assert await kept(backend, sent) == {sent.message_id}
    assert [stored.message for stored in await newest(backend)] == [sent]


async def test_the_newest_comes_first_whenever_it_arrived(backend: Work[Repository]) -> None:
    first, second, third = message(minutes=1), message(minutes=3), message(minutes=2)
    await kept(backend, first, second, third)
    assert [stored.message for stored in await newest(backend)] == [second, third, first]


async def test_what_happened_at_one_moment_is_ordered_by_arrival(backend: Work[Repository]) -> None:
    sent = [message() for _ in range(5)]
    await kept(backend, *sent)
    assert [stored.message for stored in await newest(backend)] == sent[::-1]


async def test_a_person_sees_only_their_own(backend: Work[Repository]) -> None:
    mine, other = message(), message("1002")
    await kept(backend, mine, other)
    assert [stored.message for stored in await newest(backend)] == [mine]
    assert await newest(backend, "1003") == []


async def test_an_event_is_told_to_an_addressee_once(backend: Work[Repository]) -> None:
    first = message()
    again = replace(message(), event_id=first.event_id)
    assert await kept(backend, first) == {first.message_id}
    assert await kept(backend, again) == set()
    assert [stored.message for stored in await newest(backend)] == [first]


async def test_an_event_may_be_told_to_two_addressees(backend: Work[Repository]) -> None:
    first = message()
    other = replace(message("1002"), event_id=first.event_id)
    assert await kept(backend, first, other) == {first.message_id, other.message_id}


async def test_pages_join_without_a_gap_and_without_a_repeat(backend: Work[Repository]) -> None:
    sent = [message(minutes=number // 3) for number in range(10)]
    await kept(backend, *sent)
    found: list[NewMessage] = []
    async with backend() as repository:
        page = await repository.newest_messages("1001", 4)
        while page:
            found += [stored.message for stored in page]
            page = await repository.newest_messages("1001", 4, page[-1].cursor)
    assert found == sent[::-1]


async def test_an_event_is_taken_in_once(backend: Work[Repository]) -> None:
    event_id = uuid4()
    async with backend() as repository:
        assert await repository.inbox.first_time("notify", [event_id]) == {event_id}
    async with backend() as repository:
        assert await repository.inbox.first_time("notify", [event_id]) == set()


async def test_what_a_failed_unit_of_work_did_is_undone(backend: Work[Repository]) -> None:
    sent = message()

    async def fails() -> None:
        async with backend() as repository:
            await repository.add_messages([sent])
            await repository.inbox.first_time("notify", [sent.event_id])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    assert await newest(backend) == []
    async with backend() as repository:
        assert await repository.inbox.first_time("notify", [sent.event_id]) == {sent.event_id}


async def test_title_and_body_are_not_readable_in_the_table(database: Database) -> None:
    await kept(work(database, keyring()), message())
    async with database.transaction() as transaction:
        row = await transaction.raw.fetchrow("SELECT * FROM message")
    assert row is not None
    shown = b" ".join(value if isinstance(value, bytes) else str(value).encode() for value in row.values())
    assert "个人账户入账提醒".encode() not in shown
    assert "正文".encode() not in shown


async def test_a_message_that_was_moved_to_another_person_does_not_open(database: Database) -> None:
    backend = work(database, keyring())
    await kept(backend, message())
    async with database.transaction() as transaction:
        await transaction.raw.execute("UPDATE message SET psn_no = '1002'")
    with pytest.raises(DecryptionError):
        await newest(backend, "1002")


async def test_two_writers_of_one_event_leave_one_message(database: Database) -> None:
    backend = work(database, keyring())
    first = message()
    both = [first, replace(message(), event_id=first.event_id)]
    answers = await asyncio.gather(*(kept(backend, one) for one in both))
    assert sorted(len(answer) for answer in answers) == [0, 1]
    assert [stored.message.occurred_at for stored in await newest(backend)] == [AT]


YEARS_OF_MESSAGES = """
INSERT INTO message (message_id, psn_no, category, title_ct, body_ct, occurred_at, event_id, kind, language, read_at)
SELECT gen_random_uuid(), 'P' || n % 10, 'BALANCE', decode(repeat('ab', 250), 'hex'), '',
       now() - make_interval(hours => n), gen_random_uuid(), 'DEBIT', 'zh-CN', now()
FROM generate_series(1, 10000) AS n
"""


@pytest.mark.parametrize(
    ("statement", "asked"),
    [(messages.UNREAD, ("P1", 1000)), (messages.ARRIVED, ("P1", AT + timedelta(days=36500), [], 100))],
)
async def test_what_is_new_to_a_person_is_found_without_reading_what_is_old(
    service_database: Callable[[str], str], statement: str, asked: tuple[object, ...]
) -> None:
    connection = await asyncpg.connect(service_database("notify"))
    await connection.execute(YEARS_OF_MESSAGES)
    await connection.execute("VACUUM ANALYZE message")
    plan = await connection.fetchval("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement, *asked)
    await connection.close()
    read = json.loads(plan)[0]["Plan"]
    assert "Index Only Scan" in plan
    assert read["Shared Hit Blocks"] + read["Shared Read Blocks"] < 100  # the person has 1,000 messages
