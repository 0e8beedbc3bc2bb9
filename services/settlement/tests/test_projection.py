"""What identity tells is taken in once, in whatever order it comes."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from gongji.identity.events.v1 import events_pb2
from gongji.identity.v1 import institution_pb2, person_pb2
from gongji.settlement.events.v1 import account_events_pb2
from kit.clock import FixedClock
from kit.events import Event, UnreadableEventError
from kit.outbox import MemoryOutbox
from kit.testing import MemoryBus, MemoryWork
from settlement.account_memory import MemoryAccounts
from settlement.account_service import AccountService
from settlement.domain.accounts import Account, AccountState, NotEligibleError
from settlement.domain.bill import InstitutionType
from settlement.domain.projection import (
    Died,
    Enrolled,
    InstitutionTold,
    PersonKnown,
    PersonTold,
    Verified,
    first_known,
    learn,
    learn_all,
    newest_institutions,
)
from settlement.domain.visit import Designation, InsuranceStatus, InsuranceType
from settlement.projection import Projection
from settlement.projection_repository import ProjectionRepository
from settlement.subscriber import TOPICS, Subscriber, told_by

NOON = datetime(2025, 3, 10, 4, tzinfo=UTC)
HOSPITAL = "H65270100001"


def timestamp(at: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(at)
    return made


def enrolment_changed(sequence: int, valid_from: str, **changes: object) -> events_pb2.EnrolmentChanged:
    enrolment = person_pb2.Enrolment(
        insutype=person_pb2.INSURANCE_TYPE_EMPLOYEE,
        insuplc_admdvs="652701",
        psn_insu_stas=person_pb2.INSURANCE_STATUS_NORMAL,
        valid_from=valid_from,
    )
    for name, value in changes.items():
        setattr(enrolment, name, value)
    return events_pb2.EnrolmentChanged(
        psn_no="father",
        enrolment=enrolment,
        changed_at=timestamp(NOON + timedelta(minutes=sequence)),
        sequence=sequence,
    )


def person_died(sequence: int, died_on: str = "2025-03-09") -> events_pb2.PersonDied:
    return events_pb2.PersonDied(
        psn_no="father", died_on=died_on, recorded_at=timestamp(NOON + timedelta(minutes=sequence)), sequence=sequence
    )


def institution_changed(sequence: int, **changes: object) -> events_pb2.InstitutionChanged:
    institution = institution_pb2.Institution(
        fixmedins_code=HOSPITAL,
        fixmedins_name="博乐市人民医院",
        fixmedins_type=institution_pb2.INSTITUTION_TYPE_MEDICAL,
        admdvs="652701",
        designated_from="2020-01-01",
    )
    for name, value in changes.items():
        setattr(institution, name, value)
    return events_pb2.InstitutionChanged(
        institution=institution, changed_at=timestamp(NOON + timedelta(minutes=sequence)), sequence=sequence
    )


class World:
    def __init__(self) -> None:
        self.accounts = MemoryAccounts()
        self.clock = FixedClock(NOON)
        self.identity = MemoryOutbox("identity")
        self.bus = MemoryBus()
        projection = Projection(MemoryWork[ProjectionRepository](self.accounts), self.clock)
        self.bus.subscribe(TOPICS, Subscriber(projection).handle)

    async def told(self, *messages: Message) -> None:
        await self.identity.add([Event(message, key="father", occurred_at=NOON) for message in messages])
        self.bus.take(self.identity)

    def person(self) -> PersonKnown:
        return self.accounts.persons["father"]

    def first_days(self) -> list[str]:
        return [enrolled.valid_from.isoformat() for enrolled in self.person().enrolments]

    def account_events(self) -> list[tuple[str, int]]:
        return [(row.type.rpartition(".")[2], row.sequence or 0) for row in self.accounts.outbox.rows]


@pytest.fixture
def world() -> World:
    return World()


async def test_an_event_is_taken_in_with_all_that_it_tells(world: World) -> None:
    changed = enrolment_changed(
        1, "2025-01-01", valid_to="2025-12-31", arrears=True, psn_insu_stas=person_pb2.INSURANCE_STATUS_NOT_INSURED
    )
    await world.told(changed, institution_changed(1, suspended=True, designated_to="2025-06-30"))
    await world.bus.deliver()
    assert world.person().enrolments == (
        Enrolled(
            psn_no="father",
            sequence=1,
            as_of=NOON + timedelta(minutes=1),
            valid_from=date(2025, 1, 1),
            valid_to=date(2025, 12, 31),
            insutype=InsuranceType.EMPLOYEE,
            insuplc_admdvs="652701",
            psn_insu_stas=InsuranceStatus.NOT_INSURED,
            arrears=True,
        ),
    )
    assert world.accounts.institutions[HOSPITAL] == InstitutionTold(
        fixmedins_code=HOSPITAL,
        sequence=1,
        as_of=NOON + timedelta(minutes=1),
        fixmedins_type=InstitutionType.MEDICAL,
        admdvs="652701",
        designations=(Designation(date(2020, 1, 1), date(2025, 6, 30)),),
        remote_settlement=False,
        suspended=True,
    )


async def test_an_enrolment_replaces_what_was_to_hold_from_its_first_day_on(world: World) -> None:
    await world.told(
        enrolment_changed(1, "2024-01-01"), enrolment_changed(2, "2026-01-01"), enrolment_changed(3, "2025-01-01")
    )
    await world.bus.deliver()
    assert world.first_days() == ["2024-01-01", "2025-01-01"]


async def test_an_older_enrolment_that_comes_late_takes_its_place_in_history(world: World) -> None:
    await world.told(enrolment_changed(1, "2024-01-01"), enrolment_changed(2, "2025-01-01"))
    await world.bus.deliver([1, 0], one_by_one=True)
    assert world.first_days() == ["2024-01-01", "2025-01-01"]


async def test_an_enrolment_that_comes_after_a_newer_death_is_still_taken_in(world: World) -> None:
    await world.told(enrolment_changed(1, "2024-01-01"), person_died(2))
    await world.bus.deliver([1, 0], one_by_one=True)
    assert (world.person().died_on, world.first_days()) == (date(2025, 3, 9), ["2024-01-01"])
    assert world.person().sequence == 2


async def test_a_death_that_comes_after_a_newer_enrolment_is_still_taken_in(world: World) -> None:
    await world.told(person_died(1), enrolment_changed(2, "2024-01-01"))
    await world.bus.deliver([1, 0], one_by_one=True)
    assert world.person().died_on == date(2025, 3, 9)


async def test_a_corrected_day_of_death_stands_whatever_comes_late(world: World) -> None:
    await world.told(person_died(1, "2025-03-01"), person_died(2, "2025-03-02"))
    await world.bus.deliver([1, 0], one_by_one=True)
    assert world.person().died_on == date(2025, 3, 2)


async def test_an_older_word_on_an_institution_that_comes_late_is_dropped(world: World) -> None:
    await world.told(institution_changed(1), institution_changed(2, suspended=True))
    await world.bus.deliver([1, 0], one_by_one=True)
    assert world.accounts.institutions[HOSPITAL].suspended


async def test_a_death_freezes_the_account_once(world: World) -> None:
    world.accounts.accounts["father"] = Account("father", AccountState.OPEN, 700, 0, 4)
    await world.told(enrolment_changed(1, "2024-01-01"), person_died(2), person_died(3, "2025-03-08"))
    await world.bus.deliver()
    await world.bus.deliver_badly(seed=1)
    assert world.accounts.accounts["father"] == Account("father", AccountState.FROZEN, 700, 0, 5)
    assert world.account_events() == [("AccountFrozen", 5)]
    frozen = world.accounts.outbox.messages[0]
    assert isinstance(frozen, account_events_pb2.AccountFrozen)
    assert (frozen.balance_after_fen, frozen.frozen_at.ToDatetime(UTC)) == (700, NOON)


async def test_a_death_of_somebody_without_an_account_is_remembered(world: World) -> None:
    await world.told(enrolment_changed(1, "2024-01-01"), person_died(2))
    await world.bus.deliver()
    service = AccountService(MemoryWork(world.accounts), world.clock)
    with pytest.raises(NotEligibleError):
        await service.open("father")


async def test_an_event_that_was_taken_in_has_no_effect_again(world: World) -> None:
    await world.told(enrolment_changed(1, "2024-01-01"), person_died(2))
    await world.bus.deliver()
    world.accounts.persons.clear()
    await world.bus.deliver()
    assert world.accounts.persons == {}


async def test_a_death_leaves_its_reason_in_the_accounts_history(world: World) -> None:
    world.accounts.accounts["father"] = Account("father", AccountState.OPEN, 700, 0, 4)
    await world.told(enrolment_changed(1, "2024-01-01"), person_died(2))
    await world.bus.deliver()
    assert [(change.version, change.kind) for change in world.accounts.changes] == [(5, "FROZEN")]
    assert world.accounts.changes[0].reason == "the owner has died"


async def test_a_batch_that_cannot_be_committed_is_taken_in_when_it_comes_again() -> None:
    accounts = MemoryAccounts()
    work = MemoryWork[ProjectionRepository](accounts)
    events = [(UUID(int=1), told_by(enrolment_changed(1, "2024-01-01")))]
    work.fail_next_commit(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await Projection(work, FixedClock(NOON)).take(events)
    assert not accounts.persons
    await Projection(work, FixedClock(NOON)).take(events)
    assert accounts.persons["father"].enrolments


@pytest.mark.parametrize(
    "message",
    [
        enrolment_changed(1, "2025-02-30"),
        enrolment_changed(1, ""),
        enrolment_changed(1, "2025-01-01", valid_to="soon"),
        enrolment_changed(1, "2025-01-01", insutype=0),
        enrolment_changed(1, "2025-01-01", psn_insu_stas=0),
        person_died(1, "2025-13-01"),
        institution_changed(1, fixmedins_type=0),
        account_events_pb2.AccountFrozen(psn_no="father"),
    ],
)
def test_an_event_that_cannot_be_understood_says_so(message: Message) -> None:
    with pytest.raises(UnreadableEventError):
        told_by(message)


ENROLLED = st.builds(
    Enrolled,
    psn_no=st.just("p"),
    sequence=st.just(0),
    as_of=st.just(NOON),
    valid_from=st.dates(date(2025, 1, 1), date(2025, 1, 5)),
    valid_to=st.none(),
    insutype=st.just(InsuranceType.EMPLOYEE),
    insuplc_admdvs=st.sampled_from(["652701", "652722"]),
    psn_insu_stas=st.sampled_from(list(InsuranceStatus)),
    arrears=st.booleans(),
)
DIED = st.builds(Died, st.just("p"), st.just(0), st.just(NOON), st.dates(date(2025, 1, 1), date(2025, 1, 5)))
HISTORY = st.lists(st.one_of(ENROLLED, ENROLLED, DIED, st.just(Verified("p", 0, NOON))), min_size=1, max_size=8)


def in_sequence(history: Sequence[PersonTold]) -> list[PersonTold]:
    return [replace(told, sequence=place, as_of=NOON + timedelta(place)) for place, told in enumerate(history, 1)]


def as_recorded(history: Sequence[PersonTold]) -> PersonKnown:
    """The oracle: what identity itself keeps, told in order and forgetting nothing that it did not replace."""
    enrolments: dict[date, Enrolled] = {}
    died: Died | None = None
    for told in history:
        if isinstance(told, Enrolled):
            enrolments = {day: known for day, known in enrolments.items() if day < told.valid_from}
            enrolments[told.valid_from] = told
        elif isinstance(told, Died):
            died = told
    last = history[-1]
    return PersonKnown(
        "p",
        last.sequence,
        last.as_of,
        died.died_on if died else None,
        died.sequence if died else None,
        tuple(enrolments[day] for day in sorted(enrolments)),
    )


@given(HISTORY, st.randoms(use_true_random=False))
def test_every_order_and_every_repeat_comes_to_what_identity_recorded(
    history: list[PersonTold], order: random.Random
) -> None:
    told = in_sequence(history)
    shuffled = [*told, *told]
    order.shuffle(shuffled)
    person = first_known(shuffled[0])
    for one in shuffled:
        person = learn(person, one)
    assert person == as_recorded(told)
    assert learn_all({"p": first_known(shuffled[0])}, shuffled)["p"] == person


def test_the_newest_word_on_each_institution_counts_in_order_of_code() -> None:
    def told(code: str, sequence: int) -> InstitutionTold:
        return InstitutionTold(
            code,
            sequence,
            NOON,
            InstitutionType.MEDICAL,
            "652701",
            (),
            remote_settlement=False,
            suspended=False,
        )

    chosen = newest_institutions([told("B", 2), told("A", 1), told("B", 1), told("A", 3)])
    assert [(one.fixmedins_code, one.sequence) for one in chosen] == [("A", 3), ("B", 2)]


def test_all_periods_of_designation_are_taken_in() -> None:
    changed = institution_changed(1)
    for valid_from, valid_to in (("2020-01-01", "2024-12-31"), ("2026-01-01", "")):
        changed.institution.designations.add(valid_from=valid_from, valid_to=valid_to)
    told = told_by(changed)
    assert isinstance(told, InstitutionTold)
    assert told.designations == (
        Designation(date(2020, 1, 1), date(2024, 12, 31)),
        Designation(date(2026, 1, 1)),
    )


def test_an_institution_without_a_designation_has_none() -> None:
    told = told_by(institution_changed(1, designated_from=""))
    assert isinstance(told, InstitutionTold)
    assert told.designations == ()


def test_a_corrected_birth_date_is_of_no_consequence_but_that_it_counts() -> None:
    corrected = events_pb2.PersonCorrected(psn_no="child", brdy="2015-09-02", corrected_at=timestamp(NOON), sequence=4)
    assert told_by(corrected) == Verified("child", 4, NOON)
