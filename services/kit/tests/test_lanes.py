"""Lists go through as they are, a few at a time, and what has a key in common one after the other."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from kit.batcher import FAILURES_ALONE_LIMIT, BatchHandlerError
from kit.errors import Refusal
from kit.lanes import Lanes


class Held:
    """A handler that doubles what it gets and holds each list until it is let go."""

    def __init__(self) -> None:
        self.lists: list[list[str]] = []
        self.gates: dict[str, asyncio.Event] = {}

    async def __call__(self, requests: Sequence[str]) -> Sequence[str]:
        self.lists.append(list(requests))
        await self.gates.setdefault(requests[0], asyncio.Event()).wait()
        return [request * 2 for request in requests]

    def let_go(self, first: str) -> None:
        self.gates.setdefault(first, asyncio.Event()).set()


def lanes(handler: Any, most_in_flight: int = 2, max_waiting: int = 4) -> Lanes[str, str]:
    return Lanes(handler, most_in_flight, max_waiting, key=lambda request: request[0])


async def sent(to: Lanes[str, str], *lists: Sequence[str]) -> list["asyncio.Task[list[str | Exception]]"]:
    tasks = [asyncio.ensure_future(to.run(each)) for each in lists]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_a_list_goes_through_whole_and_in_its_order() -> None:
    held = Held()
    held.let_go("a")
    assert await lanes(held).run(["a", "b", "c"]) == ["aa", "bb", "cc"]
    assert held.lists == [["a", "b", "c"]]


async def test_as_many_lists_as_there_are_lanes_are_in_flight_and_the_next_when_one_is_done() -> None:
    held = Held()
    tasks = await sent(lanes(held), ["a"], ["b"], ["c"])
    assert held.lists == [["a"], ["b"]]
    held.let_go("b")
    assert await tasks[1] == ["bb"]
    await asyncio.sleep(0)
    assert held.lists == [["a"], ["b"], ["c"]]
    held.let_go("a")
    held.let_go("c")
    assert await asyncio.gather(*tasks) == [["aa"], ["bb"], ["cc"]]


async def test_lists_with_a_key_in_common_follow_each_other_and_nobody_overtakes_the_first_in_the_queue() -> None:
    held = Held()
    tasks = await sent(lanes(held), ["a1", "b1"], ["b2", "c1"], ["d1"])
    assert held.lists == [["a1", "b1"]]
    for first in ("d1", "b2", "a1"):
        held.let_go(first)
    await asyncio.gather(*tasks)
    assert held.lists == [["a1", "b1"], ["b2", "c1"], ["d1"]]


async def test_a_list_that_finds_no_room_is_refused_at_once_and_the_others_are_answered() -> None:
    held = Held()
    narrow = lanes(held, most_in_flight=1)
    tasks = await sent(narrow, ["a"], ["b", "c", "d"])
    with pytest.raises(Refusal) as caught:
        await narrow.run(["e", "f"])
    assert caught.value.reason == "OVERLOADED"
    tasks += await sent(narrow, ["g"])
    for first in ("a", "b", "g"):
        held.let_go(first)
    assert await asyncio.gather(*tasks) == [["aa"], ["bb", "cc", "dd"], ["gg"]]


async def test_the_first_list_that_waits_finds_room_however_long_it_is() -> None:
    held = Held()
    narrow = lanes(held, most_in_flight=1, max_waiting=1)
    tasks = await sent(narrow, ["a"], ["b", "c", "d"])
    held.let_go("a")
    held.let_go("b")
    assert await tasks[1] == ["bb", "cc", "dd"]


async def test_a_caller_who_leaves_the_queue_takes_the_list_back_and_frees_its_room() -> None:
    held = Held()
    narrow = lanes(held, most_in_flight=1, max_waiting=2)
    tasks = await sent(narrow, ["a"], ["b", "c"])
    tasks[1].cancel()
    await asyncio.sleep(0)
    tasks += await sent(narrow, ["d", "e"])
    held.let_go("a")
    held.let_go("d")
    assert await tasks[2] == ["dd", "ee"]
    assert held.lists == [["a"], ["d", "e"]]


async def test_when_the_first_in_the_queue_leaves_the_next_starts() -> None:
    held = Held()
    tasks = await sent(lanes(held), ["a1"], ["a2"], ["b1"])
    assert held.lists == [["a1"]]
    tasks[1].cancel()
    held.let_go("b1")
    assert await tasks[2] == ["b1b1"]
    held.let_go("a1")
    await tasks[0]


async def test_a_caller_who_leaves_a_list_in_flight_does_not_stop_it() -> None:
    held = Held()
    one = lanes(held, most_in_flight=1)
    tasks = await sent(one, ["a1"], ["a2"])
    tasks[0].cancel()
    await asyncio.sleep(0)
    assert held.lists == [["a1"]], "what has been started is not overtaken by the next of its key"
    held.let_go("a1")
    held.let_go("a2")
    assert await tasks[1] == ["a2a2"]


async def test_a_failing_list_is_tried_one_by_one_so_that_only_the_bad_request_fails() -> None:
    async def handler(requests: Sequence[str]) -> Sequence[str]:
        if "x" in requests:
            raise ValueError("x")
        return [request * 2 for request in requests]

    good, bad, also_good = await lanes(handler).run(["a", "x", "b"])
    assert (good, also_good) == ("aa", "bb")
    assert isinstance(bad, ValueError)


async def test_when_everything_fails_the_rest_is_failed_without_being_tried() -> None:
    tried: list[Sequence[str]] = []

    async def handler(requests: Sequence[str]) -> Sequence[str]:
        tried.append(requests)
        raise ValueError("down")

    answers = await lanes(handler).run(list("abcdefgh"))
    assert len(tried) == 1 + FAILURES_ALONE_LIMIT
    assert [type(answer) for answer in answers] == [ValueError] * 8


async def test_a_handler_that_answers_too_few_is_found_out() -> None:
    async def handler(requests: Sequence[str]) -> Sequence[str]:
        return requests[1:]

    broken = lanes(handler)
    with pytest.raises(BatchHandlerError):
        await broken.run(["a", "b"])
    await broken.drain()


async def test_draining_answers_what_was_accepted_and_refuses_the_rest() -> None:
    held = Held()
    closing = lanes(held, most_in_flight=1)
    tasks = await sent(closing, ["a"], ["b"])
    drained = asyncio.ensure_future(closing.drain())
    await asyncio.sleep(0)
    with pytest.raises(Refusal) as caught:
        await closing.run(["c"])
    assert caught.value.reason == "UNAVAILABLE"
    held.let_go("a")
    held.let_go("b")
    await drained
    assert [task.result() for task in tasks] == [["aa"], ["bb"]]
