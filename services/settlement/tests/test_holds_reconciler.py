"""Reconciling holds: what binding has held for long is told its outcome again, and what is unknown is given up."""

from datetime import date, timedelta
from uuid import UUID

import pytest

from gongji.common.v1 import reason_pb2
from gongji.settlement.events.v1 import premium_events_pb2, settlement_events_pb2
from kit.ids import uuid7
from kit.testing import MemoryWork
from kit.timestamps import timestamp
from settlement.binding_holds import BindingSilentError
from settlement.domain.holds import UNKNOWN_INSTITUTION
from settlement.domain.premiums import Terms, premium_order
from settlement.domain.quotes import Quote
from settlement.domain.state import Premium, Settlement, SettlementState
from settlement.domain.visit import EnrolmentFact, PersonFacts
from settlement.holds_reconciler import HoldsReconciler, Reconciled
from settlement.memory import MemorySettlements
from settlement.testing import (
    QUOTES_LAST,
    TEN_O_CLOCK,
    FakeRelation,
    World,
    account,
    bill,
    enrolment,
    hold,
    resettle,
    settle,
)
from settlement.testing_holds import FakeHolds

AN_HOUR = 3600


class Desk:
    """A family whose settlements binding has not heard of."""

    def __init__(self) -> None:
        self.memory = MemorySettlements()
        self.memory.accounts["father"] = account("father", 50_000)
        self.relation = FakeRelation("father", "child", 40_000)
        work = MemoryWork(self.memory)
        self.world = World(work, self.relation)
        self.binding = FakeHolds()
        self.reconciler = HoldsReconciler(work, self.binding, self.world.clock, AN_HOUR)

    async def settled(self, number: int = 1, amount_fen: int = 9_000) -> Settlement:
        (answer,) = await self.world.settle(settle(number, bill("child", amount_fen)))
        assert isinstance(answer, Settlement), answer
        return answer

    async def kept(self, number: int = 1) -> Quote:
        (answer,) = await self.world.hold(hold(number, bill("child", 700)))
        assert isinstance(answer, Quote), answer
        return answer

    async def told(self) -> list[object]:
        """What reconciling tells once more."""
        before = len(self.memory.outbox.messages)
        self.world.clock.advance(timedelta(hours=2))
        await self.reconciler.run()
        return self.memory.outbox.messages[before:]


async def test_what_was_settled_is_told_as_it_was_told_before() -> None:
    desk = Desk()
    paid = await desk.settled()
    (first, *_) = desk.memory.outbox.messages
    desk.binding.put(paid.settlement_id, charged={desk.relation.id: 9_000})
    assert await desk.told() == [first]
    assert isinstance(first, settlement_events_pb2.SettlementCompleted)
    assert first.setl_time == timestamp(TEN_O_CLOCK)


async def test_what_was_reversed_is_told_as_reversed() -> None:
    desk = Desk()
    paid = await desk.settled()
    await desk.world.reverse(9, of=1)
    (first,) = [
        each for each in desk.memory.outbox.messages if isinstance(each, settlement_events_pb2.SettlementReversed)
    ]
    desk.binding.put(paid.settlement_id)
    assert await desk.told() == [first]


async def test_both_sides_of_settling_again_are_told_whichever_is_held() -> None:
    desk = Desk()
    original = await desk.settled()
    (again,) = await desk.world.settle(resettle(2, 1, bill("child", 4_000)))
    assert isinstance(again, Settlement)
    before = desk.memory.outbox.messages
    desk.binding.put(original.settlement_id)
    desk.binding.put(again.settlement_id)
    told = await desk.told()
    assert len(told) == 2
    assert all(message in before for message in told)
    reversed_, completed = told
    assert isinstance(reversed_, settlement_events_pb2.SettlementReversed)
    assert isinstance(completed, settlement_events_pb2.SettlementCompleted)
    assert reversed_.replaced_by == str(again.settlement_id)
    assert [line.amount_fen for line in reversed_.replacing_lines] == [4_000]
    assert completed.replaces == str(original.settlement_id)
    assert [line.amount_fen for line in completed.replaced_lines] == [9_000]


async def test_what_was_refused_is_released() -> None:
    desk = Desk()
    await desk.world.settle(settle(1, bill("child", 9_000), expected_acct_mulaid_pay_fen=1))
    (refused,) = desk.memory.settlements.values()
    desk.binding.put(refused.settlement_id)
    (message,) = await desk.told()
    assert isinstance(message, settlement_events_pb2.HoldsReleased)
    assert message.reason == reason_pb2.REASON_AMOUNT_CHANGED


async def test_what_is_pending_is_left_to_its_owner_or_the_sweeper() -> None:
    desk = Desk()
    paid = await desk.settled()
    desk.memory.settlements[paid.settlement_id] = Settlement(
        paid.settlement_id, paid.fixmedins_code, paid.msgid, SettlementState.PENDING, order=paid.order
    )
    desk.binding.put(paid.settlement_id)
    assert await desk.told() == []


async def test_an_id_that_nothing_is_known_of_is_given_up_once_and_told_until_it_is_heard() -> None:
    desk = Desk()
    unknown = desk.binding.put(uuid7(), charged={desk.relation.id: 500})
    (message,) = await desk.told()
    assert isinstance(message, settlement_events_pb2.HoldsReleased)
    assert message.reason == reason_pb2.REASON_ABANDONED
    facts = message.settlement
    assert (facts.setl_id, facts.psn_no) == (str(unknown.authorization_id), "child")
    assert (facts.occurred_at, facts.use_mutual_aid) == (timestamp(unknown.occurred_at), True)
    record = desk.memory.settlements[unknown.authorization_id]
    assert (record.state, record.fixmedins_code) == (SettlementState.ABANDONED, UNKNOWN_INSTITUTION)

    (again,) = await desk.told()
    assert isinstance(again, settlement_events_pb2.HoldsReleased)
    assert again.settlement == facts
    assert len(desk.memory.settlements) == 1


async def test_a_preview_that_is_held_as_binding_has_it_is_not_told() -> None:
    desk = Desk()
    quote = await desk.kept()
    desk.binding.put(quote.quote_id, charged={desk.relation.id: 700})
    assert await desk.told() == []
    desk.binding.put(quote.quote_id, charged={desk.relation.id: 9_000})
    (message,) = await desk.told()
    assert isinstance(message, settlement_events_pb2.HoldsTrimmed)
    assert [line.amount_fen for line in message.settlement.lines] == [700]


@pytest.mark.parametrize("end", ["expire", "use"])
async def test_a_preview_that_has_ended_is_told_by_its_end(end: str) -> None:
    desk = Desk()
    quote = await desk.kept()
    if end == "expire":
        desk.world.clock.advance(QUOTES_LAST)
        await desk.world.sweep()
    else:
        order = settle(2, bill("child", 700), quote_id=quote.quote_id)
        assert isinstance((await desk.world.settle_quotes(order))[0], Settlement)
    desk.binding.put(quote.quote_id, charged={desk.relation.id: 700})
    (message,) = await desk.told()
    assert isinstance(message, settlement_events_pb2.HoldsReleased | settlement_events_pb2.SettlementCompleted)
    assert type(message).__name__ == {"expire": "HoldsReleased", "use": "SettlementCompleted"}[end]
    assert message.settlement.setl_id == str(quote.quote_id)


async def test_a_premium_is_told_as_a_premium() -> None:
    desk = Desk()
    desk.memory.persons["child"] = PersonFacts(enrolments=(EnrolmentFact(enrolment(), TEN_O_CLOCK),))
    desk.memory.premiums.stated.append((Terms(2026, 4_000, date(2025, 6, 1), date(2025, 9, 30)), "op", TEN_O_CLOCK))
    premium = Premium(2026, "father")
    paid = await desk.world.pipeline.premiums.pay(premium_order(str(uuid7()), "child", premium), premium)
    before = list(desk.memory.outbox.messages)
    desk.binding.put(paid.settlement_id)
    (message,) = await desk.told()
    assert isinstance(message, premium_events_pb2.PremiumPaid)
    assert message in before


async def test_every_page_is_walked_and_counted() -> None:
    desk = Desk()
    paid = await desk.settled()
    desk.binding.put(paid.settlement_id)
    quote = await desk.kept(2)
    desk.binding.put(quote.quote_id, charged={desk.relation.id: 700})
    for _ in range(3):
        desk.binding.put(uuid7())
    done = await desk.reconciler.run()
    assert done == Reconciled(looked_at=5, told=4, unknown=3)
    assert done.right == 1
    assert desk.binding.asked == [(AN_HOUR, ""), (AN_HOUR, "2"), (AN_HOUR, "4")]


async def test_the_job_walks_the_pages_once_and_then_begins_anew() -> None:
    desk = Desk()
    for number in range(3):
        desk.binding.put(UUID(int=number + 1))
    assert [await desk.reconciler.batch() for _ in range(6)] == [2, 1, 0, 2, 1, 0]
    assert [token for _, token in desk.binding.asked] == ["", "2", "", "2"]


async def test_a_binding_that_is_away_changes_nothing() -> None:
    desk = Desk()
    desk.binding.silent = True
    with pytest.raises(BindingSilentError):
        await desk.reconciler.batch()
    assert desk.memory.outbox.messages == []
    desk.binding.silent = False
    desk.binding.put(uuid7())
    assert await desk.reconciler.batch() == 1
