"""The rules of the review: leases, four eyes, hand-over, and what a verdict has to say."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binding.domain.applications import Application, ApplicationState, Step, submit
from binding.domain.decision_reasons import CATALOGUE, DecisionReason, Verdict, flaw_in
from binding.domain.errors import Refused, StateForbids
from binding.domain.reviews import (
    ClaimedByAnother,
    Clerk,
    FourEyes,
    Lease,
    QueueState,
    claim,
    decide,
    finish,
    hand_over,
    is_taken,
    queue_place,
    queue_state,
    release,
    step_of,
)
from binding.testing import (
    APPROVING,
    CHILD,
    FATHER,
    LEASE,
    NOON,
    application,
    enrolment,
    father,
    rejecting,
    returning,
)

S = ApplicationState
WANG, LI, ZHAO = Clerk("clerk:wang"), Clerk("clerk:li"), Clerk("clerk:zhao")
SOON = NOON + timedelta(minutes=1)


def lease(at: timedelta = timedelta()) -> Lease:
    return Lease(NOON + at, LEASE)


def waiting() -> Application:
    return application(state=S.SUBMITTED, submitted_at=NOON, region="652701", due_on=date(2025, 6, 17))


def claimed(clerk: Clerk = WANG) -> Application:
    return claim(waiting(), clerk, lease())


# leases


def test_a_claim_holds_for_the_length_of_its_lease() -> None:
    it = claimed()
    assert (it.state, it.handler, it.handlers, it.claim_expires_at) == (
        S.CLAIMED,
        "clerk:wang",
        ("clerk:wang",),
        NOON + LEASE,
    )
    for early in (timedelta(), LEASE - timedelta(microseconds=1)):
        with pytest.raises(ClaimedByAnother):
            claim(it, LI, lease(early))


def test_when_the_lease_has_run_out_another_takes_over() -> None:
    taken = claim(claimed(), LI, lease(LEASE))
    assert (taken.handler, taken.handlers) == ("clerk:li", ("clerk:wang", "clerk:li"))
    assert taken.claim_expires_at == NOON + 2 * LEASE
    assert is_taken(claimed(), taken)
    with pytest.raises(ClaimedByAnother):
        claim(taken, WANG, lease(LEASE))


@pytest.mark.parametrize("late", [timedelta(minutes=1), LEASE, 3 * LEASE])
def test_claiming_ones_own_again_renews_the_lease_and_nothing_else(late: timedelta) -> None:
    before = claimed()
    again = claim(before, WANG, lease(late))
    assert again == replace(before, claim_expires_at=NOON + late + LEASE)
    assert not is_taken(before, again)


def test_a_finished_handling_waits_for_a_decider_however_long() -> None:
    done = finish(claimed(), WANG, SOON)
    assert (done.state, done.handled_at, done.claim_expires_at) == (S.CLAIMED, SOON, None)
    assert finish(done, WANG, NOON + LEASE) is done
    assert queue_state(done, NOON + 100 * LEASE) is QueueState.HANDLED
    with pytest.raises(ClaimedByAnother):
        claim(done, LI, lease(100 * LEASE))
    reopened = claim(done, WANG, lease(LEASE))
    assert (reopened.handled_at, reopened.claim_expires_at) == (None, NOON + 2 * LEASE)
    assert is_taken(done, reopened)
    assert decide(done, LI, APPROVING, SOON).handler == "clerk:wang"


def test_the_queue_tells_who_may_claim() -> None:
    assert queue_state(waiting(), NOON) is QueueState.WAITING
    assert queue_state(claimed(), NOON) is QueueState.CLAIMED
    assert queue_state(claimed(), NOON + LEASE) is QueueState.WAITING


# release and hand-over


def test_what_is_released_waits_for_anybody_and_its_handler_still_does_not_decide() -> None:
    back = release(claimed(), WANG)
    assert (back.state, back.handler, back.claim_expires_at) == (S.SUBMITTED, "", None)
    again = claim(back, LI, lease())
    with pytest.raises(FourEyes):
        decide(again, WANG, APPROVING, NOON)


def test_what_is_handed_over_is_kept_for_the_other_until_the_lease_ends() -> None:
    kept = hand_over(claimed(), WANG, "clerk:li", lease(timedelta(minutes=5)))
    assert (kept.state, kept.handler) == (S.SUBMITTED, "clerk:li")
    assert queue_state(kept, NOON) is QueueState.CLAIMED
    for clerk in (ZHAO, WANG):
        with pytest.raises(ClaimedByAnother):
            claim(kept, clerk, lease(timedelta(minutes=6)))
    assert claim(kept, LI, lease(timedelta(minutes=6))).handler == "clerk:li"
    assert claim(kept, ZHAO, lease(timedelta(minutes=35))).handler == "clerk:zhao"


def test_nobody_decides_what_the_other_has_not_taken_yet() -> None:
    kept = hand_over(claimed(), WANG, "clerk:li", lease())
    with pytest.raises(StateForbids):
        decide(kept, ZHAO, APPROVING, NOON)


def test_the_other_one_must_be_no_party() -> None:
    with pytest.raises(FourEyes):
        hand_over(claimed(), WANG, f"psn:{FATHER}", lease())
    kept = hand_over(claimed(), WANG, "clerk:mum", lease())
    with pytest.raises(FourEyes):
        claim(kept, Clerk("clerk:mum", CHILD), lease())


def test_only_who_has_it_gives_it_away_or_finishes() -> None:
    with pytest.raises(ClaimedByAnother):
        release(claimed(), LI)
    with pytest.raises(ClaimedByAnother):
        finish(claimed(), LI, NOON)
    with pytest.raises(ClaimedByAnother):
        hand_over(claimed(), LI, "clerk:zhao", lease())


# four eyes


@pytest.mark.parametrize("verdict", [APPROVING, rejecting(), returning()])
@pytest.mark.parametrize(
    "clerk",
    [WANG, Clerk("clerk:zhao", FATHER), Clerk("clerk:zhao", CHILD), Clerk(f"psn:{FATHER}")],
    ids=["handler", "payer", "beneficiary", "applicant"],
)
def test_who_handled_it_or_is_a_party_does_not_decide(clerk: Clerk, verdict: Verdict) -> None:
    with pytest.raises(FourEyes):
        decide(claimed(), clerk, verdict, NOON)


@pytest.mark.parametrize("clerk", [Clerk("clerk:zhao", FATHER), Clerk("clerk:zhao", CHILD), Clerk(f"psn:{FATHER}")])
def test_a_party_does_not_handle_it_either(clerk: Clerk) -> None:
    with pytest.raises(FourEyes):
        claim(waiting(), clerk, lease())


def test_the_handler_does_not_even_repeat_a_decision() -> None:
    approved = decide(claimed(), LI, APPROVING, NOON)
    with pytest.raises(FourEyes):
        decide(approved, WANG, APPROVING, NOON)


def test_a_decision_is_kept_with_who_made_it_and_why() -> None:
    rejected = decide(claimed(), LI, rejecting("姓名不同"), SOON)
    assert (rejected.decider, rejected.decision_reason, rejected.decided_at) == ("clerk:li", "姓名不同", SOON)
    assert (rejected.decision_reason_code, rejected.handler) == ("RELATIONSHIP_UNPROVEN", "clerk:wang")
    done = step_of(rejected, Step.REJECT, "clerk:li", SOON)
    assert (done.reason, done.words, done.region) == (DecisionReason.RELATIONSHIP_UNPROVEN, "姓名不同", "652701")


clerks = st.sampled_from([WANG, LI, ZHAO, Clerk("clerk:dad", FATHER)])
acts = st.sampled_from(["claim", "finish", "release", "hand over", "return", "submit again"])


def acted(it: Application, act: str, clerk: Clerk, other: Clerk, now: Lease) -> Application:
    match act:
        case "claim":
            return claim(it, clerk, now)
        case "finish":
            return finish(it, clerk, now.now)
        case "release":
            return release(it, clerk)
        case "hand over":
            return hand_over(it, clerk, other.subject, now)
        case "return":
            return decide(it, clerk, returning(), now.now)
        case _:
            return submit(it, now.now)


@given(st.lists(st.tuples(acts, clerks, clerks, st.integers(0, 50)), max_size=25), clerks)
def test_whatever_happened_before_no_decider_ever_handled_it_and_no_party_touched_it(
    story: list[tuple[str, Clerk, Clerk, int]], decider: Clerk
) -> None:
    it, minutes, had_it = waiting(), 0, set[str]()
    for act, clerk, other, later in story:
        minutes += later
        try:
            it = acted(it, act, clerk, other, Lease(NOON + timedelta(minutes=minutes), LEASE))
        except Refused:
            continue
        if act == "claim":
            had_it.add(clerk.subject)
        assert act != "return" or clerk.subject not in had_it
    assert "clerk:dad" not in had_it
    try:
        decide(it, decider, APPROVING, NOON)
    except Refused:
        return
    assert decider.subject not in had_it
    assert decider.psn_no is None


# the queue's place


def test_the_region_is_where_the_payer_was_insured_on_that_day() -> None:
    moved = enrolment(insuplc_admdvs="652723", valid_from=date(2025, 6, 11), sequence=3)
    payer = father(enrolments=(enrolment(), moved))
    due = date(2025, 6, 17)
    assert queue_place(waiting(), payer, date(2025, 6, 10), due).region == "652701"
    assert queue_place(waiting(), payer, date(2025, 6, 11), due).region == "652723"
    assert queue_place(waiting(), None, date(2025, 6, 10), due).region == ""


# verdicts


def test_every_reason_has_a_text_and_something_that_it_is_a_reason_for() -> None:
    assert set(CATALOGUE) == set(DecisionReason)
    for entry in CATALOGUE.values():
        assert entry.text.strip("，。、（）") == entry.text
        assert entry.decisions
        assert entry.decisions <= {Step.REJECT, Step.RETURN}
    assert len({entry.text for entry in CATALOGUE.values()}) == len(CATALOGUE)


@given(
    st.sampled_from([Step.APPROVE, Step.REJECT, Step.RETURN]),
    st.none() | st.sampled_from(DecisionReason),
    st.sampled_from(["", "  ", "看不清"]),
)
def test_a_verdict_has_a_reason_of_the_catalogue_just_when_it_declines(
    decision: Step, reason: DecisionReason | None, words: str
) -> None:
    flaw = flaw_in(Verdict(decision, reason, words))
    if decision is Step.APPROVE:
        assert (flaw is None) == (reason is None)
    elif reason is None or decision not in CATALOGUE[reason].decisions:
        assert flaw
        assert flaw[0] == "reason_code"
    else:
        assert (flaw is not None) == (reason is DecisionReason.OTHER and not words.strip())


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (APPROVING, ""),
        (returning(), "证明材料不清晰，无法辨认"),
        (returning("首页"), "证明材料不清晰，无法辨认（首页）"),
    ],
)
def test_a_reason_is_told_with_the_clerks_words(verdict: Verdict, told: str) -> None:
    assert verdict.told == told
