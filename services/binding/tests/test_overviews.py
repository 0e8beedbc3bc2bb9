"""What a family sees at a glance is what the next settlement is judged by."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binding.domain.errors import Forbidden
from binding.domain.granting import grant
from binding.domain.limits import CounterKey, Limits, LimitWindow, Use, counter_keys
from binding.domain.overviews import WindowView, overview_of
from binding.domain.relations import RelationState
from binding.domain.sides import Side
from binding.memory import MemoryRepository
from binding.service.caller import Caller
from binding.service.overviews import MOST_RELATIONS, Overseeing
from binding.testing import CHILD, FATHER, MOTHER, NOON, TODAY, enrolment, family, father, named, relation
from kit.clock import FixedClock
from kit.testing import MemoryWork

DAD = Caller(f"psn:{FATHER}", FATHER, frozenset({"citizen"}))
KID = Caller(f"psn:{CHILD}", CHILD, frozenset({"citizen"}))
CLERK = Caller("clerk:wang", None, frozenset({"auditor"}))

fen = st.integers(0, 3_000)
limit = st.none() | st.integers(1, 3_000)
uses_today = st.fixed_dictionaries(
    {key: st.builds(Use, fen, fen) for key in counter_keys(named("father-child"), TODAY)}
)


@given(st.builds(Limits, limit, limit, limit, limit, limit), uses_today)
def test_what_is_payable_is_what_a_grant_of_any_need_would_give(limits: Limits, uses: dict[CounterKey, Use]) -> None:
    it = relation(limits=limits)
    seen = overview_of(it, TODAY, uses, family())
    unbounded = 10**12
    given_fen = grant(unbounded, it, TODAY, uses, family()).granted_fen
    assert (unbounded if seen.payable_fen is None else seen.payable_fen) == given_fen
    for view in seen.windows:
        assert view.limit_fen == limits.of(view.window)
        assert view.left_fen is None or view.left_fen >= given_fen


def test_every_window_of_today_is_shown_limited_or_not() -> None:
    uses = {key: Use(300, 20) for key in counter_keys(named("father-child"), TODAY)}
    it = relation(limits=Limits(settlement_fen=500, day_fen=310, year_fen=1_000))
    assert overview_of(it, TODAY, uses, family()).windows == (
        WindowView(LimitWindow.SETTLEMENT, 500),
        WindowView(LimitWindow.DAY, 310, 300, 20),
        WindowView(LimitWindow.MONTH, None, 300, 20),
        WindowView(LimitWindow.YEAR, 1_000, 300, 20),
        WindowView(LimitWindow.TOTAL, None, 300, 20),
    )
    assert [view.left_fen for view in overview_of(it, TODAY, uses, family()).windows] == [500, 0, None, 680, None]


@pytest.mark.parametrize(
    ("it", "reason"),
    [
        (relation(valid_from=TODAY + timedelta(days=1)), "RELATION_NOT_STARTED"),
        (relation(valid_to=TODAY - timedelta(days=1)), "RELATION_EXPIRED"),
        (relation(state=RelationState.SUSPENDED, suspended_at=NOON), "RELATION_SUSPENDED"),
    ],
)
def test_what_pays_nothing_today_says_why(it: object, reason: str) -> None:
    seen = overview_of(it, TODAY, {}, family())  # type: ignore[arg-type]
    assert (seen.payable_fen, seen.reason) == (0, reason)


@pytest.fixture
def overseeing(memory_work: MemoryWork[MemoryRepository]) -> Overseeing:
    memory_work.repository.known_persons |= family()
    return Overseeing(memory_work, FixedClock(NOON))


async def test_each_side_sees_its_own_relations_in_paying_order(
    overseeing: Overseeing, memory_work: MemoryWork[MemoryRepository]
) -> None:
    later = relation("m", payer_psn_no=MOTHER, priority=2)
    first = relation("f", priority=1)
    over = relation("over", beneficiary_psn_no=MOTHER, state=RelationState.ENDED)
    memory_work.repository.relations |= {it.relation_id: it for it in (later, first, over)}
    childs = await overseeing.overview(KID, CHILD, Side.BENEFICIARY)
    assert [it.relation for it in childs.relations] == [first, later]
    assert [it.relation for it in (await overseeing.overview(DAD, FATHER, Side.PAYER)).relations] == [first]
    assert (await overseeing.overview(DAD, FATHER, Side.BENEFICIARY)).relations == []
    assert len((await overseeing.overview(CLERK, CHILD, Side.BENEFICIARY)).relations) == 2
    with pytest.raises(Forbidden):
        await overseeing.overview(DAD, CHILD, Side.BENEFICIARY)


async def test_a_payer_in_arrears_is_seen_to_pay_nothing(
    overseeing: Overseeing, memory_work: MemoryWork[MemoryRepository]
) -> None:
    memory_work.repository.known_persons[FATHER] = father(enrolments=(enrolment(arrears=True),))
    memory_work.repository.relations[named("f")] = relation("f")
    (seen,) = (await overseeing.overview(KID, CHILD, Side.BENEFICIARY)).relations
    assert (seen.payable_fen, seen.reason) == (0, "PAYER_ARREARS")


async def test_an_overview_is_bounded_and_says_that_there_is_more(
    overseeing: Overseeing, memory_work: MemoryWork[MemoryRepository]
) -> None:
    many = [replace(relation(str(n)), beneficiary_psn_no=f"B{n}") for n in range(MOST_RELATIONS)]
    memory_work.repository.relations |= {it.relation_id: it for it in many}
    full = await overseeing.overview(DAD, FATHER, Side.PAYER)
    assert (len(full.relations), full.more) == (MOST_RELATIONS, False)
    memory_work.repository.relations[named("more")] = relation("more", beneficiary_psn_no="B0more")
    beyond = await overseeing.overview(DAD, FATHER, Side.PAYER)
    assert (len(beyond.relations), beyond.more) == (MOST_RELATIONS, True)
