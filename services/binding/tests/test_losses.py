"""The loss of an enrolment ends a relation from the day that the statement says (R1, R3), and nothing else does."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from binding.config import ReplaySettings
from binding.domain.history import SYSTEM, AggregateKind
from binding.domain.losses import Loss, LossRules, loss_of
from binding.domain.persons import EMPLOYEE, RESIDENT, Enrolment, Person
from binding.domain.relations import EndCause, Relation, RelationState, decline_reason
from binding.main import persons_of
from binding.memory import MemoryRepository
from binding.service.persons import Facts, Persons
from binding.testing import CHILD, FATHER, NOON, TODAY, child, enrolment, family, father, named, relation
from gongji.binding.events.v1 import events_pb2
from kit.clock import FixedClock
from kit.testing import MemoryWork

PAYER, BENEFICIARY = EndCause.PAYER_ENROLMENT_LOST, EndCause.BENEFICIARY_ENROLMENT_LOST
MAY = date(2025, 5, 1)
RULES = LossRules()


def with_statement(who: Person, **stated: Any) -> Person:
    changed = replace(who.enrolments[0], valid_from=MAY, sequence=9, **stated)
    return replace(who, enrolments=(*who.enrolments, changed))


@pytest.mark.parametrize(
    ("stated", "lost"),
    [
        ({"psn_insu_stas": 4}, True),
        ({"insutype": RESIDENT}, True),
        ({"insuplc_admdvs": "650100"}, True),
        ({"insuplc_admdvs": "110000"}, True),
        ({"insuplc_admdvs": "652722"}, False),
        ({"psn_insu_stas": 0}, False),
        ({"psn_insu_stas": 2}, False),
        ({"psn_insu_stas": 3}, False),
        ({"arrears": True}, False),
        ({"valid_to": TODAY - timedelta(days=1)}, False),
        ({}, False),
    ],
)
def test_what_a_payer_loses_it_by(stated: dict[str, Any], lost: bool) -> None:  # noqa: FBT001 - the expectation
    persons = family() | {FATHER: with_statement(father(), **stated)}
    assert loss_of(relation(), TODAY, persons, RULES) == (Loss(PAYER, MAY) if lost else None)


@pytest.mark.parametrize(
    ("stated", "lost"),
    [
        ({"psn_insu_stas": 4}, True),
        ({"insuplc_admdvs": "110000"}, True),
        ({"insuplc_admdvs": "650100"}, False),
        ({"insutype": EMPLOYEE}, False),
        ({"psn_insu_stas": 2}, False),
        ({"valid_to": TODAY - timedelta(days=1)}, False),
    ],
)
def test_what_a_beneficiary_loses_it_by(stated: dict[str, Any], lost: bool) -> None:  # noqa: FBT001
    persons = family() | {CHILD: with_statement(child(), **stated)}
    assert loss_of(relation(), TODAY, persons, RULES) == (Loss(BENEFICIARY, MAY) if lost else None)


def test_a_region_may_set_other_rules_or_none() -> None:
    suspended = family() | {FATHER: with_statement(father(), psn_insu_stas=2)}
    assert loss_of(relation(), TODAY, suspended, LossRules(ended_statuses=frozenset({2, 4}))) == Loss(PAYER, MAY)
    ended = family() | {FATHER: with_statement(father(), psn_insu_stas=4)}
    assert loss_of(relation(), TODAY, ended, LossRules(ends_relations=False)) is None
    moved = family() | {FATHER: with_statement(father(), insuplc_admdvs="650100")}
    assert loss_of(relation(), TODAY, moved, LossRules(account_region_prefix="65")) is None


def test_a_newer_statement_takes_a_loss_back_and_an_older_one_does_not() -> None:
    lost = with_statement(father(), psn_insu_stas=4)
    again = replace(lost, enrolments=(*lost.enrolments, enrolment(sequence=10, valid_from=MAY)))
    assert loss_of(relation(), TODAY, family() | {FATHER: again}, RULES) is None
    older = replace(lost, enrolments=(*lost.enrolments, enrolment(sequence=3, valid_from=TODAY)))
    assert loss_of(relation(), TODAY, family() | {FATHER: older}, RULES) == Loss(PAYER, MAY)


def test_nothing_ends_before_it_began_or_before_its_day() -> None:
    lost = family() | {FATHER: with_statement(father(), psn_insu_stas=4)}
    assert loss_of(relation(valid_from=TODAY), TODAY, lost, RULES) == Loss(PAYER, TODAY)
    assert loss_of(relation(), MAY - timedelta(days=1), lost, RULES) is None


def test_nobody_known_loses_nothing() -> None:
    assert loss_of(relation(), TODAY, {}, RULES) is None


class Desk:
    """Binding's picture of persons over a fake, and one relation."""

    def __init__(self, work: MemoryWork[MemoryRepository], **changes: Any) -> None:
        self.work, self.state = work, work.repository
        self.state.known_persons |= family()
        self.clock = FixedClock(NOON)
        self.persons = Persons(self.clock, RULES)
        self.state.relations[named("father-child")] = relation(**changes)

    async def hears(self, *stated: tuple[str, Enrolment]) -> Relation:
        async with self.work() as repository:
            await self.persons.take_in(repository, Facts(enrolments=list(stated)))
        return self.relation

    async def next_day(self) -> Relation:
        self.clock.advance(timedelta(days=1))
        async with self.work() as repository:
            while await self.persons.take_in_due(repository, 1):
                pass
        return self.relation

    @property
    def relation(self) -> Relation:
        return self.state.relations[named("father-child")]

    def told(self) -> Sequence[events_pb2.RelationEnded]:
        return [m for m in self.state.outbox.messages if isinstance(m, events_pb2.RelationEnded)]


def ends(since: date, sequence: int = 5, **changes: Any) -> Enrolment:
    return enrolment(psn_insu_stas=4, valid_from=since, sequence=sequence, **changes)


async def test_a_loss_ends_the_relation_at_once_from_the_day_of_the_statement(
    memory_work: MemoryWork[MemoryRepository],
) -> None:
    desk = Desk(memory_work)
    ended = await desk.hears((FATHER, ends(MAY)))
    assert (ended.state, ended.end_cause, ended.ended_from) == (RelationState.ENDED, PAYER, MAY)
    (event,) = desk.told()
    assert (event.cause, event.ended_from) == (events_pb2.RELATION_END_CAUSE_PAYER_ENROLMENT_LOST, "2025-05-01")
    (entry,) = desk.state.histories[AggregateKind.RELATION, named("father-child")]
    assert (entry.mark.who, entry.mark.why) == (SYSTEM, "EnrolmentChanged")
    assert decline_reason(ended, MAY - timedelta(days=1), {}) is None
    assert decline_reason(ended, MAY, {}) == "RELATION_ENDED"


async def test_what_begins_later_ends_it_later_and_once(memory_work: MemoryWork[MemoryRepository]) -> None:
    desk = Desk(memory_work)
    tomorrow = TODAY + timedelta(days=2)
    assert (await desk.hears((CHILD, ends(tomorrow, insutype=RESIDENT)))).state is RelationState.ACTIVE
    assert (await desk.next_day()).state is RelationState.ACTIVE
    ended = await desk.next_day()
    assert (ended.end_cause, ended.ended_from) == (BENEFICIARY, tomorrow)
    await desk.next_day()
    assert len(desk.told()) == 1
    assert desk.state.enrolments_to_come == set()


async def test_what_was_taken_back_before_its_day_ends_nothing(memory_work: MemoryWork[MemoryRepository]) -> None:
    desk = Desk(memory_work)
    tomorrow = TODAY + timedelta(days=1)
    await desk.hears((FATHER, ends(tomorrow)))
    await desk.hears((FATHER, enrolment(valid_from=TODAY, sequence=6)))
    assert (await desk.next_day()).state is RelationState.ACTIVE
    assert desk.told() == []


async def test_statements_may_come_in_any_order(memory_work: MemoryWork[MemoryRepository]) -> None:
    desk = Desk(memory_work)
    await desk.hears((FATHER, enrolment(valid_from=TODAY, sequence=6)))
    assert (await desk.hears((FATHER, ends(MAY, sequence=5)))).state is RelationState.ACTIVE


@pytest.mark.parametrize("stated", [enrolment(psn_insu_stas=2, sequence=5), enrolment(arrears=True, sequence=5)])
async def test_a_suspended_standing_or_arrears_end_nothing(
    memory_work: MemoryWork[MemoryRepository], stated: Enrolment
) -> None:
    desk = Desk(memory_work)
    assert (await desk.hears((FATHER, stated))).state is RelationState.ACTIVE


async def test_what_ran_out_before_the_loss_is_left_to_its_dates(memory_work: MemoryWork[MemoryRepository]) -> None:
    desk = Desk(memory_work, valid_to=MAY - timedelta(days=1))
    assert (await desk.hears((FATHER, ends(MAY)))).state is RelationState.ACTIVE
    assert decline_reason(desk.relation, TODAY, {}) == "RELATION_EXPIRED"


async def test_a_suspended_relation_ends_with_the_enrolment_too(memory_work: MemoryWork[MemoryRepository]) -> None:
    desk = Desk(memory_work, state=RelationState.SUSPENDED, suspended_at=NOON)
    assert (await desk.hears((FATHER, ends(MAY)))).end_cause is PAYER


@pytest.mark.parametrize(("ends_relations", "state"), [(True, RelationState.ENDED), (False, RelationState.ACTIVE)])
async def test_a_replay_follows_the_regions_rules_too(
    memory_work: MemoryWork[MemoryRepository],
    ends_relations: bool,  # noqa: FBT001 - the region's setting
    state: RelationState,
) -> None:
    settings = ReplaySettings(
        environment="local",
        database_url="postgresql://u:p@127.0.0.1/x",
        kafka_bootstrap="127.0.0.1:9092",
        enrolment_loss_ends=ends_relations,
    )
    desk = Desk(memory_work)
    desk.persons = persons_of(settings, desk.clock)
    assert (await desk.hears((FATHER, ends(MAY)))).state is state
