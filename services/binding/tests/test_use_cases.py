"""What families, clerks and operators do, on the fake."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from binding.domain.applications import Application, ApplicationState, ProofKind
from binding.domain.eligibility import (
    ConsentMissing,
    PayerNotEligible,
    Policy,
    ProofMissing,
    RelationExists,
    RelationshipNotAllowed,
)
from binding.domain.errors import Forbidden, NotFound, StateForbids
from binding.domain.history import ChangeKind
from binding.domain.limits import Limits, Use, counter_keys
from binding.domain.proofs import MAX_PROOFS, ProofUnacceptable
from binding.domain.relations import EndCause, Relation, Relationship, RelationState
from binding.domain.reviews import ClaimedByAnother, FourEyes
from binding.domain.working_days import Promise
from binding.memory import MemoryRepository
from binding.repository import Place, QueueFilter
from binding.service.applications import Applications
from binding.service.caller import Caller
from binding.service.decisions import Decisions
from binding.service.proofs import ProofDamagedError, Proofs, proof_context
from binding.service.relations import Relations
from binding.service.reviews import Reviews
from binding.testing import (
    APPROVING,
    CHILD,
    FATHER,
    LEASE,
    MOTHER,
    NOON,
    PLEDGES,
    TODAY,
    asked,
    enrolment,
    family,
    named,
    pdf_file,
    png_file,
    rejecting,
    relation,
    returning,
    ring,
    signed,
    unexamined,
)
from gongji.binding.events.v1 import events_pb2
from kit.clock import FixedClock
from kit.crypto import DecryptionError
from kit.errors import InvalidFields
from kit.ids import uuid7
from kit.testing import MemoryWork

DAD = Caller(f"psn:{FATHER}", FATHER, frozenset({"citizen"}))
MUM = Caller(f"psn:{MOTHER}", MOTHER, frozenset({"citizen"}))
KID = Caller(f"psn:{CHILD}", CHILD, frozenset({"citizen"}))
STRANGER = Caller("psn:P9999", "P9999", frozenset({"citizen"}))
WANG = Caller("clerk:wang", None, frozenset({"handler"}))
LI = Caller("clerk:li", None, frozenset({"decider"}))
OPS = Caller("clerk:ops", None, frozenset({"operator"}))


class Desk:
    """Binding's use cases over one fake, and what came of them."""

    def __init__(self, work: MemoryWork[MemoryRepository]) -> None:
        self.state = work.repository
        self.state.known_persons |= family()
        self.clock = FixedClock(NOON)
        self.applications = Applications(work, self.clock, Policy(), PLEDGES, Promise())
        self.proofs = Proofs(work, self.clock, ring(), Policy(), unexamined)
        self.reviews = Reviews(work, self.clock, LEASE)
        self.decisions = Decisions(work, self.clock, Policy())
        self.relations = Relations(work, self.clock, Policy())

    async def draft(self, caller: Caller = DAD, **changes: Any) -> UUID:
        parties = (changes.pop("payer_psn_no", FATHER), changes.pop("beneficiary_psn_no", CHILD))
        return (await self.applications.create(caller, *parties, asked(**changes))).application_id

    async def submitted(self, **changes: Any) -> UUID:
        application_id = await self.draft(**changes)
        kind = ProofKind.HOUSEHOLD_REGISTER
        await self.proofs.add(DAD, application_id, kind, png_file())
        await self.applications.submit(DAD, application_id)
        return application_id

    async def approved(self, **changes: Any) -> Relation:
        application_id = await self.submitted(**changes)
        await self.reviews.claim(WANG, application_id)
        done = await self.decisions.decide(LI, application_id, APPROVING)
        assert done.relation_id
        return self.state.relations[done.relation_id]

    def application(self, application_id: UUID) -> Application:
        return self.state.applications[application_id]

    def told(self) -> list[tuple[str, int]]:
        """Names and sequences of the events."""
        return [(row.type.rpartition(".")[2], row.sequence or 0) for row in self.state.outbox.rows]


@pytest.fixture
def desk(memory_work: MemoryWork[MemoryRepository]) -> Desk:
    return Desk(memory_work)


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


# proofs


async def test_a_proof_is_stored_encrypted_for_its_application_only(desk: Desk) -> None:
    application_id = await desk.draft()
    proof = await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, pdf_file())
    sealed = desk.state.contents[proof.proof_id]
    assert b"%PDF" not in sealed
    assert ring().decrypt(sealed, proof_context(application_id, proof.sha256)) == pdf_file()
    assert (proof.media_type, proof.size_bytes) == ("application/pdf", len(pdf_file()))


async def test_the_same_file_again_is_the_same_proof(desk: Desk) -> None:
    application_id = await desk.draft()
    first = await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, png_file())
    assert await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, png_file()) == first


async def test_an_application_takes_only_so_many_proofs(desk: Desk) -> None:
    application_id = await desk.draft()
    for number in range(MAX_PROOFS):
        await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, pdf_file(number))
    with pytest.raises(ProofUnacceptable):
        await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, pdf_file(99))
    await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, pdf_file(0))


async def test_a_file_that_lies_about_itself_is_not_stored(desk: Desk) -> None:
    application_id = await desk.draft()
    with pytest.raises(ProofUnacceptable):
        await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, b"%PDF-1.7 <script>")
    assert desk.state.contents == {}


async def test_proofs_are_the_payers_to_upload_while_it_is_open(desk: Desk) -> None:
    application_id = await desk.draft()
    with pytest.raises(Forbidden):
        await desk.proofs.expect(MUM, application_id)
    with pytest.raises(NotFound):
        await desk.proofs.expect(DAD, uuid7())
    submitted = await desk.submitted()
    with pytest.raises(StateForbids):
        await desk.proofs.expect(DAD, submitted)
    with pytest.raises(StateForbids):
        await desk.proofs.add(DAD, submitted, ProofKind.BIRTH_CERTIFICATE, pdf_file())


async def test_parties_and_staff_look_at_a_proof_and_nobody_else(desk: Desk) -> None:
    application_id = await desk.draft()
    proof = await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, pdf_file())
    for caller in (DAD, KID, WANG, LI, OPS):
        file = await desk.proofs.download(caller, application_id, proof.proof_id)
        assert (file.proof, file.content) == (proof, pdf_file())
    for caller in (MUM, STRANGER):
        with pytest.raises(Forbidden):
            await desk.proofs.download(caller, application_id, proof.proof_id)
    with pytest.raises(NotFound):
        await desk.proofs.download(DAD, application_id, uuid7())
    other = await desk.draft()
    with pytest.raises(NotFound):
        await desk.proofs.download(DAD, other, proof.proof_id)


async def test_each_look_of_the_staff_is_kept_and_shown_in_the_history(desk: Desk) -> None:
    application_id = await desk.draft()
    proof = await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, pdf_file())
    for caller in (DAD, WANG, WANG, LI, KID):
        desk.clock.advance(timedelta(minutes=1))
        await desk.proofs.download(caller, application_id, proof.proof_id)
    views = await desk.proofs.views(application_id, None, 10)
    assert [(view.who.subject, view.proof_id) for view in views] == [
        (LI.subject, proof.proof_id),
        (WANG.subject, proof.proof_id),
        (WANG.subject, proof.proof_id),
    ]
    place = Place(views[0].at, views[0].view_id)
    assert await desk.proofs.views(application_id, place, 1) == [views[1]]
    history = await desk.applications.history(DAD, application_id, 0, 100)
    looks = [entry for entry in history if entry.mark.what is ChangeKind.PROOF_VIEWED]
    assert [(entry.mark.who.subject, entry.mark.who.role) for entry in looks] == [("", "handler")] * 2 + [
        ("", "decider")
    ]
    await desk.proofs.remove(DAD, application_id, proof.proof_id)
    assert await desk.proofs.views(application_id, None, 10) == views


async def test_a_proof_that_is_not_what_was_stored_is_not_shown(desk: Desk) -> None:
    application_id = await desk.draft()
    proof = await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, pdf_file())
    context = proof_context(application_id, proof.sha256)
    desk.state.contents[proof.proof_id] = ring().encrypt(pdf_file(1), context)
    with pytest.raises(ProofDamagedError):
        await desk.proofs.download(DAD, application_id, proof.proof_id)
    desk.state.contents[proof.proof_id] = ring().encrypt(pdf_file(), b"of another application")
    with pytest.raises(DecryptionError):
        await desk.proofs.download(DAD, application_id, proof.proof_id)


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


# relations


async def test_limits_are_the_payers_to_change_and_told_when_they_do(desk: Desk) -> None:
    made = await desk.approved()
    with pytest.raises(Forbidden):
        await desk.relations.change_limits(KID, made.relation_id, Limits(day_fen=1))
    for _ in range(2):
        seen = await desk.relations.change_limits(DAD, made.relation_id, Limits(day_fen=500))
        assert seen.relations[0].limits == Limits(day_fen=500)
    assert desk.told()[-1] == ("RelationChanged", 2)
    assert len(desk.told()) == 3


async def test_unbinding_ends_at_once_and_for_good(desk: Desk) -> None:
    made = await desk.approved()
    for caller in (STRANGER, MUM, KID, WANG):
        with pytest.raises(Forbidden):
            await desk.relations.unbind(caller, made.relation_id, "")
    for _ in range(2):
        seen = await desk.relations.unbind(DAD, made.relation_id, "moved")
        assert seen.relations[0].state is RelationState.ENDED
    ended = desk.state.outbox.messages[-1]
    assert isinstance(ended, events_pb2.RelationEnded)
    assert (ended.cause, ended.sequence) == (events_pb2.RELATION_END_CAUSE_UNBOUND, 2)
    assert len(desk.told()) == 3
    with pytest.raises(StateForbids):
        await desk.relations.change_limits(DAD, made.relation_id, Limits(day_fen=1))


async def test_an_adult_beneficiary_unbinds_too(desk: Desk) -> None:
    made = relation(beneficiary_psn_no=MOTHER)
    desk.state.relations[made.relation_id] = made
    seen = await desk.relations.unbind(MUM, made.relation_id, "")
    assert seen.relations[0].end_cause is EndCause.UNBOUND


async def test_suspending_and_resuming_are_told_once_each(desk: Desk) -> None:
    made = await desk.approved()
    for _ in range(2):
        await desk.relations.suspend(OPS, made.relation_id, "checking")
    for _ in range(2):
        await desk.relations.resume(OPS, made.relation_id, "checked")
    assert desk.told()[2:] == [("RelationSuspended", 2), ("RelationActivated", 3)]
    resumed = desk.state.outbox.messages[-1]
    assert isinstance(resumed, events_pb2.RelationActivated)
    assert resumed.application_id == ""


async def test_relations_are_seen_by_parties_and_staff(desk: Desk) -> None:
    made = await desk.approved()
    for caller in (DAD, KID, WANG):
        assert (await desk.relations.get(caller, made.relation_id)).relations == (made,)
    with pytest.raises(Forbidden):
        await desk.relations.get(MUM, made.relation_id)
    with pytest.raises(NotFound):
        await desk.relations.get(DAD, uuid7())
    assert (await desk.relations.list(KID, CHILD, None, 10)).relations == (made,)
    assert (await desk.relations.list(WANG, FATHER, None, 10)).relations == (made,)
    with pytest.raises(Forbidden):
        await desk.relations.list(DAD, CHILD, None, 10)


async def test_the_day_of_the_use_shown_is_shanghais(desk: Desk) -> None:
    made = await desk.approved()
    desk.clock.set(datetime(2025, 12, 31, 16, 30, tzinfo=UTC))
    seen = await desk.relations.get(DAD, made.relation_id)
    assert seen.day == date(2026, 1, 1)
    assert seen.uses == {}


async def test_the_validity_is_the_payers_to_extend(desk: Desk) -> None:
    it = await desk.approved()
    later = it.valid_to + timedelta(days=1)
    for caller in (KID, MUM, STRANGER):
        with pytest.raises(Forbidden):
            await desk.relations.extend(caller, it.relation_id, later)
    seen = await desk.relations.extend(DAD, it.relation_id, later)
    assert seen.relations[0].valid_to == later


async def test_a_suspension_keeps_and_tells_its_reason(desk: Desk) -> None:
    it = await desk.approved()
    await desk.relations.suspend(OPS, it.relation_id, "核查")
    assert desk.state.relations[it.relation_id].state_reason == "核查"
    event = desk.state.outbox.messages[-1]
    assert getattr(event, "reason", None) == "核查"


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


async def test_a_limit_lowered_to_what_is_nearly_used_is_told_and_not_twice(desk: Desk) -> None:
    it = await desk.approved()
    desk.state.counters |= dict.fromkeys(counter_keys(it.relation_id, TODAY), Use(used_fen=800))
    for _ in range(2):
        await desk.relations.change_limits(DAD, it.relation_id, Limits(day_fen=1_000))
    await desk.relations.change_limits(DAD, it.relation_id, Limits(day_fen=900))
    (told,) = [it for it in desk.state.outbox.messages if isinstance(it, events_pb2.LimitNearlyUsed)]
    assert (told.used_fen, told.limit_fen) == (800, 1_000)
