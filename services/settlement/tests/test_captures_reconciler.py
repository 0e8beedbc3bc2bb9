"""After a restore from backup: what binding has counted for settlements that are forgotten here is given back, once."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gongji.settlement.events.v1 import settlement_events_pb2
from kit.ids import uuid7
from kit.testing import MemoryWork
from kit.timestamps import timestamp
from settlement.binding_holds import BindingSilentError
from settlement.captures_reconciler import CapturesReconciler
from settlement.domain.holds import HoldState, first_id_since
from settlement.domain.state import Settlement, SettlementState
from settlement.holds_reconciler import Reconciled
from settlement.memory import MemorySettlements
from settlement.testing import TEN_O_CLOCK, FakeRelation, World, account, bill, resettle, settle
from settlement.testing_holds import FakeHolds

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Desk:
    """A family, and a binding that has captured what it is told to."""

    def __init__(self) -> None:
        self.memory = MemorySettlements()
        self.memory.accounts["father"] = account("father", 50_000)
        self.relation = FakeRelation("father", "child", 40_000)
        work = MemoryWork(self.memory)
        self.world = World(work, self.relation)
        self.binding = FakeHolds()
        self.reconciler = CapturesReconciler(work, self.binding, self.world.clock)

    async def settled(self, number: int = 1) -> Settlement:
        (answer,) = await self.world.settle(settle(number, bill("child", 9_000)))
        assert isinstance(answer, Settlement), answer
        return answer

    def captured(self, settlement_id: UUID) -> None:
        self.binding.put(settlement_id, HoldState.CAPTURED, {self.relation.id: 9_000})

    async def told(self) -> tuple[Reconciled, list[object]]:
        before = len(self.memory.outbox.messages)
        done = await self.reconciler.run(LONG_AGO)
        return done, self.memory.outbox.messages[before:]


async def test_what_is_settled_here_is_captured_rightly() -> None:
    desk = Desk()
    for number in range(1, 4):
        desk.captured((await desk.settled(number)).settlement_id)
    assert await desk.told() == (Reconciled(3, 0, 0), [])


async def test_what_is_forgotten_is_given_back_and_can_never_come_to_money() -> None:
    desk = Desk()
    forgotten = [uuid7() for _ in range(5)]  # more than two pages
    for each in forgotten:
        desk.captured(each)
    done, told = await desk.told()
    assert done == Reconciled(5, 5, 5)
    for each, message in zip(forgotten, told, strict=True):
        assert isinstance(message, settlement_events_pb2.SettlementReversed)
        facts = message.settlement
        assert (facts.setl_id, facts.psn_no, facts.use_mutual_aid) == (str(each), "child", True)
        assert (facts.occurred_at, list(facts.lines)) == (timestamp(TEN_O_CLOCK), [])
        assert desk.memory.settlements[each].state is SettlementState.ABANDONED
    again, told = await desk.told()  # until binding has heard
    assert (again, len(told)) == (Reconciled(5, 5, 0), 5)


async def test_what_was_under_way_at_the_point_and_given_up_since_is_given_back() -> None:
    desk = Desk()
    paid = await desk.settled()
    desk.memory.settlements[paid.settlement_id] = Settlement(
        paid.settlement_id, paid.fixmedins_code, paid.msgid, SettlementState.ABANDONED, order=paid.order
    )
    desk.captured(paid.settlement_id)
    done, (message,) = await desk.told()
    assert done == Reconciled(1, 1, 0)
    assert isinstance(message, settlement_events_pb2.SettlementReversed)


async def test_what_is_pending_is_the_sweepers_first() -> None:
    desk = Desk()
    paid = await desk.settled()
    desk.memory.settlements[paid.settlement_id] = Settlement(
        paid.settlement_id, paid.fixmedins_code, paid.msgid, SettlementState.PENDING, order=paid.order
    )
    desk.captured(paid.settlement_id)
    assert await desk.told() == (Reconciled(1, 0, 0), [])


async def test_a_reversal_that_binding_missed_is_told_as_it_was_told_before_with_its_other_side() -> None:
    desk = Desk()
    original = await desk.settled()
    await desk.world.settle(resettle(2, 1, bill("child", 4_000)))
    before = desk.memory.outbox.messages
    desk.captured(original.settlement_id)
    done, (message,) = await desk.told()
    assert done == Reconciled(1, 1, 0)
    assert message in before
    assert isinstance(message, settlement_events_pb2.SettlementReversed)
    assert [line.amount_fen for line in message.replacing_lines] == [4_000]


async def test_without_an_answer_nothing_is_told() -> None:
    desk = Desk()
    desk.captured(uuid7())
    desk.binding.silent = True
    with pytest.raises(BindingSilentError):
        await desk.told()
    assert desk.memory.outbox.messages == []


@given(st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - made aware below
def test_ids_of_a_moment_begin_with_the_lowest_one_since(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    first = first_id_since(moment)
    assert first_id_since(moment + timedelta(milliseconds=1)) > first
    assert first.int >> 80 == int(moment.timestamp() * 1000)


def test_an_id_that_is_made_now_is_not_before_the_lowest_of_a_moment_ago() -> None:
    now = datetime.now(UTC)
    assert first_id_since(now - timedelta(seconds=1)) < uuid7() < first_id_since(now + timedelta(minutes=1))
