"""A stream of bills: results as they are ready, bounded in flight, and nothing lost when it breaks."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from gongji.common.v1 import reason_pb2
from gongji.settlement.v1 import settlement_pb2 as pb2
from kit.batcher import BatchHandlerError
from kit.errors import Refusal
from kit.testing import MemoryWork
from settlement import bulk_stream, codec
from settlement.bulk import UNANSWERED_IN_ALL, Bulk
from settlement.bulk_stream import LIST_MAX, UNANSWERED_MAX, BulkStream
from settlement.commands import Command
from settlement.intents import Answer
from settlement.memory import MemorySettlements
from settlement.testing import HOSPITAL, FakeRelation, World, account, bill, msgid

OTHER = "H65270100002"


def item(number: int, patient: str = "", amount_fen: int = 100, code: str = HOSPITAL) -> pb2.SettleRequest:
    return pb2.SettleRequest(
        fixmedins_code=code,
        msgid=msgid(number),
        bill=codec.bill_message(bill(patient or f"p{number}", amount_fen)),
        visit_credential=patient or f"p{number}",
        acct_used_flag=True,
        use_mutual_aid=True,
    )


async def messages(*sizes: Sequence[pb2.SettleRequest]) -> AsyncIterator[pb2.SettleStreamRequest]:
    for items in sizes:
        yield pb2.SettleStreamRequest(items=items)


async def drained(stream: BulkStream, requests: AsyncIterator[pb2.SettleStreamRequest]) -> list[pb2.SettleResult]:
    return [result async for some in stream.results(requests) for result in some]


class Held:
    """Settles nothing: holds each list until it is let go, then answers it with a refusal."""

    def __init__(self) -> None:
        self.lists: list[list[str]] = []
        self.arrived = asyncio.Semaphore(0)
        self.go = asyncio.Event()

    async def __call__(self, commands: Sequence[Command]) -> Sequence[Answer]:
        self.lists.append([command.order.bill.psn_no for command in commands])
        self.arrived.release()
        await self.go.wait()
        return [Refusal("IN_PROGRESS") for _ in commands]

    @property
    def bulk(self) -> Bulk:
        return Bulk(self, self, most_in_flight=3, max_waiting=5000)


async def settled_down() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def world() -> World:
    memory = MemorySettlements()
    memory.accounts["father"] = account("father", 50_000)
    return World(MemoryWork(memory), FakeRelation("father", "child", 1_000))


async def test_every_bill_has_one_result_by_its_msgid_whatever_message_it_came_in(world: World) -> None:
    stream = BulkStream(world.bulk, HOSPITAL)
    bills = [item(number) for number in range(700)]
    results = await drained(
        stream, messages(bills[:1], bills[1:200], bills[200:400], *([each] for each in bills[400:]))
    )
    assert sorted(result.msgid for result in results) == [msgid(number) for number in range(700)]
    assert all(result.settlement.state == pb2.SETTLEMENT_STATE_SETTLED for result in results)


async def test_bills_of_one_patient_are_settled_in_the_order_in_which_they_came(world: World) -> None:
    bills = [item(number, "child", 300) for number in range(1, 7)]
    results = await drained(BulkStream(world.bulk, HOSPITAL), messages(bills[:2], bills[2:3], bills[3:]))
    assert [result.msgid for result in results] == [each.msgid for each in bills]
    assert [each.settlement.split.acct_mulaid_pay for each in results] == [300, 300, 300, 100, 0, 0]


async def test_an_empty_stream_ends(world: World) -> None:
    assert await drained(BulkStream(world.bulk, HOSPITAL), messages()) == []


async def test_a_bill_of_another_institution_is_refused_and_the_others_are_settled(world: World) -> None:
    results = await drained(BulkStream(world.bulk, HOSPITAL), messages([item(1, code=OTHER), item(2)], [item(3)]))
    told = {result.msgid: result.refusal for result in results}
    assert told == {msgid(1): reason_pb2.REASON_FORBIDDEN_INSTITUTION, msgid(2): 0, msgid(3): 0}


async def test_a_result_does_not_wait_for_the_bills_that_come_after_it(world: World) -> None:
    more = asyncio.Event()

    async def requests() -> AsyncIterator[pb2.SettleStreamRequest]:
        yield pb2.SettleStreamRequest(items=[item(1)])
        await more.wait()
        yield pb2.SettleStreamRequest(items=[item(2)])

    async with aclosing(BulkStream(world.bulk, HOSPITAL).results(requests())) as results:
        assert [result.msgid for result in await anext(results)] == [msgid(1)]
        more.set()
        assert [result.msgid for result in await anext(results)] == [msgid(2)]


async def test_what_comes_while_lists_are_in_flight_fills_the_next_list() -> None:
    held = Held()
    singles = [[item(number)] for number in range(100)]
    task = asyncio.create_task(drained(BulkStream(held.bulk, HOSPITAL), messages(*singles)))
    await asyncio.wait_for(held.arrived.acquire(), 5)
    await settled_down()
    held.go.set()
    assert len(await task) == 100
    assert [len(each) for each in held.lists] == [1, 1, 1, 97]


async def test_no_list_is_longer_than_the_lanes_are_meant_for() -> None:
    held = Held()
    held.go.set()
    bills = [item(number) for number in range(1000)]
    await drained(BulkStream(held.bulk, HOSPITAL), messages(*(bills[at : at + 200] for at in range(0, 1000, 200))))
    assert max(map(len, held.lists)) <= LIST_MAX


async def test_a_stream_is_not_read_while_too_many_of_its_bills_have_no_answer() -> None:
    held, read = Held(), 0

    async def requests() -> AsyncIterator[pb2.SettleStreamRequest]:
        nonlocal read
        for message in range(30):
            read += 1
            yield pb2.SettleStreamRequest(items=[item(message * 200 + place) for place in range(200)])

    task = asyncio.create_task(drained(BulkStream(held.bulk, HOSPITAL), requests()))
    await settled_down()
    assert read * 200 == UNANSWERED_MAX
    held.go.set()
    assert len(await task) == 6000


async def test_results_that_are_not_taken_keep_their_places() -> None:
    held, read = Held(), 0
    held.go.set()

    async def requests() -> AsyncIterator[pb2.SettleStreamRequest]:
        nonlocal read
        for message in range(30):
            read += 1
            yield pb2.SettleStreamRequest(items=[item(message * 200 + place) for place in range(200)])

    async with aclosing(BulkStream(held.bulk, HOSPITAL).results(requests())) as results:
        taken = len(await anext(results))
        for _ in range(200):
            await asyncio.sleep(0)
        assert read * 200 <= UNANSWERED_MAX + taken
        while taken < 6000:
            taken += len(await anext(results))
        with pytest.raises(StopAsyncIteration):
            await anext(results)


async def test_many_streams_share_the_room_that_there_is() -> None:
    held, streams, read = Held(), 40, 0

    async def requests(code: int) -> AsyncIterator[pb2.SettleStreamRequest]:
        nonlocal read
        for message in range(10):
            read += 100
            yield pb2.SettleStreamRequest(items=[item(message * 100 + n, f"{code}x{message}x{n}") for n in range(100)])

    bulk = held.bulk
    tasks = [asyncio.create_task(drained(BulkStream(bulk, HOSPITAL), requests(code))) for code in range(streams)]
    for _ in range(100):
        await asyncio.sleep(0)
    assert UNANSWERED_IN_ALL <= read <= UNANSWERED_IN_ALL + streams * 100, "each has begun a message at most beyond it"
    assert bulk.unanswered == read
    held.go.set()
    assert [len(results) for results in await asyncio.gather(*tasks)] == [1000] * streams
    assert bulk.unanswered == 0


class Broken(Exception):
    """A message that breaks the contract."""


async def test_what_ends_the_stream_is_raised_after_the_results_of_all_that_came_before(world: World) -> None:
    async def requests() -> AsyncIterator[pb2.SettleStreamRequest]:
        yield pb2.SettleStreamRequest(items=[item(1), item(2)])
        raise Broken

    async with aclosing(BulkStream(world.bulk, HOSPITAL).results(requests())) as results:
        assert [result.msgid for result in await anext(results)] == [msgid(1), msgid(2)]
        with pytest.raises(Broken):
            await anext(results)


async def test_a_fault_on_our_side_ends_the_stream(world: World) -> None:
    async def too_few(_commands: Sequence[Command]) -> Sequence[Answer]:
        return []

    world.bulk._settle = too_few
    with pytest.raises(BatchHandlerError):
        await drained(BulkStream(world.bulk, HOSPITAL), messages([item(1)], [item(2)]))


async def test_when_the_caller_goes_away_lists_on_their_way_are_settled_and_those_that_wait_are_not() -> None:
    held = Held()
    bills = [item(1, "child"), item(2, "child"), item(3, "child"), item(4, "child")]
    bulk = held.bulk
    task = asyncio.create_task(drained(BulkStream(bulk, HOSPITAL), messages(bills)))
    await asyncio.wait_for(held.arrived.acquire(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.go.set()
    await asyncio.wait_for(bulk.drain(), 5)
    assert held.lists == [["child"]]
    assert bulk.unanswered == 0


async def test_a_stream_that_was_cut_is_sent_again_and_takes_nothing_twice(world: World) -> None:
    bills = [item(number, "child", 10) for number in range(40)]
    async with aclosing(BulkStream(world.bulk, HOSPITAL).results(messages(bills))) as results:
        first = {result.msgid: result.settlement for result in await anext(results)}
    await settled_down()
    again = {
        result.msgid: result.settlement for result in await drained(BulkStream(world.bulk, HOSPITAL), messages(bills))
    }
    assert len(again) == 40
    assert first.items() <= again.items()
    async with world.work() as repository:
        assert (await repository.read_accounts(["father"]))["father"].balance_fen == 50_000 - 400


async def test_a_full_platform_is_told_of_each_bill_that_found_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    bulk = Bulk(held, held, most_in_flight=1, max_waiting=1, most_in_streams=0)
    monkeypatch.setattr(bulk_stream, "LIST_MAX", 1)
    task = asyncio.create_task(drained(BulkStream(bulk, HOSPITAL), messages([item(n) for n in range(3)])))
    await asyncio.wait_for(held.arrived.acquire(), 5)
    await settled_down()
    held.go.set()
    told: Any = {result.msgid: reason_pb2.Reason.Name(result.refusal) for result in await task}
    assert told == {msgid(0): "REASON_IN_PROGRESS", msgid(1): "REASON_IN_PROGRESS", msgid(2): "REASON_OVERLOADED"}
