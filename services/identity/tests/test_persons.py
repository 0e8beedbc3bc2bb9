from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from identity.domain.person import (
    Person,
    Registration,
    age_years,
    may_act_for,
    only_enrolled,
    record_death,
    register,
    take_enrolment_from_register,
)
from identity.domain.refusals import Deceased, NotEntitled
from identity.testing import ADULT, CHILD, NOW, TODAY, enrolment, identity_card, person


def registered(psn_no: str = "P1", brdy: date = ADULT, **changed: Any) -> Person:
    return person(psn_no, brdy, registration=Registration(NOW, psn_no), version=2, **changed)


@pytest.mark.parametrize(
    ("today", "years"),
    [
        (date(2008, 2, 29), 0),
        (date(2026, 2, 27), 17),
        (date(2026, 2, 28), 17),
        (date(2026, 3, 1), 18),
        (date(2024, 2, 28), 15),
        (date(2024, 2, 29), 16),
    ],
)
def test_born_on_29_february_one_is_a_year_older_on_1_march_where_there_is_no_29th(today: date, years: int) -> None:
    assert age_years(date(2008, 2, 29), today) == years


@pytest.mark.parametrize(("today", "minor"), [(date(2025, 8, 31), True), (date(2025, 9, 1), False)])
def test_one_comes_of_age_on_the_eighteenth_birthday(today: date, *, minor: bool) -> None:
    assert person(brdy=date(2007, 9, 1)).is_minor(today) is minor


def test_an_adult_without_a_number_of_their_own_registers_themself() -> None:
    after = register(person(), None, NOW, TODAY)
    assert after.registration == Registration(NOW, "P1")
    assert (after.version, after.guardians) == (2, frozenset())


def test_registering_again_changes_nothing() -> None:
    someone = registered()
    later = NOW + timedelta(days=1)
    assert register(someone, someone, later, TODAY) is someone
    assert register(someone, None, later, TODAY) is someone


def test_a_registered_adult_registers_a_minor() -> None:
    after = register(person("P2", CHILD), registered(), NOW, TODAY)
    assert after.registration == Registration(NOW, "P1")
    assert (after.version, after.guardians) == (2, frozenset({"P1"}))


def test_the_other_parent_may_register_the_same_minor_and_no_event_is_due() -> None:
    child = register(person("P2", CHILD), registered(), NOW, TODAY)
    after = register(child, registered("P3", sequence=3), NOW + timedelta(days=1), TODAY)
    assert after.registration == child.registration
    assert (after.version, after.guardians) == (child.version, frozenset({"P1", "P3"}))
    assert register(after, registered(), NOW, TODAY) is after


@pytest.mark.parametrize(
    "caller",
    [
        None,
        person(),
        registered(died_on=TODAY),
        registered("P4", date(2010, 1, 1)),
    ],
    ids=["nobody known", "not registered", "dead", "a minor"],
)
def test_only_a_registered_living_adult_registers_a_minor(caller: Person | None) -> None:
    with pytest.raises(NotEntitled):
        register(person("P2", CHILD), caller, NOW, TODAY)


def test_an_adult_is_not_registered_by_another() -> None:
    with pytest.raises(NotEntitled):
        register(person("P2", sequence=2), registered(), NOW, TODAY)


def test_the_dead_do_not_register() -> None:
    with pytest.raises(Deceased):
        register(person(died_on=TODAY), None, NOW, TODAY)


def test_a_registration_outlives_the_person() -> None:
    someone = registered(died_on=TODAY)
    assert register(someone, someone, NOW, TODAY) is someone


def test_one_acts_for_oneself_and_for_the_minors_that_one_registered() -> None:
    child = registered("P2", CHILD, guardians=frozenset({"P1"}))
    assert may_act_for("P2", child, TODAY)
    assert may_act_for("P1", child, TODAY)
    assert not may_act_for("P3", child, TODAY)
    assert not may_act_for(None, child, TODAY)
    assert not may_act_for("", child, TODAY)


def test_a_guardian_no_longer_acts_for_a_child_that_came_of_age() -> None:
    child = registered("P2", CHILD, guardians=frozenset({"P1"}))
    assert may_act_for("P1", child, date(2033, 8, 31))
    assert not may_act_for("P1", child, date(2033, 9, 1))


def test_a_death_is_an_event_once_for_each_day_that_is_recorded() -> None:
    once = record_death(person(), TODAY)
    assert (once.died_on, once.version) == (TODAY, 2)
    assert record_death(once, TODAY) is once
    assert record_death(once, TODAY - timedelta(days=1)).version == 3


@pytest.mark.parametrize(
    ("changed", "only"),
    [
        ({}, True),
        ({"name": "李四"}, False),
        ({"certificates": (identity_card(CHILD),)}, False),
        ({"brdy": CHILD}, False),
        ({"tel": ""}, False),
        ({"card_sn": ""}, False),
        ({"died_on": TODAY}, False),
        ({"registration": None}, False),
        ({"guardians": frozenset({"P2"})}, False),
    ],
)
def test_only_a_statement_of_enrolment_leaves_all_else_as_it_is(changed: dict[str, Any], *, only: bool) -> None:
    enrolled = take_enrolment_from_register(registered(), enrolment(TODAY, arrears=True))
    assert enrolled.version == registered().version + 1
    assert only_enrolled(registered(), replace(enrolled, **changed)) is only
