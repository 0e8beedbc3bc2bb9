"""Whoever shares a batch with whom never shows in the answers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from kit.batcher import FAILURES_ALONE_LIMIT, BatchHandlerError, MicroBatcher
from kit.errors import Refusal

Handler = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]


class Poison(Exception):
    pass


class Held:
    """A handler that doubles numbers and holds each batch until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.started = asyncio.Semaphore(0)
        self.go = asyncio.Semaphore(0)

    async def __call__(self, requests: Sequence[Any]) -> Sequence[Any]:
        self.batches.append(list(requests))
        self.started.release()
        await self.go.acquire()
        return [request * 2 for request in requests]

    async def until_started(self) -> None:
        await asyncio.wait_for(self.started.acquire(), 5)

    def let_go(self, batches: int = 1) -> None:
        for _ in range(batches):
            self.go.release()


async def submitted(batcher: MicroBatcher[Any, Any], *requests: Any) -> list["asyncio.Task[Any]"]:
    tasks = [asyncio.ensure_future(batcher.submit(request)) for request in requests]
    await rounds_of_the_loop()
    return tasks


async def rounds_of_the_loop() -> None:
    """As many as it takes from a batch that is answered to the next that begins."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_lone_request_does_not_wait_for_company() -> None:
    held = Held()
    batcher = MicroBatcher(held, 10, 10)
    (task,) = await submitted(batcher, 1)
    await held.until_started()
    held.let_go()
    assert await task == 2
    assert held.batches == [[1]]


async def test_the_next_batch_fills_while_one_is_in_flight_and_keeps_the_order() -> None:
    held = Held()
    batcher = MicroBatcher(held, 3, 10)
    tasks = await submitted(batcher, 1)
    await held.until_started()
    tasks += await submitted(batcher, 2, 3, 4, 5)
    held.let_go(3)
    assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10]
    assert held.batches == [[1], [2, 3, 4], [5]]


async def test_two_of_one_key_never_share_a_batch_and_stay_in_order() -> None:
    held = Held()
    batcher = MicroBatcher(held, 10, 10, key=lambda request: request[0])
    held.let_go(10)
    await asyncio.gather(*await submitted(batcher, "a1", "b1", "a2", "a3", "c1", "b2"))
    assert held.batches == [["a1", "b1", "c1"], ["a2", "b2"], ["a3"]]


async def test_requests_without_a_key_may_share() -> None:
    held = Held()
    batcher: MicroBatcher[int, int] = MicroBatcher(held, 10, 10, key=lambda _request: None)
    held.let_go(5)
    await asyncio.gather(*await submitted(batcher, 1, 2, 3))
    assert held.batches == [[1, 2, 3]]


async def test_one_too_many_is_refused_at_once_and_the_others_are_answered() -> None:
    held = Held()
    batcher = MicroBatcher(held, 1, 2)
    tasks = await submitted(batcher, 1)
    await held.until_started()
    tasks += await submitted(batcher, 2, 3)
    with pytest.raises(Refusal) as caught:
        await batcher.submit(4)
    assert caught.value.reason == "OVERLOADED"
    held.let_go(3)
    assert await asyncio.gather(*tasks) == [2, 4, 6]


async def test_a_caller_who_leaves_the_queue_takes_the_request_back() -> None:
    held = Held()
    batcher = MicroBatcher(held, 10, 10)
    tasks = await submitted(batcher, 1)
    await held.until_started()
    tasks += await submitted(batcher, 2, 3)
    tasks[1].cancel()
    held.let_go(2)
    assert await tasks[2] == 6
    assert held.batches == [[1], [3]]


async def test_a_caller_who_leaves_a_batch_in_flight_does_not_break_it() -> None:
    held = Held()
    batcher = MicroBatcher(held, 10, 10)
    tasks = await submitted(batcher, 1, 2)
    await held.until_started()
    tasks[0].cancel()
    held.let_go()
    assert await tasks[1] == 4
    assert tasks[0].cancelled()


async def test_those_who_left_free_their_places_in_the_queue() -> None:
    held = Held()
    batcher = MicroBatcher(held, 1, 2)
    first = await submitted(batcher, 1)
    await held.until_started()
    for task in await submitted(batcher, 2, 3):
        task.cancel()
    await asyncio.sleep(0)
    tasks = await submitted(batcher, 4)
    held.let_go(3)
    assert await asyncio.gather(*first, *tasks) == [2, 8]


async def test_a_crowd_begins_another_batch_beside_the_one_in_flight() -> None:
    held = Held()
    batcher = MicroBatcher(held, 10, 10, most_in_flight=2, crowd=2)
    tasks = await submitted(batcher, 1, 2)
    assert held.batches == [[1, 2]]
    tasks += await submitted(batcher, 3)  # alone it waits: a batch of one costs more than standing still
    assert held.batches == [[1, 2]]
    tasks += await submitted(batcher, 4, 5)
    assert held.batches == [[1, 2], [3, 4, 5]]
    held.let_go(2)
    assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10]


async def test_a_crowd_is_not_smaller_than_the_batch_beside_which_it_begins() -> None:
    held = Held()
    batcher = MicroBatcher(held, 10, 20, most_in_flight=2, crowd=2)
    tasks = await submitted(batcher, 1, 2, 3, 4)
    tasks += await submitted(batcher, 5, 6, 7)
    assert held.batches == [[1, 2, 3, 4]]
    tasks += await submitted(batcher, 8)
    assert held.batches == [[1, 2, 3, 4], [5, 6, 7, 8]]
    held.let_go(2)
    assert await asyncio.gather(*tasks) == [number * 2 for number in range(1, 9)]


async def test_no_more_batches_are_in_flight_than_may_be() -> None:
    held = Held()
    batcher = MicroBatcher(held, 2, 20, most_in_flight=2)
    tasks = await submitted(batcher, *range(8))
    assert held.batches == [[0, 1], [2, 3]]
    held.let_go()
    await rounds_of_the_loop()
    assert len(held.batches) == 3
    held.let_go(3)
    assert await asyncio.gather(*tasks) == [number * 2 for number in range(8)]


async def test_what_shares_a_key_with_a_batch_in_flight_waits_for_it() -> None:
    held = Held()
    batcher = MicroBatcher(held, 10, 10, key=lambda number: number % 10, most_in_flight=2)
    tasks = await submitted(batcher, 1)
    tasks += await submitted(batcher, 11, 2, 21)
    assert held.batches == [[1], [2]]
    held.let_go()
    assert await tasks[0] == 2
    await rounds_of_the_loop()
    assert held.batches == [[1], [2], [11]]
    held.let_go(3)
    assert await asyncio.gather(*tasks) == [2, 22, 4, 42]
    assert held.batches == [[1], [2], [11], [21]]


async def test_a_crowd_is_of_those_who_could_start() -> None:
    held = Held()
    batcher = MicroBatcher(held, 10, 10, key=lambda number: number % 10, most_in_flight=2, crowd=2)
    tasks = await submitted(batcher, 1, 11, 21, 2, 12)  # ones wait for the one in flight, and of twos only one may go
    assert held.batches == [[1, 2]]
    tasks += await submitted(batcher, 31, 3)
    (gone,) = await submitted(batcher, 4)
    assert held.batches == [[1, 2], [3, 4]]
    held.let_go(9)
    assert await asyncio.gather(*tasks, gone) == [2, 22, 42, 4, 24, 62, 6, 8]


async def test_who_comes_for_a_key_that_is_in_flight_is_not_of_the_crowd() -> None:
    held = Held()
    batcher = MicroBatcher(held, 10, 10, key=lambda number: number % 10, most_in_flight=2, crowd=2)
    tasks = await submitted(batcher, 1)
    tasks += await submitted(batcher, 11)
    tasks += await submitted(batcher, 2)
    assert held.batches == [[1]]
    held.let_go(2)
    assert await asyncio.gather(*tasks) == [2, 22, 4]
    assert held.batches == [[1], [11, 2]]


async def test_who_has_left_is_not_of_the_crowd() -> None:
    held = Held()
    batcher = MicroBatcher(held, 10, 10, key=lambda number: number % 10, most_in_flight=2, crowd=2)
    tasks = await submitted(batcher, 1)
    (leaving,) = await submitted(batcher, 2)
    leaving.cancel()
    tasks += await submitted(batcher, 3)
    assert held.batches == [[1]]
    tasks += await submitted(batcher, 4)
    assert held.batches == [[1], [3, 4]]
    held.let_go(2)
    assert await asyncio.gather(*tasks) == [2, 6, 8]


async def test_a_request_that_comes_as_a_batch_ends_is_answered() -> None:
    held = Held()
    batcher = MicroBatcher(held, 10, 10, most_in_flight=2, crowd=5)
    (first,) = await submitted(batcher, 1)
    late: list[asyncio.Task[Any]] = []
    first.add_done_callback(lambda _: late.append(asyncio.ensure_future(batcher.submit(2))))
    held.let_go(2)
    await first
    await asyncio.sleep(0)
    assert await asyncio.wait_for(late[0], 5) == 4


async def test_a_failing_call_is_tried_one_by_one_so_that_only_the_bad_request_fails() -> None:
    async def handler(requests: Sequence[int]) -> Sequence[int]:
        if 13 in requests:
            raise Poison
        return [request * 2 for request in requests]

    batcher: MicroBatcher[int, int] = MicroBatcher(handler, 10, 10)
    requests = [13, 1] * (FAILURES_ALONE_LIMIT + 1)
    answers = await asyncio.gather(*await submitted(batcher, *requests), return_exceptions=True)
    assert [2 if request == 1 else Poison for request in requests] == [
        type(answer) if isinstance(answer, Poison) else answer for answer in answers
    ]


async def test_when_everything_fails_the_rest_is_not_tried_one_by_one() -> None:
    calls: list[int] = []

    async def handler(requests: Sequence[int]) -> Sequence[int]:
        calls.append(len(requests))
        raise Poison

    batcher: MicroBatcher[int, int] = MicroBatcher(handler, 50, 50)
    answers = await asyncio.gather(*await submitted(batcher, *range(50)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Poison}
    assert calls == [50] + [1] * FAILURES_ALONE_LIMIT


async def test_a_handler_that_loses_an_answer_fails_its_batch_and_not_the_next() -> None:
    async def handler(requests: Sequence[int]) -> Sequence[int]:
        return [2] if len(requests) == 1 else []

    batcher: MicroBatcher[int, int] = MicroBatcher(handler, 10, 10)
    answers = await asyncio.gather(*await submitted(batcher, 1, 2), return_exceptions=True)
    assert {type(answer) for answer in answers} == {BatchHandlerError}
    assert await batcher.submit(1) == 2


async def test_a_batch_carries_nobodys_context() -> None:
    import contextvars

    whose = contextvars.ContextVar("whose", default="nobody's")
    seen: list[str] = []

    async def handler(requests: Sequence[int]) -> Sequence[int]:
        seen.append(whose.get())
        return requests

    whose.set("mine")
    batcher: MicroBatcher[int, int] = MicroBatcher(handler, 10, 10)
    await batcher.submit(1)
    assert seen == ["nobody's"]


async def test_draining_answers_what_was_accepted_and_refuses_what_comes_after() -> None:
    held = Held()
    batcher = MicroBatcher(held, 1, 10)
    tasks = await submitted(batcher, 1, 2)
    draining = asyncio.ensure_future(batcher.drain())
    await held.until_started()
    with pytest.raises(Refusal) as caught:
        await batcher.submit(3)
    assert caught.value.reason == "UNAVAILABLE"
    assert not draining.done()
    held.let_go(2)
    await asyncio.wait_for(draining, 5)
    assert [task.result() for task in tasks] == [2, 4]


async def test_an_idle_batcher_is_drained_at_once() -> None:
    idle = MicroBatcher(held := Held(), 1, 1)
    await asyncio.wait_for(idle.drain(), 5)
    with pytest.raises(Refusal):
        await idle.submit(1)
    assert held.batches == []


FATES = st.sampled_from(["fine", "item fails", "caller leaves"])
REQUESTS = st.lists(st.tuples(st.integers(0, 3), FATES), max_size=40)
Request = tuple[int, int, str]


class Recording:
    """Answers each request with its number, checks the batches, and notes the order of each key."""

    def __init__(self, max_batch: int, pauses: int, poisonous: int | None) -> None:
        self.max_batch = max_batch
        self.pauses = pauses
        self.poisonous = poisonous
        self.order: dict[int, list[int]] = {}
        self.in_flight: set[object] = set()

    async def __call__(self, batch: Sequence[Request]) -> Sequence[int | BaseException]:
        keys = [key for _, key, _ in batch]
        assert len(keys) == len(set(keys)) <= self.max_batch
        assert self.in_flight.isdisjoint(keys)
        self.in_flight |= set(keys)
        for _ in range(self.pauses):
            await asyncio.sleep(0)
        self.in_flight -= set(keys)
        if self.poisonous in [number for number, _, _ in batch]:
            raise Poison("the whole call")
        for number, key, _ in batch:
            self.order.setdefault(key, []).append(number)
        return [Poison(str(number)) if fate == "item fails" else number for number, _, fate in batch]


async def answers_to(requests: list[tuple[int, str]], handler: Recording, most: int, crowd: int) -> list[object]:
    batcher: MicroBatcher[Request, int] = MicroBatcher(
        handler, handler.max_batch, 100, lambda request: request[1], most_in_flight=most, crowd=crowd
    )
    tasks = [asyncio.ensure_future(batcher.submit((number, *request))) for number, request in enumerate(requests)]
    await asyncio.sleep(0)
    for task, (_, fate) in zip(tasks, requests, strict=True):
        if fate == "caller leaves":
            task.cancel()
    return list(await asyncio.gather(*tasks, return_exceptions=True))


@settings(max_examples=100, deadline=None)
@given(
    REQUESTS, st.integers(1, 7), st.integers(0, 3), st.none() | st.integers(0, 39), st.integers(1, 3), st.integers(1, 5)
)
def test_answers_are_those_of_asking_one_by_one(  # noqa: PLR0917 - everything that may be set
    requests: list[tuple[int, str]], max_batch: int, pauses: int, poisonous: int | None, most: int, crowd: int
) -> None:
    handler = Recording(max_batch, pauses, poisonous)
    answers = asyncio.run(answers_to(requests, handler, most, crowd))
    for number, ((_, fate), answer) in enumerate(zip(requests, answers, strict=True)):
        if fate == "caller leaves":
            continue
        if number == poisonous:
            assert str(answer) == "the whole call"
        elif fate == "item fails":
            assert isinstance(answer, Poison)
            assert str(answer) == str(number)
        else:
            assert answer == number
    assert all(numbers == sorted(numbers) for numbers in handler.order.values())


async def test_how_long_the_first_of_a_batch_waited_is_told_once_a_batch() -> None:
    name = f"batch-{uuid4().hex[:8]}"

    def told(what: str) -> float:
        return REGISTRY.get_sample_value(f"gongji_batch_{what}", {"batcher": name}) or 0.0

    held = Held()
    batcher = MicroBatcher(held, 10, 20, name=name)
    tasks = await submitted(batcher, 1)
    await held.until_started()
    tasks += await submitted(batcher, 2, 3)
    await asyncio.sleep(0.02)
    held.let_go(2)
    await asyncio.gather(*tasks)
    assert (told("wait_seconds_count"), told("size_sum"), told("waiting_limit")) == (2, 3, 20)
    assert told("wait_seconds_sum") >= 0.02
