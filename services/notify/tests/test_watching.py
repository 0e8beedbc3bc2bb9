"""Who watches is told of each message that arrives, from whichever process it comes, and can go on where it ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import timedelta

import pytest

from kit.db import Database, Work
from kit.errors import Refusal
from kit.testing import MemoryWork, eventually
from notify import watching
from notify.channels.log import LogChannel
from notify.main import work
from notify.memory import MemoryRepository
from notify.repository import NewMessage, Repository
from notify.service import MessageService
from notify.testing import TEXTS, credited, keyring, message
from notify.watching import Listener, News, Watchers


class Watcher:
    """One call, with all that it was told."""

    def __init__(self) -> None:
        self.news: list[News] = []

    @property
    def told(self) -> list[NewMessage]:
        return [one.stored.message for one in self.news if one.stored]


@asynccontextmanager
async def watcher(watchers: Watchers, *, after: News | None = None, psn_no: str = "1001") -> AsyncIterator[Watcher]:
    watch = Watcher()

    async def run() -> None:
        async with aclosing(watchers.watch(psn_no, after.resume_from if after else None)) as news:
            async for one in news:
                watch.news.append(one)

    task = asyncio.create_task(run())
    await eventually(lambda: bool(watch.news) or task.done())
    try:
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def kept(backend: Work[Repository], *messages: NewMessage) -> None:
    async with backend() as repository:
        await repository.add_messages(messages)


async def test_what_arrives_is_told_once_and_in_order(backend: Work[Repository]) -> None:
    watchers = Watchers(backend)
    await kept(backend, message())
    async with watcher(watchers) as watch:
        assert watch.news[0].stored is None
        for sent in (first := message(minutes=5), second := message(minutes=1)):
            await kept(backend, sent)
            watchers.wake(["1002", "1001"])
        await eventually(lambda: len(watch.told) == 2)
        await kept(backend, message("1002"))
        watchers.wake_all()
        await kept(backend, third := message())
        watchers.wake_all()
        await eventually(lambda: len(watch.told) == 3)
        assert watch.told == [first, second, third]


async def test_who_was_not_woken_sees_it_a_little_later(backend: Work[Repository]) -> None:
    async with watcher(Watchers(backend, poll_seconds=0.05)) as watch:
        await kept(backend, sent := message())
        await eventually(lambda: watch.told == [sent])


async def test_who_goes_on_misses_nothing(backend: Work[Repository]) -> None:
    watchers = Watchers(backend)
    async with watcher(watchers) as watch:
        await kept(backend, first := message())
        watchers.wake_all()
        await eventually(lambda: len(watch.told) == 1)
    await kept(backend, meanwhile := message())
    async with watcher(watchers, after=watch.news[-1]) as again:
        await eventually(lambda: meanwhile in again.told)
        assert set(again.told) <= {first, meanwhile}


async def test_more_than_a_page_is_told_whole(backend: Work[Repository]) -> None:
    watchers = Watchers(backend)
    sent = [message() for _ in range(2 * watching.READ_AT_ONCE + 1)]
    async with watcher(watchers) as watch:
        await kept(backend, *sent)
        watchers.wake_all()
        await eventually(lambda: len(watch.told) == len(sent))
        assert watch.told == sent


async def test_a_person_has_few_calls_and_a_process_not_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST_OF_PERSON", 1)
    monkeypatch.setattr(watching, "MOST_WATCHERS", 2)
    watchers = Watchers(MemoryWork(MemoryRepository()))
    async with watcher(watchers):
        await refused(watchers, "1001")
        async with watcher(watchers, psn_no="1002"):
            await refused(watchers, "1003")
        async with watcher(watchers, psn_no="1003"):
            pass


async def refused(watchers: Watchers, psn_no: str, reason: str = "OVERLOADED") -> None:
    with pytest.raises(Refusal) as caught:
        async with aclosing(watchers.watch(psn_no, None)) as news:
            await anext(news)
    assert caught.value.reason == reason


async def test_a_process_that_stops_lets_its_watchers_end() -> None:
    watchers = Watchers(MemoryWork(MemoryRepository()))
    async with aclosing(watchers.watch("1001", None)) as news:
        await anext(news)
        waiting = asyncio.ensure_future(anext(news, None))
        await asyncio.sleep(0)
        await watchers.close()
        assert await waiting is None
    await refused(watchers, "1001", "UNAVAILABLE")


async def test_telling_wakes_who_watches_here(backend: Work[Repository]) -> None:
    watchers = Watchers(backend)
    service = MessageService(backend, LogChannel(), TEXTS, watchers=watchers)
    async with watcher(watchers) as watch:
        await service.tell([told := credited()])
        await eventually(lambda: [one.event_id for one in watch.told] == [told.event_id])


@pytest.mark.stack
async def test_a_commit_of_another_process_wakes_who_watches_here(database: Database) -> None:
    backend = work(database, keyring())
    watchers = Watchers(backend)
    listening = asyncio.create_task(Listener(database._url, watchers).run())
    try:
        async with watcher(watchers) as watch:
            await kept(backend, *(sent := [message(), message("1" * 30)]))
            await eventually(lambda: watch.told == sent[:1])
            crowd = [message(f"{number:030}") for number in range(300)]  # more than a notification holds
            await kept(backend, *crowd, last := message())
            await eventually(lambda: watch.told == [sent[0], last])
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


@pytest.mark.stack
async def test_what_a_slow_transaction_had_written_before_is_told_when_it_ends(database: Database) -> None:
    backend = work(database, keyring())
    watchers = Watchers(backend)
    slow, fast = message(), message(minutes=1)
    async with watcher(watchers) as watch:
        async with backend() as repository:
            await repository.add_messages([slow])
            await kept(backend, fast)
            watchers.wake_all()
            await eventually(lambda: watch.told == [fast])
        watchers.wake_all()
        await eventually(lambda: watch.told == [fast, slow])


async def test_reading_is_noted_once_and_counted(backend: Work[Repository]) -> None:
    mine, other = [message(minutes=number) for number in range(3)], message("1002")
    await kept(backend, *mine, other)
    at = mine[0].occurred_at
    async with backend() as repository:
        await repository.mark_read("1001", {mine[0].message_id, other.message_id}, at)
        await repository.mark_read("1001", {mine[0].message_id}, at + timedelta(hours=1))
        assert await repository.count_unread("1001", 10) == 2
        assert await repository.count_unread("1001", 1) == 1
        assert await repository.count_unread("1002", 10) == 1
        read = {stored.message.message_id: stored.read_at for stored in await repository.newest_messages("1001", 10)}
    assert read == {mine[0].message_id: at, mine[1].message_id: None, mine[2].message_id: None}
