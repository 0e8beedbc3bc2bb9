"""What families and clerks do with an application, on the fake: from the draft to the decision."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from binding.domain.applications import ApplicationState, ProofKind
from binding.domain.eligibility import (
    ConsentMissing,
    PayerNotEligible,
    ProofMissing,
    RelationExists,
    RelationshipNotAllowed,
)
from binding.domain.errors import Forbidden, NotFound, StateForbids
from binding.domain.relations import EndCause, Relationship, RelationState
from binding.domain.reviews import ClaimedByAnother, FourEyes
from binding.repository import QueueFilter
from binding.service.caller import Caller
from binding.testing import (
    APPROVING,
    CHILD,
    FATHER,
    MOTHER,
    NOON,
    TODAY,
    enrolment,
    family,
    named,
    pdf_file,
    png_file,
    rejecting,
    relation,
    returning,
    signed,
)
from binding.testing_desk import DAD, KID, LI, MUM, STRANGER, WANG, Desk
from gongji.binding.events.v1 import events_pb2
from kit.errors import InvalidFields
from kit.ids import uuid7

# drafts


async def test_only_the_payer_drafts(desk: Desk) -> None:
    for caller in (MUM, KID, STRANGER):
        with pytest.raises(Forbidden):
            await desk.draft(caller)
    assert desk.state.applications == {}


@pytest.mark.parametrize(
    "dates",
    [
        {"valid_from": date(2025, 7, 2), "valid_to": date(2025, 7, 1)},
        {"valid_to": TODAY - timedelta(days=1)},
    ],
)
async def test_dates_that_exclude_each_other_leave_nothing_behind(desk: Desk, dates: dict[str, Any]) -> None:
    with pytest.raises(InvalidFields) as refused:
        await desk.draft(**dates)
    assert refused.value.violations[0].field == "valid_to"
    assert desk.state.applications == {}


async def test_nobody_drafts_for_themselves(desk: Desk) -> None:
    with pytest.raises(RelationshipNotAllowed):
        await desk.draft(beneficiary_psn_no=FATHER)


# consent and handing in


async def test_an_adult_consents_and_nobody_else_for_her(desk: Desk) -> None:
    application_id = await desk.draft(beneficiary_psn_no=MOTHER, relationship=Relationship.SPOUSE)
    await desk.proofs.add(DAD, application_id, ProofKind.MARRIAGE_CERTIFICATE, png_file())
    with pytest.raises(ConsentMissing):
        await desk.applications.submit(DAD, application_id)
    with pytest.raises(Forbidden):
        await desk.applications.consent(DAD, application_id, signed(application_id))
    assert await desk.applications.consent(MUM, application_id, signed(application_id)) == NOON
    desk.clock.advance(timedelta(hours=1))
    assert await desk.applications.consent(MUM, application_id, signed(application_id)) == NOON
    assert (await desk.applications.submit(DAD, application_id)).state is ApplicationState.SUBMITTED


async def test_a_minor_does_not_consent(desk: Desk) -> None:
    application_id = await desk.draft()
    with pytest.raises(Forbidden):
        await desk.applications.consent(KID, application_id, signed(application_id))


async def test_handing_in_is_told_once(desk: Desk) -> None:
    application_id = await desk.submitted()
    await desk.applications.submit(DAD, application_id)
    assert desk.told() == [("ApplicationSubmitted", 1)]
    with pytest.raises(Forbidden):
        await desk.applications.submit(MUM, application_id)


async def test_what_is_refused_stays_a_draft_and_is_not_told(desk: Desk) -> None:
    application_id = await desk.draft()
    with pytest.raises(ProofMissing):
        await desk.applications.submit(DAD, application_id)
    assert desk.application(application_id).state is ApplicationState.DRAFT
    assert desk.told() == []


async def test_of_two_drafts_of_a_pair_one_is_handed_in(desk: Desk) -> None:
    await desk.submitted()
    with pytest.raises(RelationExists):
        await desk.submitted()


async def test_an_application_is_seen_by_its_parties_and_by_staff(desk: Desk) -> None:
    application_id = await desk.draft()
    for caller in (DAD, KID, WANG, LI, Caller("operator", service="operator")):
        assert (await desk.applications.get(caller, application_id)).application_id == application_id
    for caller in (MUM, STRANGER):
        with pytest.raises(Forbidden):
            await desk.applications.get(caller, application_id)
    with pytest.raises(NotFound):
        await desk.applications.get(DAD, uuid7())


async def test_handing_in_again_begins_a_new_count_of_days(desk: Desk) -> None:
    application_id = await desk.submitted()
    first = desk.application(application_id).due_on
    await desk.reviews.claim(WANG, application_id)
    await desk.decisions.decide(LI, application_id, returning())
    desk.clock.advance(timedelta(days=7))
    await desk.applications.submit(DAD, application_id)
    again = desk.application(application_id).due_on
    assert first is not None
    assert again == first + timedelta(days=7)


# review


async def test_an_approval_makes_an_active_relation_at_once(desk: Desk) -> None:
    made = await desk.approved()
    assert (made.state, made.payer_psn_no, made.beneficiary_psn_no) == (RelationState.ACTIVE, FATHER, CHILD)
    assert (made.valid_from, made.valid_to, made.priority) == (TODAY, date(2026, 12, 31), 1)
    assert desk.application(made.application_id).relation_id == made.relation_id
    assert desk.told() == [("ApplicationSubmitted", 1), ("RelationActivated", 1)]
    activated = desk.state.outbox.messages[1]
    assert isinstance(activated, events_pb2.RelationActivated)
    assert activated.application_id == str(made.application_id)
    assert activated.relation.limits.year_fen == 100_000


async def test_the_same_decision_again_gives_the_same_answer(desk: Desk) -> None:
    made = await desk.approved()
    again = await desk.decisions.decide(LI, made.application_id, APPROVING)
    assert again.relation_id == made.relation_id
    assert len(desk.state.relations) == 1
    with pytest.raises(StateForbids):
        await desk.decisions.decide(LI, made.application_id, rejecting("after all"))
    assert len(desk.told()) == 2


async def test_one_clerk_handles_and_a_different_one_decides(desk: Desk) -> None:
    application_id = await desk.submitted()
    with pytest.raises(StateForbids):
        await desk.decisions.decide(LI, application_id, APPROVING)
    await desk.reviews.claim(WANG, application_id)
    await desk.reviews.claim(WANG, application_id)
    with pytest.raises(ClaimedByAnother):
        await desk.reviews.claim(LI, application_id)
    with pytest.raises(FourEyes):
        await desk.decisions.decide(WANG, application_id, APPROVING)
    with pytest.raises(FourEyes):
        await desk.decisions.decide(replace(LI, psn_no=FATHER), application_id, APPROVING)
    assert desk.state.relations == {}


async def test_a_rejection_is_final_and_told_with_its_reason(desk: Desk) -> None:
    application_id = await desk.submitted()
    await desk.reviews.claim(WANG, application_id)
    await desk.decisions.decide(LI, application_id, rejecting("资料不符"))
    rejected = desk.state.outbox.messages[-1]
    assert isinstance(rejected, events_pb2.ApplicationRejected)
    assert (rejected.reason, rejected.sequence) == ("资料不符", 2)
    assert (await desk.applications.submit(DAD, application_id)).state is ApplicationState.REJECTED


async def test_a_returned_application_is_corrected_and_handed_in_again(desk: Desk) -> None:
    application_id = await desk.submitted()
    await desk.reviews.claim(WANG, application_id)
    await desk.decisions.decide(LI, application_id, returning("blurred"))
    await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, pdf_file())
    await desk.applications.submit(DAD, application_id)
    assert desk.told() == [("ApplicationSubmitted", 1), ("ApplicationReturned", 2), ("ApplicationSubmitted", 3)]
    assert desk.application(application_id).handler == ""


async def test_the_rules_are_asked_again_on_approval(desk: Desk) -> None:
    application_id = await desk.submitted()
    await desk.reviews.claim(WANG, application_id)
    desk.state.known_persons[FATHER] = replace(family()[FATHER], enrolments=(enrolment(psn_insu_stas=2),))
    with pytest.raises(PayerNotEligible):
        await desk.decisions.decide(LI, application_id, APPROVING)
    assert desk.application(application_id).state is ApplicationState.CLAIMED
    assert desk.state.relations == {}
    await desk.decisions.decide(LI, application_id, rejecting("not in good standing"))


async def test_a_relation_that_ran_out_gives_way_to_a_new_one(desk: Desk) -> None:
    old = await desk.approved(valid_to=TODAY)
    desk.clock.advance(timedelta(days=1))
    new = await desk.approved()
    ended = desk.state.relations[old.relation_id]
    assert (ended.state, ended.end_cause, ended.sequence) == (RelationState.ENDED, EndCause.EXPIRED, 2)
    assert new.state is RelationState.ACTIVE
    assert desk.told()[-2:] == [("RelationEnded", 2), ("RelationActivated", 1)]


async def test_a_later_payer_comes_after_those_that_are_there(desk: Desk) -> None:
    desk.state.relations[named("m")] = relation("m", payer_psn_no=MOTHER, priority=4)
    assert (await desk.approved()).priority == 5


async def test_the_queue_shows_what_waits(desk: Desk) -> None:
    waiting = await desk.submitted()
    await desk.draft(beneficiary_psn_no=MOTHER)
    assert [it.application_id for it in await desk.reviews.queue(QueueFilter(), None, 10)] == [waiting]
