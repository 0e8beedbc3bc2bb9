"""Whatever a batch does for several requests at once, what is told of each belongs to its own request's trace."""

from collections.abc import Iterator

import pytest

from kit import tracing
from kit.testing import MemoryWork
from kit.testing_traces import Collector
from settlement.domain.quotes import Quote
from settlement.memory import MemorySettlements
from settlement.reverse_service import ReverseCommand
from settlement.testing import HOSPITAL, FakeRelation, World, account, bill, hold, msgid, paid, resettle, settle


@pytest.fixture(autouse=True)
def collector() -> Iterator[Collector]:
    yield Collector()
    tracing.shutdown()


def traceparent(number: int) -> str:
    return f"00-{number:032x}-{number:016x}-01"


class Two:
    """Two children whose father pays, in a batch, each in a trace of its own: 1 and 2."""

    def __init__(self) -> None:
        self.memory = MemorySettlements()
        self.memory.accounts["father"] = account("father", 50_000)
        relations = [FakeRelation("father", child, 50_000) for child in ("girl", "boy")]
        self.world = World(MemoryWork(self.memory), *relations)
        self.batch = tracing.together("batch", [tracing.remote(traceparent(number)) for number in (1, 2)])

    def told(self, since: int = 0) -> list[tuple[str, str | None]]:
        """The kind of each event and its trace."""
        rows = self.memory.outbox.rows[since:]
        return [(row.type.rpartition(".")[2], row.traceparent) for row in rows]


def expected(*kinds: str) -> list[tuple[str, str | None]]:
    return [(kind, traceparent(number)) for kind in kinds for number in (1, 2)]


async def test_what_is_settled_together_is_told_in_each_ones_trace() -> None:
    two = Two()
    with two.batch:
        await two.world.settle(settle(1, bill("girl")), settle(2, bill("boy")))
    assert two.told() == expected("SettlementCompleted", "AccountDebited")


async def test_what_is_settled_again_together_is_told_in_each_ones_trace() -> None:
    two = Two()
    for number, child in enumerate(("girl", "boy"), start=1):
        paid((await two.world.settle(settle(number, bill(child))))[0])
    before = len(two.memory.outbox.rows)
    with two.batch:
        await two.world.settle(resettle(11, 1, bill("girl", 4_000)), resettle(12, 2, bill("boy", 4_000)))
    told = two.told(before)
    kinds = ("SettlementReversed", "SettlementCompleted", "AccountRefunded", "AccountDebited")
    assert sorted(told) == sorted(expected(*kinds))


async def test_what_is_given_up_together_is_told_in_each_ones_trace() -> None:
    two = Two()
    two.world.binding.down = True
    with two.batch:
        await two.world.settle(settle(1, bill("girl")), settle(2, bill("boy")))
    assert two.told() == expected("HoldsReleased")


async def test_what_is_reversed_together_is_told_in_each_ones_trace() -> None:
    two = Two()
    for number, child in enumerate(("girl", "boy"), start=1):
        paid((await two.world.settle(settle(number, bill(child))))[0])
    before = len(two.memory.outbox.rows)
    with two.batch:
        commands = [ReverseCommand(HOSPITAL, msgid(90 + number), msgid(number)) for number in (1, 2)]
        await two.world.reversing.reverse(commands)
    assert two.told(before) == expected("SettlementReversed", "AccountRefunded")


async def test_held_previews_that_are_settled_together_are_told_in_each_ones_trace() -> None:
    two = Two()
    quotes = await two.world.hold(hold(1, bill("girl")), hold(2, bill("boy")))
    before = len(two.memory.outbox.rows)
    orders = [
        settle(10 + place, bill(child), quote_id=quote.quote_id, credential="forged")
        for place, (child, quote) in enumerate(zip(("girl", "boy"), quotes, strict=True))
        if isinstance(quote, Quote)
    ]
    with two.batch:
        await two.world.settle_quotes(*orders)
    assert two.told(before) == expected("SettlementCompleted", "AccountDebited")


async def test_previews_that_are_held_together_are_told_in_each_ones_trace() -> None:
    two = Two()
    with two.batch:
        await two.world.hold(hold(1, bill("girl")), hold(2, bill("boy")))
    assert two.told() == expected("HoldsTrimmed")
