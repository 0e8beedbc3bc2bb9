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
    ClaimedByAnother,
    Clerk,
    FourEyes,
    Step,
    after,
    claim,
    consent,
    decide,
    submit,
)
from binding.domain.errors import Refused, StateForbids
from binding.testing import CHILD, FATHER, NOON, application, named

S = ApplicationState
WANG, LI = Clerk("clerk:wang"), Clerk("clerk:li")
LATER = NOON + timedelta(hours=1)

ALLOWED = {
    "DRAFT": {"ADD_PROOF": "DRAFT", "CONSENT": "DRAFT", "SUBMIT": "SUBMITTED"},
    "RETURNED": {"ADD_PROOF": "RETURNED", "CONSENT": "RETURNED", "SUBMIT": "SUBMITTED"},
    "SUBMITTED": {"CLAIM": "CLAIMED"},
    "CLAIMED": {"APPROVE": "APPROVED", "REJECT": "REJECTED", "RETURN": "RETURNED"},
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
    Step.CLAIM: lambda it: claim(it, WANG),
    Step.APPROVE: lambda it: decide(it, LI, Step.APPROVE, "", LATER),
    Step.REJECT: lambda it: decide(it, LI, Step.REJECT, "no", LATER),
    Step.RETURN: lambda it: decide(it, LI, Step.RETURN, "blurred", LATER),
}
REPEATS = {
    (S.CLAIMED, Step.CLAIM),
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


def test_another_clerks_application_is_not_taken_away() -> None:
    with pytest.raises(ClaimedByAnother):
        claim(in_state(S.CLAIMED), LI)


@pytest.mark.parametrize("decision", [Step.APPROVE, Step.REJECT, Step.RETURN])
@pytest.mark.parametrize(
    "clerk",
    [WANG, Clerk("clerk:zhao", FATHER), Clerk("clerk:zhao", CHILD), Clerk(f"psn:{FATHER}")],
    ids=["handler", "payer", "beneficiary", "applicant"],
)
def test_who_handled_it_or_is_a_party_does_not_decide(clerk: Clerk, decision: Step) -> None:
    with pytest.raises(FourEyes):
        decide(in_state(S.CLAIMED), clerk, decision, "x", NOON)


@pytest.mark.parametrize("clerk", [Clerk("clerk:zhao", FATHER), Clerk("clerk:zhao", CHILD)])
def test_a_party_does_not_handle_it_either(clerk: Clerk) -> None:
    with pytest.raises(FourEyes):
        claim(in_state(S.SUBMITTED), clerk)


def test_the_handler_does_not_even_repeat_a_decision() -> None:
    with pytest.raises(FourEyes):
        decide(in_state(S.APPROVED), WANG, Step.APPROVE, "", NOON)


def test_a_decision_is_kept_with_who_made_it_and_why() -> None:
    rejected = decide(in_state(S.CLAIMED), LI, Step.REJECT, "not the father", LATER)
    assert (rejected.decider, rejected.decision_reason, rejected.decided_at) == ("clerk:li", "not the father", LATER)
    assert rejected.handler == "clerk:wang"
