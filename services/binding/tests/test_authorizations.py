"""An authorization moves only forward, and charges what its lines say."""

from itertools import product

import pytest

from binding.domain.authorizations import (
    Authorization,
    AuthorizationState,
    OutcomeState,
    apply_outcome,
    change_of_charges,
    charges,
    contradicts,
    grants_of,
    hold,
)
from binding.domain.granting import Grant
from binding.domain.limits import Use
from binding.testing import CHILD, FATHER, NOON, TODAY, captured, named, outcome, released, restored, trimmed

S, D = AuthorizationState, OutcomeState
R = "father-child"
GRANTS = (Grant(FATHER, named(R), 300), Grant("P9", named("m"), 0, "RELATION_SUSPENDED"))

FORWARD = {
    (S.HELD, D.TRIMMED): S.HELD,
    (S.HELD, D.CAPTURED): S.CAPTURED,
    (S.HELD, D.RELEASED): S.RELEASED,
    (S.HELD, D.RESTORED): S.RESTORED,
    (S.CAPTURED, D.RESTORED): S.RESTORED,
}


def held() -> Authorization:
    return hold(named("a"), CHILD, NOON, TODAY, GRANTS)


def in_state(state: AuthorizationState) -> Authorization:
    if state is S.HELD:
        return held()
    return apply_outcome(held(), outcome("a", OutcomeState(state), (R, 200)))


def charged(authorization: Authorization) -> set[Use]:
    return set(charges(authorization).values())


@pytest.mark.parametrize(("state", "decided"), list(product(S, D)))
def test_only_forward_steps_change_the_state(state: AuthorizationState, decided: OutcomeState) -> None:
    before = in_state(state)
    after = apply_outcome(before, outcome("a", decided, (R, 100)))
    if (state, decided) in FORWARD:
        assert after.state is FORWARD[state, decided]
        assert after != before
    else:
        assert after is before


@pytest.mark.parametrize(
    ("state", "decided"), [(S.RELEASED, D.CAPTURED), (S.CAPTURED, D.RELEASED), (S.RESTORED, D.RELEASED)]
)
def test_decisions_that_exclude_each_other_are_noticed(state: AuthorizationState, decided: OutcomeState) -> None:
    assert contradicts(state, decided)


@pytest.mark.parametrize(("state", "decided"), [(S.CAPTURED, D.CAPTURED), (S.RESTORED, D.CAPTURED), *FORWARD])
def test_repeats_and_late_arrivals_are_no_contradiction(state: AuthorizationState, decided: OutcomeState) -> None:
    assert not contradicts(state, decided)


def test_a_hold_charges_what_was_granted() -> None:
    assert charged(held()) == {Use(0, 300)}
    assert len(charges(held())) == 4


def test_a_capture_charges_what_was_paid_and_nothing_else() -> None:
    assert charged(apply_outcome(held(), captured("a", (R, 120)))) == {Use(120, 0)}
    assert charged(apply_outcome(held(), captured("a"))) == set()


def test_a_capture_is_never_refused_even_above_the_hold_or_under_another_relation() -> None:
    after = apply_outcome(held(), captured("a", (R, 999), ("other", 5), ("other", 2)))
    assert {(key.relation_id, use) for key, use in charges(after).items()} == {
        (named(R), Use(999, 0)),
        (named("other"), Use(7, 0)),
    }


@pytest.mark.parametrize("state", [S.RELEASED, S.RESTORED])
def test_what_is_over_charges_nothing(state: AuthorizationState) -> None:
    assert charges(in_state(state)) == {}


def test_outcomes_of_unknown_ids_are_remembered() -> None:
    assert apply_outcome(None, released("a")).state is S.RELEASED
    assert charged(apply_outcome(None, captured("a", (R, 70)))) == {Use(70, 0)}
    assert charges(apply_outcome(None, restored("a", (R, 70)))) == {}
    assert charged(apply_outcome(None, trimmed("a", (R, 70)))) == {Use(0, 70)}


def test_trimming_never_holds_more() -> None:
    once = apply_outcome(held(), trimmed("a", (R, 120)))
    assert charged(once) == {Use(0, 120)}
    assert apply_outcome(once, trimmed("a", (R, 500))) is once
    assert charged(apply_outcome(held(), trimmed("a"))) == set()


@pytest.mark.parametrize("state", list(S))
def test_the_answer_stays_what_it_was(state: AuthorizationState) -> None:
    assert grants_of(in_state(state)) == GRANTS
    assert grants_of(apply_outcome(held(), trimmed("a"))) == GRANTS


def test_a_change_is_the_charge_after_minus_the_charge_before() -> None:
    before = held()
    after = apply_outcome(before, captured("a", (R, 120)))
    gone = apply_outcome(after, restored("a"))
    assert set(change_of_charges(charges(before), charges(after)).values()) == {Use(120, -300)}
    assert set(change_of_charges(charges(after), charges(gone)).values()) == {Use(-120, 0)}
    assert change_of_charges(charges(before), charges(before)) == {}
