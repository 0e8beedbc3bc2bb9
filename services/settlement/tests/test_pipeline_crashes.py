"""What becomes of a settlement whose process, database or answer goes away between two steps; recovering, on memory."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from kit.db import Work
from kit.failpoints import Boundary, Failpoints
from kit.testing import MemoryWork
from settlement.domain.state import SettlementState
from settlement.repository import SettlementRepository
from settlement.testing import Family, World, paid, reason, settle
from settlement.testing_failpoints import Crash, Dying


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
    family = Family(limit_fen=9000, failpoints=Dying(boundary))
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
    family = Family(failpoints=Dying(Boundary.AFTER_COMMIT))
    with pytest.raises(Crash):
        await family.world.settle(settle(1))
    assert (await family.settle(1)).state is SettlementState.SETTLED
    assert family.balance_fen == 41000


async def test_the_sweeper_leaves_alone_what_is_young() -> None:
    family = Family(failpoints=Dying(Boundary.AFTER_INTENT))
    with pytest.raises(Crash):
        await family.world.settle(settle(1))
    assert await family.world.sweep(age_seconds=20) == 0
    family.memory.ticks[0] += timedelta(seconds=21)
    assert await family.world.sweep(age_seconds=20) == 1


async def test_moving_the_business_clock_does_not_make_anything_stale() -> None:
    family = Family(failpoints=Dying(Boundary.AFTER_INTENT))
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
