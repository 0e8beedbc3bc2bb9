"""Telling once, in order, and reading page by page."""

from collections.abc import Sequence

import pytest

from kit.db import Work
from kit.testing import MemoryWork
from notify.memory import MemoryRepository
from notify.repository import NewMessage, Repository
from notify.service import MessageService, Told
from notify.testing import TEXTS, credited


class RecordingChannel:
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.delivered: list[NewMessage] = []

    async def deliver(self, messages: Sequence[NewMessage]) -> None:
        self.delivered += messages


async def bodies(service: MessageService, psn_no: str = "1001") -> list[str]:
    return [stored.message.notice.body for stored in (await service.read(psn_no, 100)).messages]


async def test_an_event_that_comes_twice_is_told_once(backend: Work[Repository]) -> None:
    channel = RecordingChannel()
    service, told = MessageService(backend, channel, TEXTS), credited()
    await service.tell([told])
    await service.tell([told])
    assert len(await bodies(service)) == 1
    assert len(channel.delivered) == 1


async def test_an_event_that_comes_twice_in_one_batch_is_told_once(backend: Work[Repository]) -> None:
    channel = RecordingChannel()
    service, told = MessageService(backend, channel, TEXTS), credited()
    await service.tell([told, told])
    assert len(await bodies(service)) == 1
    assert len(channel.delivered) == 1


async def test_a_batch_keeps_its_order(backend: Work[Repository]) -> None:
    channel = RecordingChannel()
    service = MessageService(backend, channel, TEXTS)
    told = [credited(amount_fen=amount_fen) for amount_fen in (100, 200, 300)]
    await service.tell(told)
    assert ["¥1.00" in body for body in await bodies(service)] == [False, False, True]
    assert ["¥3.00" in message.notice.body for message in channel.delivered] == [False, False, True]


async def test_pages_are_read_to_the_end(backend: Work[Repository]) -> None:
    service = MessageService(backend, RecordingChannel(), TEXTS)
    await service.tell([credited(minutes=number, amount_fen=100 * (number + 1)) for number in range(5)])
    first = await service.read("1001", 3)
    assert first.next is not None
    second = await service.read("1001", 3, first.next)
    assert second.next is None
    shown = [stored.message.notice.body for stored in first.messages + second.messages]
    assert [f"入账¥{number}.00" in body for number, body in zip((5, 4, 3, 2, 1), shown, strict=True)] == [True] * 5


async def test_a_page_that_is_just_full_is_the_last(backend: Work[Repository]) -> None:
    service = MessageService(backend, RecordingChannel(), TEXTS)
    await service.tell([credited(minutes=number) for number in range(3)])
    page = await service.read("1001", 3)
    assert len(page.messages) == 3
    assert page.next is None


async def test_nothing_is_delivered_that_was_not_kept() -> None:
    backend: MemoryWork[MemoryRepository] = MemoryWork(MemoryRepository())
    channel = RecordingChannel()
    service: MessageService = MessageService(backend, channel, TEXTS)
    told: Told = credited()
    backend.fail_next_commit(ConnectionError())
    with pytest.raises(ConnectionError):
        await service.tell([told])
    assert channel.delivered == []
    await service.tell([told])
    assert len(channel.delivered) == 1
