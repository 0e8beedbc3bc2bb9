"""What becomes due with the days is done once, whenever the scheduler comes by."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from binding.domain.history import SYSTEM, AggregateKind, ChangeKind
from binding.domain.notices import NoticeRules, coming_of_age_between
from binding.domain.persons import Person, age_on, birthday_of, latest_birth
from binding.domain.relations import EndCause, RelationState
from binding.memory import MemoryRepository
from binding.service import upkeep as batches
from binding.service.persons import Persons
from binding.service.upkeep import Upkeep
from binding.testing import CHILD, FATHER, MOTHER, NOON, TODAY, child, family, named, relation
from gongji.binding.events.v1 import events_pb2
from kit.clock import FixedClock
from kit.testing import MemoryWork

DAYS = timedelta(days=1)
LAST_DAY = date(2026, 12, 31)


def noon(day: date) -> datetime:
    """In Shanghai."""
    return datetime(day.year, day.month, day.day, 4, tzinfo=UTC)


class Desk:
    """The scheduler's use cases over a fake."""

    def __init__(self, work: MemoryWork[MemoryRepository]) -> None:
        self.state = work.repository
        self.state.known_persons |= family()
        self.clock = FixedClock(NOON)
        self.upkeep = Upkeep(work, self.clock, Persons(self.clock), NoticeRules())

    def have(self, name: str = "father-child", **changes: Any) -> None:
        self.state.relations[named(name)] = relation(name, **changes)

    async def runs(self, *days: date) -> None:
        """On each of these days every job runs until nothing is left, and once more."""
        steps = (self.upkeep.expire, self.upkeep.end_lost, self.upkeep.tell_expiring, self.upkeep.tell_coming_of_age)
        for day in days:
            self.clock.set(noon(day))
            for step in steps:
                while await step():
                    pass

    def told(self, kind: type[Message] | None = None) -> list[Any]:
        return [it for it in self.state.outbox.messages if kind is None or isinstance(it, kind)]


@pytest.fixture
def desk(memory_work: MemoryWork[MemoryRepository]) -> Desk:
    return Desk(memory_work)


# running out


async def test_what_ran_out_is_recorded_the_day_after_its_last(desk: Desk) -> None:
    desk.have(valid_to=LAST_DAY)
    await desk.runs(LAST_DAY)
    assert desk.state.relations[named("father-child")].state is RelationState.ACTIVE
    await desk.runs(LAST_DAY + DAYS, LAST_DAY + 2 * DAYS)
    ended = desk.state.relations[named("father-child")]
    assert (ended.end_cause, ended.ended_from) == (EndCause.EXPIRED, date(2027, 1, 1))
    (event,) = desk.told(events_pb2.RelationEnded)
    assert (event.cause, event.ended_from) == (events_pb2.RELATION_END_CAUSE_EXPIRED, "2027-01-01")
    (entry,) = desk.state.histories[AggregateKind.RELATION, named("father-child")]
    assert (entry.mark.what, entry.mark.who) == (ChangeKind.ENDED, SYSTEM)


async def test_a_stop_of_months_is_caught_up_with(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH", 3)
    for number in range(10):
        desk.have(str(number), valid_to=TODAY + number * DAYS, beneficiary_psn_no=f"B{number}")
    await desk.runs(TODAY + 300 * DAYS)
    ended = desk.told(events_pb2.RelationEnded)
    assert len({event.relation.relation_id for event in ended}) == len(ended) == 10
    # Each tells the day that counts, however late it is told.
    assert [event.ended_from for event in ended] == [(TODAY + n * DAYS + DAYS).isoformat() for n in range(10)]


async def test_what_ended_otherwise_stays_as_it_ended(desk: Desk) -> None:
    desk.have(state=RelationState.ENDED, end_cause=EndCause.UNBOUND, ended_at=NOON, valid_to=TODAY)
    await desk.runs(TODAY + 5 * DAYS)
    assert desk.told() == []


# the notice before


async def test_both_sides_hear_thirty_days_before_and_once(desk: Desk) -> None:
    desk.have(valid_to=LAST_DAY)
    await desk.runs(LAST_DAY - 31 * DAYS)
    assert desk.told() == []
    await desk.runs(*(LAST_DAY - days * DAYS for days in (30, 29, 1, 0)))
    (event,) = desk.told()
    assert isinstance(event, events_pb2.RelationExpiring)
    assert (event.relation.valid_to, event.sequence) == ("2026-12-31", 1)
    assert desk.state.relations[named("father-child")].sequence == 1


async def test_an_extended_relation_is_told_of_its_new_last_day(desk: Desk) -> None:
    desk.have(valid_to=LAST_DAY)
    await desk.runs(LAST_DAY - 20 * DAYS)
    before = desk.state.relations[named("father-child")]
    desk.state.relations[named("father-child")] = replace(before, valid_to=LAST_DAY + 365 * DAYS)
    await desk.runs(LAST_DAY - 10 * DAYS, LAST_DAY + 335 * DAYS, LAST_DAY + 340 * DAYS)
    assert [event.relation.valid_to for event in desk.told()] == ["2026-12-31", "2027-12-31"]


async def test_after_a_stop_the_notice_is_late_but_never_after_the_end(desk: Desk) -> None:
    desk.have("late", valid_to=TODAY + 3 * DAYS)
    desk.have("over", valid_to=TODAY - DAYS, beneficiary_psn_no=MOTHER)
    await desk.runs(TODAY)
    assert [type(event) for event in desk.told()] == [events_pb2.RelationEnded, events_pb2.RelationExpiring]
    assert desk.told()[1].relation.relation_id == str(named("late"))


# coming of age


@pytest.mark.parametrize(
    ("brdy", "comes_of_age_on"),
    [
        (date(2007, 7, 9), date(2025, 7, 9)),
        (date(2008, 2, 29), date(2026, 3, 1)),
        (date(2008, 2, 28), date(2026, 2, 28)),
        (date(2010, 2, 28), date(2028, 2, 28)),
        (date(2010, 3, 1), date(2028, 3, 1)),
    ],
)
async def test_both_sides_hear_before_an_eighteenth_birthday_and_nobody_is_cut_off(
    desk: Desk, brdy: date, comes_of_age_on: date
) -> None:
    desk.have(valid_to=date(2099, 12, 31))
    desk.state.known_persons[CHILD] = child(brdy=brdy)
    await desk.runs(comes_of_age_on - 31 * DAYS)
    assert desk.told() == []
    await desk.runs(*(comes_of_age_on - days * DAYS for days in (30, 29, 1, 0)))
    (event,) = desk.told()
    assert isinstance(event, events_pb2.BeneficiaryComesOfAge)
    assert event.comes_of_age_on == comes_of_age_on.isoformat()
    assert desk.state.relations[named("father-child")].state is RelationState.ACTIVE


async def test_after_the_birthday_it_is_told_no_more(desk: Desk) -> None:
    desk.have(valid_to=date(2099, 12, 31))
    desk.state.known_persons[CHILD] = child(brdy=date(2007, 6, 10))
    await desk.runs(TODAY, TODAY + 10 * DAYS)
    assert desk.told() == []


async def test_a_child_with_two_payers_hears_of_each_relation(desk: Desk) -> None:
    desk.have("f", valid_to=date(2099, 12, 31))
    desk.have("m", valid_to=date(2099, 12, 31), payer_psn_no=MOTHER, state=RelationState.SUSPENDED, suspended_at=NOON)
    desk.state.known_persons[CHILD] = child(brdy=date(2007, 6, 20))
    await desk.runs(TODAY, TODAY + DAYS)
    assert {event.relation.payer_psn_no for event in desk.told()} == {FATHER, MOTHER}
    assert len(desk.told()) == 2


async def test_nobody_writes_of_the_birthday_of_a_child_that_died(desk: Desk) -> None:
    desk.have(valid_to=date(2099, 12, 31))
    desk.state.known_persons[CHILD] = child(brdy=date(2007, 6, 20), died_on=TODAY)
    await desk.runs(TODAY)
    assert desk.told() == []


births = st.dates(date(1990, 1, 1), date(2030, 12, 31)) | st.sampled_from([date(2004, 2, 29), date(2008, 2, 29)])
days = st.dates(date(2008, 1, 1), date(2060, 12, 31)) | st.sampled_from(
    [date(2026, 2, 28), date(2026, 3, 1), date(2028, 2, 29), date(2028, 2, 28), date(2026, 1, 29), date(2026, 1, 30)]
)


@given(births, days, st.integers(14, 25))
def test_births_ages_and_birthdays_agree(brdy: date, day: date, years: int) -> None:
    assert (brdy <= latest_birth(day, years)) == (age_on(brdy, day) >= years)
    birthday = birthday_of(brdy, years)
    assert age_on(brdy, birthday) == years == age_on(brdy, birthday - DAYS) + 1


@given(births, days, st.integers(1, 365))
def test_told_are_just_those_whose_birthday_is_near(brdy: date, day: date, ahead: int) -> None:
    born = coming_of_age_between(day, NoticeRules(timedelta(days=ahead)))
    near = day < birthday_of(brdy, 18) <= day + ahead * DAYS
    assert (born.first <= brdy <= born.last) == near


# whenever it runs, against a model


@dataclass(frozen=True)
class Case:
    """A relation, and a birth; told apart by number."""

    number: int
    valid_to: date
    brdy: date

    def expected(self, ran: list[date]) -> Counter[str]:
        """What a scheduler that ran on these days has told, in the words of the rule."""
        told: Counter[str] = Counter()
        alive = [day for day in ran if day <= self.valid_to]
        told["expiring"] = any(self.valid_to - day <= 30 * DAYS for day in alive)
        birthday = self.brdy.replace(year=self.brdy.year + 18) if (self.brdy.month, self.brdy.day) != (2, 29) else None
        birthday = birthday or date(self.brdy.year + 18, 3, 1)
        told["age"] = any(timedelta() < birthday - day <= 30 * DAYS for day in alive)
        told["ended"] = any(day > self.valid_to for day in ran)
        return told


near = st.integers(-40, 80).map(lambda n: TODAY + n * DAYS)
born = st.integers(-40, 80).map(lambda n: date(2007, 6, 10) + n * DAYS)
cases = st.lists(st.tuples(near, born), min_size=1, max_size=6)
runs = st.lists(st.integers(0, 70), min_size=1, max_size=8).map(lambda ns: [TODAY + n * DAYS for n in sorted(ns)])


@settings(deadline=None, max_examples=30)
@given(cases, runs)
async def test_whenever_it_ran_all_is_told_once_that_could_be(stated: list[tuple[date, date]], ran: list[date]) -> None:
    desk = Desk(MemoryWork(MemoryRepository()))
    made = [Case(number, *it) for number, it in enumerate(stated)]
    for case in made:
        patient = f"B{case.number}"
        desk.state.known_persons[patient] = Person(patient, case.brdy)
        desk.have(str(case.number), valid_from=date(2020, 1, 1), valid_to=case.valid_to, beneficiary_psn_no=patient)
    await desk.runs(*ran)
    for case in made:
        told = Counter(
            {"RelationExpiring": "expiring", "BeneficiaryComesOfAge": "age", "RelationEnded": "ended"}[
                event.DESCRIPTOR.name
            ]
            for event in desk.told()
            if event.relation.relation_id == str(named(str(case.number)))
        )
        assert +told == +case.expected(ran)
