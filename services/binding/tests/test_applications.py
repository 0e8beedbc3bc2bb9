"""The state machine of applications: what is not allowed is refused."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from binding.domain.applications import (
    NEXT,
    Application,
    ApplicationState,
    Step,
    after,
    consent,
    submit,
)
from binding.domain.errors import Refused, StateForbids
from binding.domain.reviews import Clerk, Lease, claim, decide, finish, hand_over, release
from binding.testing import APPROVING, LEASE, NOON, application, named, rejecting, returning

S = ApplicationState
WANG, LI = Clerk("clerk:wang"), Clerk("clerk:li")
LATER = NOON + timedelta(hours=1)

ALLOWED = {
    "DRAFT": {"ADD_PROOF": "DRAFT", "CONSENT": "DRAFT", "SUBMIT": "SUBMITTED"},
    "RETURNED": {"ADD_PROOF": "RETURNED", "CONSENT": "RETURNED", "SUBMIT": "SUBMITTED"},
    "SUBMITTED": {"CLAIM": "CLAIMED"},
    "CLAIMED": {
        "CLAIM": "CLAIMED",
        "FINISH": "CLAIMED",
        "RELEASE": "SUBMITTED",
        "HAND_OVER": "SUBMITTED",
        "APPROVE": "APPROVED",
        "REJECT": "REJECTED",
        "RETURN": "RETURNED",
    },
    "APPROVED": {},
    "REJECTED": {},
}


def in_state(state: ApplicationState) -> Application:
    it = application(state=state)
    if state is not S.DRAFT:
        it = replace(it, submitted_at=NOON)
    if state in {S.CLAIMED, S.APPROVED, S.REJECTED, S.RETURNED}:
        it = replace(it, handler=WANG.subject)
    if state in {S.APPROVED, S.REJECTED, S.RETURNED}:
        it = replace(it, decider=LI.subject, decided_at=NOON, decision_reason="because")
    return replace(it, relation_id=named("r")) if state is S.APPROVED else it


@pytest.mark.parametrize(("state", "step"), list(product(S, Step)))
def test_every_step_is_allowed_or_refused_as_the_table_says(state: ApplicationState, step: Step) -> None:
    expected = ALLOWED[state.value].get(step.value)
    if expected is not None:
        assert after(state, step).value == expected
    else:
        with pytest.raises(StateForbids) as refused:
            after(state, step)
        assert refused.value.metadata == {"state": state, "step": step}


def test_the_table_has_nothing_else() -> None:
    assert {(state.value, step.value): then.value for (state, step), then in NEXT.items()} == {
        (state, step): then for state, steps in ALLOWED.items() for step, then in steps.items()
    }


DO: dict[Step, Callable[[Application], Application]] = {
    Step.CONSENT: lambda it: consent(it, LATER),
    Step.CLAIM: lambda it: claim(it, WANG, Lease(LATER, LEASE)),
    Step.FINISH: lambda it: finish(it, WANG, LATER),
    Step.RELEASE: lambda it: release(it, WANG),
    Step.HAND_OVER: lambda it: hand_over(it, WANG, "clerk:zhao", Lease(LATER, LEASE)),
    Step.APPROVE: lambda it: decide(it, LI, APPROVING, LATER),
    Step.REJECT: lambda it: decide(it, LI, rejecting(), LATER),
    Step.RETURN: lambda it: decide(it, LI, returning(), LATER),
}
REPEATS = {
    (S.APPROVED, Step.APPROVE),
    (S.REJECTED, Step.REJECT),
    (S.RETURNED, Step.RETURN),
}


@pytest.mark.parametrize(("state", "step"), list(product(S, DO)))
def test_functions_keep_to_the_table_and_repeats_change_nothing(state: ApplicationState, step: Step) -> None:
    before = in_state(state)
    if (state, step) in REPEATS:
        assert DO[step](before) is before
    elif (state, step) in NEXT:
        assert DO[step](before).state is NEXT[state, step]
    else:
        with pytest.raises(Refused):
            DO[step](before)


@pytest.mark.parametrize("state", [S.SUBMITTED, S.CLAIMED, S.APPROVED, S.REJECTED])
def test_handing_in_again_is_what_it_has_become_since(state: ApplicationState) -> None:
    before = in_state(state)
    assert submit(before, LATER) is before


def test_a_returned_application_begins_its_review_anew() -> None:
    again = submit(in_state(S.RETURNED), LATER)
    assert again.state is S.SUBMITTED
    assert (again.handler, again.decider, again.decision_reason, again.decided_at) == ("", "", "", None)
    assert again.submitted_at == LATER


def test_consent_stays_as_it_was_first_given() -> None:
    once = consent(application(), NOON)
    assert once.consented_at == NOON
    assert consent(once, LATER) is once
    assert consent(replace(in_state(S.APPROVED), consented_at=NOON), LATER).consented_at == NOON
