"""How much a payer may give, and why not (R5, R6, R8)."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from binding.domain.granting import Grant, grant
from binding.domain.limits import CounterKey, Limits, LimitWindow, Use
from binding.domain.persons import Person
from binding.domain.relations import EndCause, Relation, RelationState, payers_in_order
from binding.testing import CHILD, FATHER, MOTHER, NOON, TODAY, child, enrolment, family, father, named, relation

ENDED: dict[str, Any] = {"state": RelationState.ENDED, "end_cause": EndCause.UNBOUND, "ended_at": NOON}
TOMORROW, YESTERDAY = TODAY + timedelta(days=1), TODAY - timedelta(days=1)


def granted(made: Relation, need_fen: int = 100, persons: dict[str, Person] | None = None) -> Grant:
    return grant(need_fen, made, TODAY, {}, persons or family())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"valid_from": TOMORROW}, "RELATION_NOT_STARTED"),
        (ENDED, "RELATION_ENDED"),
        ({"valid_to": YESTERDAY}, "RELATION_EXPIRED"),
        ({"state": RelationState.SUSPENDED}, "RELATION_SUSPENDED"),
        # of several the first of the vocabulary
        ({"valid_from": TOMORROW, **ENDED}, "RELATION_NOT_STARTED"),
        ({"valid_to": YESTERDAY, **ENDED}, "RELATION_ENDED"),
        ({"valid_to": YESTERDAY, "state": RelationState.SUSPENDED}, "RELATION_EXPIRED"),
    ],
)
def test_a_relation_that_is_not_in_force_gives_nothing(changes: dict[str, Any], reason: str) -> None:
    assert granted(relation(**changes)) == Grant(FATHER, named("father-child"), 0, reason)


@pytest.mark.parametrize("changes", [{"valid_from": TODAY}, {"valid_to": TODAY}])
def test_the_first_and_the_last_day_are_included(changes: dict[str, Any]) -> None:
    assert granted(relation(**changes)).granted_fen == 100


def test_a_payer_in_arrears_gives_nothing() -> None:
    persons = family() | {FATHER: father(enrolments=(enrolment(arrears=True),))}
    assert granted(relation(), persons=persons).reason == "PAYER_ARREARS"
    suspended = relation(state=RelationState.SUSPENDED)
    assert granted(suspended, persons=persons).reason == "RELATION_SUSPENDED"


def test_arrears_are_those_of_the_day_of_the_bill() -> None:
    statements = (
        enrolment(),
        enrolment(arrears=True, sequence=3, valid_from=date(2025, 5, 1)),
        enrolment(sequence=4, valid_from=TOMORROW),
    )
    persons = family() | {FATHER: father(enrolments=statements)}
    assert grant(100, relation(), date(2025, 4, 30), {}, persons).reason is None
    assert grant(100, relation(), TODAY, {}, persons).reason == "PAYER_ARREARS"
    assert grant(100, relation(), TOMORROW, {}, persons).reason is None


def test_arrears_of_the_beneficiary_are_no_concern() -> None:
    persons = family() | {CHILD: child(enrolments=(enrolment(arrears=True),))}
    assert granted(relation(), persons=persons).reason is None


@pytest.mark.parametrize("dead", [FATHER, CHILD])
def test_a_death_ends_the_relation_even_before_it_is_recorded_so(dead: str) -> None:
    persons = family()
    persons[dead] = replace(persons[dead], died_on=YESTERDAY)
    assert granted(relation(), persons=persons).reason == "RELATION_ENDED"


def test_what_is_needed_is_given_without_a_reason() -> None:
    assert granted(relation(limits=Limits(day_fen=100))) == Grant(FATHER, named("father-child"), 100)


@pytest.mark.parametrize(
    ("limits", "taken_fen", "given_fen", "window"),
    [
        (Limits(settlement_fen=60), 0, 60, LimitWindow.SETTLEMENT),
        (Limits(settlement_fen=60, day_fen=60), 0, 60, LimitWindow.SETTLEMENT),
        (Limits(day_fen=99), 0, 99, LimitWindow.DAY),
        (Limits(day_fen=100), 80, 20, LimitWindow.DAY),
        (Limits(day_fen=100), 100, 0, LimitWindow.DAY),
        (Limits(day_fen=100), 130, 0, LimitWindow.DAY),
    ],
)
def test_the_limit_caps_what_is_given(limits: Limits, taken_fen: int, given_fen: int, window: LimitWindow) -> None:
    uses = {CounterKey(named("father-child"), LimitWindow.DAY, TODAY): Use(taken_fen, 0)}
    answer = grant(100, relation(limits=limits), TODAY, uses, family())
    assert answer == Grant(FATHER, named("father-child"), given_fen, "LIMIT_REACHED", window)


def test_payers_pay_by_priority_then_approval_then_id() -> None:
    early, late = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC)
    low, high = sorted([named("x"), named("y")])
    expected = [
        relation(payer_psn_no="A", priority=1, approved_at=late),
        relation(payer_psn_no="B", priority=2, approved_at=early),
        relation(payer_psn_no="C", priority=2, approved_at=late, relation_id=low),
        relation(payer_psn_no="D", priority=2, approved_at=late, relation_id=high),
    ]
    for shuffled in permutations(expected):
        assert payers_in_order(shuffled) == expected


def test_only_the_newest_relation_of_a_pair_is_considered() -> None:
    old = relation("old", approved_at=datetime(2024, 1, 1, tzinfo=UTC), priority=1, **ENDED)
    new = relation("new", priority=5)
    others = relation("mother", payer_psn_no=MOTHER, priority=3)
    assert payers_in_order([new, old, others]) == [others, new]
    ended_again = replace(new, **ENDED)
    assert payers_in_order([ended_again, old]) == [ended_again]
