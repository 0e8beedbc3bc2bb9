"""Settling, reversing and recovering, on memory and with a fake binding: what each msgid is answered with."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from gongji.settlement.events.v1 import account_events_pb2, settlement_events_pb2
from kit.db import Work
from kit.testing import MemoryWork
from settlement.domain.accounts import AccountState
from settlement.domain.state import Settlement, SettlementState
from settlement.failpoints import Boundary, Failpoints
from settlement.memory import MemorySettlements
from settlement.repository import SettlementRepository
from settlement.reverse_service import ReverseCommand
from settlement.testing import HOSPITAL, FakeRelation, World, account, bill, msgid, settle, visit


class Crash(BaseException):
    """The process dies."""


class Crashing(Failpoints):
    """Dies at one boundary, once."""

    def __init__(self, boundary: Boundary) -> None:
        super().__init__()
        self._boundary: Boundary | None = boundary

    async def reach(self, boundary: Boundary) -> None:
        if boundary is self._boundary:
            self._boundary = None
            raise Crash


class Family:
    """A father with money, a child with a limit."""

    def __init__(self, *, money_fen: int = 50000, limit_fen: int = 20000, failpoints: Failpoints | None = None) -> None:
        self.memory = MemorySettlements()
        self.memory.accounts["father"] = account("father", money_fen)
        self.world = World(MemoryWork(self.memory), FakeRelation("father", "child", limit_fen), failpoints=failpoints)

    @property
    def balance_fen(self) -> int:
        return self.memory.accounts["father"].balance_fen

    @property
    def told(self) -> list[str]:
        return [type(message).__name__ for message in self.memory.outbox.messages]

    async def settle(self, number: int, amount_fen: int = 9000, **changes: Any) -> Settlement:
        return paid((await self.world.settle(settle(number, bill("child", amount_fen), **changes)))[0])


def paid(answer: Settlement | Exception) -> Settlement:
    assert isinstance(answer, Settlement), repr(answer)
    return answer


def reason(answer: Settlement | Exception) -> str:
    assert isinstance(answer, Exception), answer
    return str(getattr(answer, "reason", repr(answer)))


async def test_a_bill_is_paid_from_the_payers_account() -> None:
    family = Family()
    settlement = await family.settle(1)
    assert settlement.state is SettlementState.SETTLED
    assert settlement.split is not None
    assert [(line.payer_psn_no, line.amount_fen, line.balance_after_fen) for line in settlement.split.lines] == [
        ("father", 9000, 41000)
    ]
    assert family.balance_fen == 41000
    assert family.told == ["SettlementCompleted", "AccountDebited"]


async def test_events_tell_the_lines_and_the_accounts_sequence() -> None:
    family = Family()
    settlement = await family.settle(1)
    completed, debited = family.memory.outbox.messages
    assert isinstance(completed, settlement_events_pb2.SettlementCompleted)
    assert [(line.payer_psn_no, line.amount_fen) for line in completed.settlement.lines] == [("father", 9000)]
    assert completed.settlement.use_mutual_aid
    assert isinstance(debited, account_events_pb2.AccountDebited)
    assert (debited.sequence, debited.amount_fen, debited.balance_after_fen) == (2, 9000, 41000)
    assert debited.setl_id == str(settlement.settlement_id)


async def test_the_same_request_again_gets_the_same_answer_and_takes_nothing() -> None:
    family = Family()
    first = await family.settle(1)
    assert await family.settle(1) == first
    assert family.balance_fen == 41000
    assert len(family.world.binding.asked) == 1


async def test_a_known_msgid_is_answered_after_its_credential_has_expired() -> None:
    family = Family()
    first = await family.settle(1)
    family.world.clock.advance(timedelta(days=3))
    assert await family.settle(1) == first


async def test_a_known_msgid_is_answered_whatever_credential_comes_with_it() -> None:
    family = Family()
    first = await family.settle(1)
    assert await family.settle(1, credential="forged") == first


async def test_another_body_under_a_known_msgid_is_refused() -> None:
    family = Family()
    await family.settle(1)
    answers = await family.world.settle(settle(1, bill("child", 9100)))
    assert reason(answers[0]) == "MSGID_REUSED"
    assert family.balance_fen == 41000


async def test_a_refusal_about_the_visit_leaves_no_trace() -> None:
    family = Family()
    family.world.clock.advance(timedelta(minutes=20))
    assert reason((await family.world.settle(settle(1)))[0]) == "CREDENTIAL_EXPIRED"
    assert not family.memory.settlements
    assert not family.memory.credential_uses
    family.world.credentials.expires_at += timedelta(hours=1)
    assert (await family.settle(1)).state is SettlementState.SETTLED


async def test_a_credential_belongs_to_the_visit_of_its_first_settlement() -> None:
    family = Family()
    await family.settle(1)
    other = bill("child", 100, mdtrt_id="another-visit")
    assert reason((await family.world.settle(settle(2, other)))[0]) == "CREDENTIAL_INVALID"
    assert len(family.memory.settlements) == 1


async def test_two_visits_with_one_credential_in_one_batch_are_not_both_settled() -> None:
    family = Family()
    facts = visit("child", jti="shared")
    family.world.credentials.facts = {"a": facts, "b": facts}
    first = settle(1, bill("child", 100), credential="a")
    second = settle(2, bill("child", 100, mdtrt_id="another"), credential="b")
    await family.world.settle(first)
    assert reason((await family.world.settle(second))[0]) == "CREDENTIAL_INVALID"
    assert list(family.memory.credential_uses) == ["shared"]
    assert len(family.memory.settlements) == 1


async def test_the_second_of_one_patient_in_one_batch_is_in_progress_without_trace() -> None:
    family = Family()
    answers = await family.world.settle(settle(1), settle(2))
    assert paid(answers[0]).state is SettlementState.SETTLED
    assert reason(answers[1]) == "IN_PROGRESS"
    assert (await family.settle(2)).state is SettlementState.SETTLED


async def test_the_same_msgid_of_two_patients_in_one_batch_settles_one() -> None:
    family = Family()
    answers = await family.world.settle(settle(1, bill("child", 100)), settle(1, bill("baby", 100)))
    assert sorted(type(answer).__name__ for answer in answers) == ["Settlement", "SettlementRefusedError"]
    assert {reason(answer) for answer in answers if isinstance(answer, Exception)} == {"MSGID_REUSED"}


async def test_what_was_settled_counts_in_the_limit_of_the_next_without_any_event() -> None:
    family = Family(limit_fen=10000)
    await family.settle(1, 9000)
    second = await family.settle(2, 9000)
    assert second.split is not None
    assert (second.split.acct_mulaid_pay_fen, second.split.psn_cash_pay_fen) == (1000, 8000)
    assert [(decline.reason, decline.window) for decline in second.split.declines] == [("LIMIT_REACHED", "TOTAL")]


async def test_binding_is_not_asked_without_mutual_aid_or_need() -> None:
    family = Family()
    await family.settle(1, use_mutual_aid=False)
    await family.settle(2, 0)
    assert not family.world.binding.asked


async def test_a_split_that_was_not_expected_moves_nothing_and_spends_the_msgid() -> None:
    family = Family(money_fen=5000)
    answers = await family.world.settle(settle(1, expected_acct_mulaid_pay_fen=9000))
    assert reason(answers[0]) == "AMOUNT_CHANGED"
    assert family.balance_fen == 5000
    assert family.told == ["HoldsReleased"]
    again = await family.world.settle(settle(1, expected_acct_mulaid_pay_fen=9000))
    assert reason(again[0]) == "AMOUNT_CHANGED"
    assert not family.memory.entries


async def test_a_lost_reply_of_binding_abandons_and_a_new_msgid_settles_in_full() -> None:
    family = Family(limit_fen=9000)
    family.world.binding.lose_replies = 1
    assert reason((await family.world.settle(settle(1)))[0]) == "ABANDONED"
    assert family.told == ["HoldsReleased"]
    assert reason((await family.world.settle(settle(1)))[0]) == "ABANDONED"
    second = await family.settle(2)
    assert second.split is not None
    assert second.split.acct_mulaid_pay_fen == 9000, "the hold of the abandoned one is free"


async def test_binding_down_abandons_who_needs_it_and_settles_who_does_not() -> None:
    family = Family()
    family.world.binding.down = True
    answers = await family.world.settle(settle(1), settle(2, bill("baby", 500), use_mutual_aid=False))
    assert reason(answers[0]) == "ABANDONED"
    assert paid(answers[1]).state is SettlementState.SETTLED


async def test_one_that_binding_refuses_does_not_fail_the_others() -> None:
    family = Family()
    family.world.binding.refuse["baby"] = "REQUEST_TOO_OLD"
    answers = await family.world.settle(settle(1, bill("baby", 500)), settle(2))
    assert reason(answers[0]) == "ABANDONED"
    assert paid(answers[1]).state is SettlementState.SETTLED


async def test_one_whose_posting_fails_does_not_fail_the_others() -> None:
    family = Family()
    family.memory.accounts["baby"] = account("baby", 500)
    real_post = family.memory.post

    async def post(posted: Any, accounts: Any) -> None:
        if "baby" in posted.standings:
            raise RuntimeError("a row that the database will not take")
        await real_post(posted, accounts)

    family.memory.post = post  # type: ignore[method-assign]
    answers = await family.world.settle(settle(1, bill("baby", 500)), settle(2))
    assert reason(answers[0]) == "ABANDONED"
    assert paid(answers[1]).state is SettlementState.SETTLED
    assert family.memory.accounts["baby"].balance_fen == 500


class LosingConnection:
    """Units of work of which one is committed, and then the connection is lost before anybody knows."""

    def __init__(self, work: Work[SettlementRepository], at: int) -> None:
        self._work = work
        self._at = at
        self.count = 0

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[SettlementRepository]:
        self.count += 1
        mine = self.count
        async with self._work() as repository:
            yield repository
        if mine == self._at:
            raise ConnectionResetError


class GoingAway:
    """Units of work of a database that goes away."""

    def __init__(self, work: Work[SettlementRepository], after: int) -> None:
        self._work = work
        self._left = after

    def __call__(self) -> AbstractAsyncContextManager[SettlementRepository]:
        self._left -= 1
        if self._left < 0:
            raise ConnectionRefusedError
        return self._work()


async def test_a_commit_whose_outcome_was_lost_is_answered_from_the_record() -> None:
    family = Family()
    work = LosingConnection(family.world.work, at=2)
    world = World(work, *family.world.binding.relations)
    settlement = paid((await world.settle(settle(1)))[0])
    assert settlement.state is SettlementState.SETTLED
    assert family.balance_fen == 41000
    assert work.count == 3, "intents, money, and the look at what became of it"


async def test_a_first_transaction_that_fails_has_no_effect() -> None:
    family = Family()
    work = family.world.work
    assert isinstance(work, MemoryWork)
    work.fail_next_commit(ConnectionResetError())
    with pytest.raises(ConnectionResetError):
        await family.world.settle(settle(1))
    assert not family.memory.settlements
    assert (await family.settle(1)).state is SettlementState.SETTLED


async def test_a_database_that_is_away_after_the_intent_leaves_the_outcome_to_the_sweeper() -> None:
    family = Family()
    world = World(GoingAway(family.world.work, after=1), *family.world.binding.relations)
    assert reason((await world.settle(settle(1)))[0]) == "UNAVAILABLE"
    assert reason((await family.world.settle(settle(1)))[0]) == "IN_PROGRESS"
    assert await family.world.sweep() == 1


@pytest.mark.parametrize("boundary", [Boundary.AFTER_INTENT, Boundary.AFTER_AUTHORIZE, Boundary.BEFORE_COMMIT])
async def test_a_crash_before_the_commit_leaves_pending_and_the_sweeper_abandons_it(boundary: Boundary) -> None:
    family = Family(limit_fen=9000, failpoints=Crashing(boundary))
    with pytest.raises(Crash):
        await family.world.settle(settle(1))
    assert reason((await family.world.settle(settle(1)))[0]) == "IN_PROGRESS"
    assert reason((await family.world.settle(settle(2)))[0]) == "IN_PROGRESS", "one at a time for a patient"
    assert await family.world.sweep() == 1
    assert family.told == ["HoldsReleased"]
    assert family.balance_fen == 50000
    assert reason((await family.world.settle(settle(1)))[0]) == "ABANDONED"
    second = await family.settle(3)
    assert second.split is not None
    assert second.split.acct_mulaid_pay_fen == 9000


async def test_a_crash_after_the_commit_is_answered_from_the_record() -> None:
    family = Family(failpoints=Crashing(Boundary.AFTER_COMMIT))
    with pytest.raises(Crash):
        await family.world.settle(settle(1))
    assert (await family.settle(1)).state is SettlementState.SETTLED
    assert family.balance_fen == 41000


async def test_the_sweeper_leaves_alone_what_is_young() -> None:
    family = Family(failpoints=Crashing(Boundary.AFTER_INTENT))
    with pytest.raises(Crash):
        await family.world.settle(settle(1))
    assert await family.world.sweep(age_seconds=20) == 0
    family.memory.ticks[0] += timedelta(seconds=21)
    assert await family.world.sweep(age_seconds=20) == 1


async def test_moving_the_business_clock_does_not_make_anything_stale() -> None:
    family = Family(failpoints=Crashing(Boundary.AFTER_INTENT))
    with pytest.raises(Crash):
        await family.world.settle(settle(1))
    family.world.clock.advance(timedelta(days=1))
    assert await family.world.sweep(age_seconds=20) == 0


class Meanwhile(Failpoints):
    """Does something at a boundary, as another process would."""

    def __init__(self, boundary: Boundary) -> None:
        super().__init__()
        self._boundary = boundary
        self.action: Any = None

    async def reach(self, boundary: Boundary) -> None:
        if boundary is self._boundary and self.action is not None:
            await self.action()


@pytest.mark.parametrize("how", ["reversed", "swept"])
async def test_what_was_decided_meanwhile_is_dropped_from_the_batch(how: str) -> None:
    meanwhile = Meanwhile(Boundary.AFTER_AUTHORIZE)
    family = Family(failpoints=meanwhile)

    async def decide() -> None:
        meanwhile.action = None
        if how == "swept":
            await family.world.sweep()
        else:
            await family.world.reverse(90, of=1)

    meanwhile.action = decide
    assert reason((await family.world.settle(settle(1)))[0]) == "ABANDONED"
    assert family.balance_fen == 50000
    assert family.told == ["HoldsReleased"]


async def test_reversing_gives_back_to_exactly_the_accounts_that_paid() -> None:
    family = Family()
    family.memory.accounts["child"] = account("child", 1000)
    settlement = await family.settle(1)
    reversal = paid(await family.world.reverse(90, of=1))
    assert reversal.state is SettlementState.REVERSED
    assert [(refund.psn_no, refund.amount_fen, refund.balance_after_fen) for refund in reversal.refunds] == [
        ("child", 1000, 1000),
        ("father", 8000, 50000),
    ]
    assert family.told[3:] == ["SettlementReversed", "AccountRefunded", "AccountRefunded"]
    assert sum(row.amount_fen for row in family.memory.entries) == 0
    assert reversal.split == settlement.split


async def test_reversing_again_repeats_the_answer_whoever_asks() -> None:
    family = Family()
    settlement = await family.settle(1)
    first = await family.world.reverse(90, of=1)
    assert await family.world.reverse(90, of=1) == first
    assert await family.world.reverse(91, of=1) == first
    assert await family.world.reverse(92, of=settlement.settlement_id) == first
    assert family.balance_fen == 50000
    assert len(family.memory.reversals) == 3


async def test_a_settle_after_its_reversal_is_answered_with_the_reversed_settlement() -> None:
    family = Family()
    await family.settle(1)
    await family.world.reverse(90, of=1)
    assert (await family.settle(1)).state is SettlementState.REVERSED


async def test_a_settle_that_comes_after_its_reversal_is_refused() -> None:
    family = Family()
    fence = paid(await family.world.reverse(90, of=1))
    assert (fence.state, fence.order, fence.refunds) == (SettlementState.ABANDONED, None, ())
    assert reason((await family.world.settle(settle(1)))[0]) == "ABANDONED"
    assert (await family.settle(2)).state is SettlementState.SETTLED
    assert family.told == ["SettlementCompleted", "AccountDebited"], "of what never came there is nothing to tell"


async def test_the_limit_is_free_again_after_a_reversal_without_any_event() -> None:
    family = Family(limit_fen=10000)
    await family.settle(1, 10000)
    await family.world.reverse(90, of=1)
    second = await family.settle(2, 7000)
    assert second.split is not None
    assert second.split.acct_mulaid_pay_fen == 7000


@pytest.mark.parametrize("state", [AccountState.FROZEN, AccountState.CLOSED])
async def test_a_refund_arrives_on_an_account_that_gives_nothing_any_more(state: AccountState) -> None:
    family = Family()
    await family.settle(1)
    frozen = family.memory.accounts["father"]
    family.memory.accounts["father"] = type(frozen)("father", state, frozen.balance_fen, 0, frozen.version)
    assert paid(await family.world.reverse(90, of=1)).state is SettlementState.REVERSED
    assert (family.balance_fen, family.memory.accounts["father"].state) == (50000, state)


async def test_a_refused_settlement_stays_refused_when_it_is_reversed() -> None:
    family = Family()
    await family.world.settle(settle(1, expected_acct_pay_fen=1))
    assert paid(await family.world.reverse(90, of=1)).state is SettlementState.REFUSED


async def test_a_reversals_msgid_is_bound_to_its_settlement() -> None:
    family = Family()
    await family.settle(1)
    await family.settle(2)
    await family.world.reverse(90, of=1)
    assert reason(await family.world.reverse(90, of=2)) == "MSGID_REUSED"
    assert reason(await family.world.reverse(2, of=1)) == "MSGID_REUSED"
    assert reason((await family.world.settle(settle(90)))[0]) == "MSGID_REUSED"


async def test_a_list_of_reversals_takes_each_as_it_finds_it() -> None:
    family = Family(failpoints=Crashing(Boundary.AFTER_INTENT))
    with pytest.raises(Crash):
        await family.world.settle(settle(1, bill("baby", 100)))
    settlement = await family.settle(2)
    asked: list[Any] = [msgid(1), msgid(2), msgid(3), settlement.settlement_id, msgid(2)]
    commands = [ReverseCommand(HOSPITAL, msgid(90 + place), each) for place, each in enumerate(asked)]
    another_body = ReverseCommand(HOSPITAL, msgid(90), msgid(7))
    answers = await family.world.reversing.reverse([*commands, another_body])
    states = [paid(answer).state for answer in answers[:5]]
    gone, back = SettlementState.ABANDONED, SettlementState.REVERSED
    assert states == [gone, back, gone, back, back]
    assert reason(answers[5]) == "MSGID_REUSED"
    assert family.balance_fen == 50000
    assert family.told[2:] == ["HoldsReleased", "SettlementReversed", "AccountRefunded"]
    assert len(family.memory.reversals) == 5
    assert msgid(7) not in {each.msgid for each in family.memory.settlements.values()}, "a refusal fences nothing off"


async def test_a_reversal_by_an_unknown_setl_id_is_not_found() -> None:
    family = Family()
    await family.settle(1)
    unknown = UUID(int=1)
    assert reason(await family.world.reverse(90, of=unknown)) == "NOT_FOUND"
    assert not family.memory.reversals


async def test_nothing_is_posted_on_a_closed_day() -> None:
    family = Family()
    family.memory.closed_days.add(family.world.clock.now().date())
    assert reason((await family.world.settle(settle(1)))[0]) == "ABANDONED"
    assert not family.memory.entries
    assert msgid(1) in {each.msgid for each in family.memory.settlements.values()}
