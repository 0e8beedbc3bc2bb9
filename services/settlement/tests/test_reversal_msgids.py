"""The msgid of a reversal: bound to what it reverses, repeated for ever, and no settlement's."""

import pytest

from kit.ids import uuid7
from kit.testing import MemoryWork
from settlement.domain.state import Settlement, fenced
from settlement.intents import Answer
from settlement.memory import MemorySettlements
from settlement.reverse_service import ReverseCommand
from settlement.testing import HOSPITAL, TEN_O_CLOCK, FakeRelation, World, account, msgid, settle

Lists = list[list[ReverseCommand]]


@pytest.fixture
def memory() -> MemorySettlements:
    memory = MemorySettlements()
    memory.accounts["father"] = account("father", 50000)
    return memory


@pytest.fixture
def world(memory: MemorySettlements) -> World:
    return World(MemoryWork(memory), FakeRelation("father", "child", 20000))


def reverse(number: int, of: int) -> ReverseCommand:
    return ReverseCommand(HOSPITAL, msgid(number), msgid(of))


def gist(answer: Answer) -> str:
    return str(answer.state if isinstance(answer, Settlement) else getattr(answer, "reason", repr(answer)))


@pytest.mark.parametrize(
    "lists", [[[reverse(90, 1), reverse(91, 90)]], [[reverse(90, 1)], [reverse(91, 90)]]], ids=["together", "apart"]
)
async def test_a_reversal_is_not_reversed_and_its_answer_stays(
    world: World, memory: MemorySettlements, lists: Lists
) -> None:
    await world.settle(settle(1))
    first, second = [answer for each in lists for answer in await world.reversing.reverse(each)]
    assert (gist(first), gist(second)) == ("REVERSED", "NOT_FOUND")
    assert await world.reverse(90, of=1) == first
    assert [each.msgid for each in memory.settlements.values()] == [msgid(1)], "nothing is fenced off"


async def test_a_reversal_of_itself_is_not_found_and_leaves_no_trace(world: World, memory: MemorySettlements) -> None:
    assert gist(await world.reverse(90, of=90)) == "NOT_FOUND"
    assert (memory.settlements, memory.reversals) == ({}, {})


async def test_a_reversals_answer_stays_though_its_msgid_was_fenced_off(
    world: World, memory: MemorySettlements
) -> None:
    first = await world.reverse(90, of=1)
    # As two processes leave it behind that take both requests at the same moment.
    await memory.add_fences([fenced(uuid7(), HOSPITAL, msgid(90), TEN_O_CLOCK)])
    assert await world.reverse(90, of=1) == first


async def test_another_body_does_not_fail_the_repeated_request_beside_it(
    world: World, memory: MemorySettlements
) -> None:
    first = await world.reverse(90, of=1)
    other, again = await world.reversing.reverse([reverse(90, 2), reverse(90, 1)])
    assert (gist(other), again) == ("MSGID_REUSED", first)
    assert [each.msgid for each in memory.settlements.values()] == [msgid(1)], "nor is what it named fenced off"
