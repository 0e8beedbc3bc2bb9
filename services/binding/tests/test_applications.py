"""The state machine of applications: what is not allowed is refused."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from binding.domain.applications import (
    NEXT,
    Application,
    ApplicationState,
    ConsentUnsigned,
    Proof,
    ProofKind,
    Signed,
    Step,
    add_proof,
    after,
    consent,
    expire,
    lapses_at,
    refuse_lapsed,
    remove_proof,
    submit,
    update,
    withdraw,
)
from binding.domain.errors import Refused, StateForbids
from binding.domain.limits import Limits
from binding.domain.relations import Relationship
from binding.domain.reviews import Clerk, Lease, claim, decide, finish, hand_over, release
from binding.testing import APPROVING, LEASE, NOON, PLEDGE, application, asked, named, rejecting, returning, signed

S = ApplicationState
LIFE = timedelta(days=30)
PROOF = Proof(named("p"), ProofKind.BIRTH_CERTIFICATE, "image/png", "a" * 64, 5)
WANG, LI = Clerk("clerk:wang"), Clerk("clerk:li")
LATER = NOON + timedelta(hours=1)

ALLOWED = {
    "DRAFT": {
        "UPDATE": "DRAFT",
        "ADD_PROOF": "DRAFT",
        "REMOVE_PROOF": "DRAFT",
        "CONSENT": "DRAFT",
        "SUBMIT": "SUBMITTED",
        "WITHDRAW": "WITHDRAWN",
        "EXPIRE": "EXPIRED",
    },
    "RETURNED": {
        "UPDATE": "RETURNED",
        "ADD_PROOF": "RETURNED",
        "REMOVE_PROOF": "RETURNED",
        "CONSENT": "RETURNED",
        "SUBMIT": "SUBMITTED",
        "WITHDRAW": "WITHDRAWN",
        "EXPIRE": "EXPIRED",
    },
    "SUBMITTED": {"CLAIM": "CLAIMED", "WITHDRAW": "WITHDRAWN"},
    "CLAIMED": {
        "CLAIM": "CLAIMED",
        "FINISH": "CLAIMED",
        "RELEASE": "SUBMITTED",
        "HAND_OVER": "SUBMITTED",
        "APPROVE": "APPROVED",
        "REJECT": "REJECTED",
        "RETURN": "RETURNED",
        "WITHDRAW": "WITHDRAWN",
    },
    "APPROVED": {},
    "REJECTED": {},
    "WITHDRAWN": {},
    "EXPIRED": {},
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
    Step.UPDATE: lambda it: update(it, asked()),
    Step.ADD_PROOF: lambda it: add_proof(it, PROOF),
    Step.REMOVE_PROOF: lambda it: remove_proof(replace(it, proofs=(PROOF,)), PROOF.proof_id),
    Step.WITHDRAW: withdraw,
    Step.CONSENT: lambda it: consent(it, signed(it.application_id).signed, LATER),
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
    (S.WITHDRAWN, Step.WITHDRAW),
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
    again = submit(replace(in_state(S.RETURNED), handled_at=NOON, claim_expires_at=NOON), LATER)
    assert again.state is S.SUBMITTED
    assert (again.handled_at, again.claim_expires_at) == (None, None)
    assert (again.handler, again.decider, again.decision_reason, again.decided_at) == ("", "", "", None)
    assert again.submitted_at == LATER


def test_consent_stays_as_it_was_first_given() -> None:
    it = application()
    agreed = signed(it.application_id).signed
    once = consent(it, agreed, NOON)
    assert once.consented_at == NOON
    assert consent(once, agreed, LATER) is once
    assert consent(replace(once, state=S.APPROVED), agreed, LATER).consented_at == NOON


@pytest.mark.parametrize(
    "agreed",
    [
        Signed("", ""),
        Signed(str(named("another")), PLEDGE.sha256),
        Signed(str(named("it")), "0" * 64),
        Signed(str(named("it")).upper(), PLEDGE.sha256),
    ],
    ids=["nothing", "another application", "another text", "not as it is written"],
)
def test_a_consent_signs_this_application_and_its_pledge(agreed: Signed) -> None:
    it = application(application_id=named("it"))
    for before in (it, replace(it, consented_at=NOON)):
        with pytest.raises(ConsentUnsigned):
            consent(before, agreed, NOON)


@pytest.mark.parametrize(
    ("change", "stays"),
    [
        ({"limits": Limits(day_fen=1)}, True),
        ({"valid_from": date(2025, 7, 1), "valid_to": date(2026, 1, 1)}, True),
        ({"priority": 3}, True),
        ({"relationship": Relationship.PARENT}, False),
        ({"pledge_version": "2026.1", "pledge_sha256": "0" * 64}, False),
    ],
)
def test_a_consent_is_to_a_relationship_and_a_text(change: dict[str, Any], stays: bool) -> None:  # noqa: FBT001
    before = application(consented_at=NOON)
    changed = update(before, asked(**change))
    assert changed == replace(before, consented_at=NOON if stays else None, **change)


def test_a_proof_that_is_not_there_is_removed_without_a_trace() -> None:
    before = application(proofs=(PROOF,))
    assert remove_proof(before, named("other")) is before
    assert remove_proof(before, PROOF.proof_id).proofs == ()


@pytest.mark.parametrize("state", list(S))
def test_only_what_nobody_has_handed_in_ends_by_time(state: ApplicationState) -> None:
    before = replace(in_state(state), created_at=NOON, decided_at=NOON if state is S.RETURNED else None)
    just_before, at_last = NOON + LIFE - timedelta(microseconds=1), NOON + LIFE
    assert expire(before, just_before, LIFE) is before
    refuse_lapsed(before, just_before, LIFE)
    if state in {S.DRAFT, S.RETURNED}:
        assert expire(before, at_last, LIFE).state is S.EXPIRED
        with pytest.raises(StateForbids) as refused:
            refuse_lapsed(before, at_last, LIFE)
        assert refused.value.metadata == {"state": "EXPIRED"}
    else:
        assert expire(before, NOON + 10 * LIFE, LIFE) is before
        refuse_lapsed(before, NOON + 10 * LIFE, LIFE)


def test_a_returned_application_has_its_time_from_its_return() -> None:
    returned = replace(in_state(S.RETURNED), created_at=NOON - 2 * LIFE, decided_at=NOON)
    assert lapses_at(returned, LIFE) == NOON + LIFE


@pytest.mark.parametrize("state", [S.WITHDRAWN, S.EXPIRED])
def test_what_is_over_is_not_handed_in_again(state: ApplicationState) -> None:
    with pytest.raises(StateForbids):
        submit(in_state(state), LATER)


def test_the_readme_draws_the_machine_as_it_is() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    section = readme.split("## An application\n")[1].split("\n## ")[0]
    arrows = re.findall(r"^    (\w+) --> (\w+): (.+)$", section, flags=re.MULTILINE)
    drawn = {
        (state, step.upper().replace(" ", "_"), then) for state, then, steps in arrows for step in steps.split(", ")
    }
    assert drawn == {(state.value, step.value, then.value) for (state, step), then in NEXT.items()}
    finals = set(re.findall(r"^    (\w+) --> \[\*\]$", section, flags=re.MULTILINE))
    assert finals == {state.value for state in S} - {state.value for state, _ in NEXT}
