"""A corrected birth date by which two persons cannot be what their relation says: it pays nothing until looked into."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from binding.domain.ages import AGE_CONTRADICTS, years_lacking
from binding.domain.applications import ApplicationState
from binding.domain.eligibility import AgeImpossible, Policy
from binding.domain.history import SYSTEM, AggregateKind, ChangeKind
from binding.domain.relations import Relation, Relationship, RelationState, decline_reason
from binding.memory import MemoryRepository
from binding.repository import Corrected, PostgresRepository, Verified
from binding.service.caller import Caller
from binding.service.decisions import Decisions
from binding.service.persons import Facts, Persons
from binding.service.relations import Relations
from binding.testing import (
    APPROVING,
    CHILD,
    FATHER,
    MOTHER,
    NOON,
    TODAY,
    add_relations,
    application,
    child,
    family,
    father,
    named,
    relation,
)
from gongji.binding.events.v1 import events_pb2
from kit.clock import FixedClock
from kit.db import PostgresWork
from kit.testing import MemoryWork

OPERATOR = Caller("clerk:ops", None, frozenset({"operator"}))
BORN = date(1985, 3, 2)
"""The father."""
ELEVEN_YEARS_BEFORE_THE_CHILD = date(2003, 9, 2)


class Desk:
    """Binding's picture of persons over a fake, and one relation."""

    def __init__(self, work: MemoryWork[MemoryRepository], **changes: Any) -> None:
        self.work, self.state = work, work.repository
        self.state.known_persons |= family()
        self.clock = FixedClock(NOON)
        self.persons = Persons(self.clock)
        self.sequence = 10
        self.state.relations[named("father-child")] = relation(**changes)

    async def corrected(self, psn_no: str, brdy: date, sequence: int = 0, **facts: Any) -> Relation:
        self.sequence += 1
        row = Corrected(psn_no, brdy, sequence or self.sequence)
        async with self.work() as repository:
            await self.persons.take_in(repository, Facts(corrected=[row], **facts))
        return self.relation

    @property
    def relation(self) -> Relation:
        return self.state.relations[named("father-child")]

    def told(self) -> list[events_pb2.RelationSuspended]:
        return [m for m in self.state.outbox.messages if isinstance(m, events_pb2.RelationSuspended)]


@pytest.fixture
def desk(memory_work: MemoryWork[MemoryRepository]) -> Desk:
    return Desk(memory_work)


@pytest.mark.parametrize(
    ("who", "brdy"),
    [(FATHER, ELEVEN_YEARS_BEFORE_THE_CHILD), (FATHER, date(2020, 1, 1)), (CHILD, date(1990, 1, 1)), (CHILD, BORN)],
)
async def test_a_relation_that_cannot_be_is_suspended_and_told_with_the_reason(
    desk: Desk, who: str, brdy: date
) -> None:
    suspended = await desk.corrected(who, brdy)
    assert (suspended.state, suspended.state_reason) == (RelationState.SUSPENDED, AGE_CONTRADICTS)
    assert decline_reason(suspended, TODAY, {}) == "RELATION_SUSPENDED"
    (event,) = desk.told()
    assert (event.reason, event.sequence) == (AGE_CONTRADICTS, 1)
    (entry,) = desk.state.histories[AggregateKind.RELATION, named("father-child")]
    assert (entry.mark.what, entry.mark.who, entry.mark.why) == (ChangeKind.SUSPENDED, SYSTEM, AGE_CONTRADICTS)


@pytest.mark.parametrize(("who", "brdy"), [(FATHER, date(2003, 9, 1)), (CHILD, date(2005, 1, 1)), (CHILD, TODAY)])
async def test_a_correction_that_still_fits_changes_nothing(desk: Desk, who: str, brdy: date) -> None:
    assert await desk.corrected(who, brdy) == relation()
    assert desk.told() == []


async def test_a_spouse_may_be_of_any_age(memory_work: MemoryWork[MemoryRepository]) -> None:
    desk = Desk(memory_work, beneficiary_psn_no=MOTHER, relationship=Relationship.SPOUSE)
    assert (await desk.corrected(MOTHER, date(1950, 1, 1))).state is RelationState.ACTIVE


async def test_a_parent_who_is_the_beneficiary_is_judged_as_the_elder(
    memory_work: MemoryWork[MemoryRepository],
) -> None:
    desk = Desk(memory_work, payer_psn_no=CHILD, beneficiary_psn_no=FATHER, relationship=Relationship.PARENT)
    assert (await desk.corrected(FATHER, date(1984, 1, 1))).state is RelationState.ACTIVE
    assert (await desk.corrected(FATHER, date(2014, 1, 1))).state is RelationState.SUSPENDED


async def test_what_an_operator_resumed_stays_so_until_the_birth_date_is_another(desk: Desk) -> None:
    await desk.corrected(CHILD, BORN)
    await Relations(desk.work, desk.clock, Policy()).resume(OPERATOR, named("father-child"), "领养关系已核实")
    assert (await desk.corrected(CHILD, BORN)).state is RelationState.ACTIVE
    assert (await desk.corrected(CHILD, BORN + timedelta(days=1))).state is RelationState.SUSPENDED


async def test_an_older_correction_that_comes_late_changes_nothing(desk: Desk) -> None:
    await desk.corrected(CHILD, date(2015, 9, 2), sequence=20)
    assert (await desk.corrected(CHILD, BORN, sequence=19)).state is RelationState.ACTIVE


@pytest.mark.parametrize(
    "before",
    [
        {"state": RelationState.SUSPENDED, "suspended_at": NOON, "state_reason": "核查"},
        {"state": RelationState.ENDED, "ended_at": NOON},
        {"valid_to": TODAY - timedelta(days=1)},
    ],
)
async def test_what_pays_nothing_anyhow_is_left_alone(
    memory_work: MemoryWork[MemoryRepository], before: dict[str, Any]
) -> None:
    desk = Desk(memory_work, **before)
    assert await desk.corrected(CHILD, BORN) == relation(**before)
    assert desk.told() == []


async def test_a_death_told_with_the_correction_ends_it(desk: Desk) -> None:
    ended = await desk.corrected(CHILD, BORN, deaths=[(CHILD, TODAY)])
    assert ended.state is RelationState.ENDED
    assert desk.told() == []


async def test_how_many_years_is_the_regions_to_say(desk: Desk) -> None:
    desk.persons = Persons(desk.clock, generation_years=0)
    assert (await desk.corrected(FATHER, ELEVEN_YEARS_BEFORE_THE_CHILD)).state is RelationState.ACTIVE
    assert (await desk.corrected(FATHER, date(2015, 9, 2))).state is RelationState.SUSPENDED


async def test_an_application_that_waits_is_judged_by_the_corrected_date(desk: Desk) -> None:
    desk.state.relations.clear()
    waiting = replace(application(), submitted_at=NOON, handler="clerk:wang", handlers=("clerk:wang",))
    desk.state.applications[waiting.application_id] = replace(waiting, state=ApplicationState.CLAIMED)
    async with desk.work() as repository:
        await desk.persons.take_in(repository, Facts(corrected=[Corrected(CHILD, BORN, 11)]))
    decisions = Decisions(desk.work, desk.clock, Policy())
    with pytest.raises(AgeImpossible):
        await decisions.decide(Caller("clerk:li", None, frozenset({"decider"})), waiting.application_id, APPROVING)
    assert desk.state.relations == {}


def test_without_both_birth_dates_nothing_is_said() -> None:
    for payer, beneficiary in ((None, child()), (father(), None), (father(brdy=None), child())):
        assert years_lacking(Relationship.CHILD, payer, beneficiary, 12) is None


async def test_the_database_suspends_it_too(postgres_work: PostgresWork[PostgresRepository]) -> None:
    async with postgres_work() as repository:
        await add_relations(repository, relation())
        born = [Verified(FATHER, BORN, NOON), Verified(CHILD, date(2015, 9, 1), NOON)]
        await Persons(FixedClock(NOON)).take_in(repository, Facts(verified=born))
    async with postgres_work() as repository:
        await Persons(FixedClock(NOON)).take_in(repository, Facts(corrected=[Corrected(CHILD, BORN, 11)]))
    async with postgres_work() as repository:
        kept = await repository.relation(named("father-child"))
    assert kept is not None
    assert (kept.state, kept.state_reason, kept.sequence) == (RelationState.SUSPENDED, AGE_CONTRADICTS, 1)
