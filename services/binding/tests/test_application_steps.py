"""Changing, taking back, ending by time and listing applications, on the fake."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from binding.domain.applications import Application, ApplicationState, ConsentUnsigned, ProofKind
from binding.domain.eligibility import (
    Policy,
    ProofMissing,
    RelationshipNotAllowed,
    TooManyRelations,
)
from binding.domain.errors import Forbidden, NotFound, StateForbids
from binding.domain.history import AggregateKind, ChangeKind
from binding.domain.limits import Limits
from binding.domain.pledges import Pledge, PledgeMissingError, PledgeNotCurrent, Pledges
from binding.domain.relations import Relationship
from binding.domain.working_days import Promise
from binding.memory import MemoryRepository
from binding.pledges import shipped
from binding.repository import Place
from binding.service.applications import Applications
from binding.service.caller import Caller
from binding.service.proofs import Proofs
from binding.testing import (
    CHILD,
    FATHER,
    MOTHER,
    NOON,
    PLEDGE,
    PLEDGES,
    TODAY,
    application,
    asked,
    family,
    named,
    pdf_file,
    png_file,
    relation,
    ring,
    signed,
    unexamined,
)
from kit.clock import FixedClock
from kit.errors import InvalidFields
from kit.ids import uuid7
from kit.testing import MemoryWork

DAD = Caller(f"psn:{FATHER}", FATHER, frozenset({"citizen"}))
MUM = Caller(f"psn:{MOTHER}", MOTHER, frozenset({"citizen"}))
KID = Caller(f"psn:{CHILD}", CHILD, frozenset({"citizen"}))
WANG = Caller("clerk:wang", None, frozenset({"handler"}))
S = ApplicationState
NEXT_PLEDGES = Pledges({"2025.1": PLEDGE, "2026.1": Pledge.of("2026.1", "承诺书")}, "2026.1")
DAY = timedelta(days=1)


class Desk:
    """The use cases on the fake."""

    def __init__(self, work: MemoryWork[MemoryRepository], policy: Policy | None = None) -> None:
        self.work, self.state = work, work.repository
        self.state.known_persons |= family()
        self.clock = FixedClock(NOON)
        self.policy = policy or Policy()
        self.applications = Applications(work, self.clock, self.policy, PLEDGES, Promise())
        self.proofs = Proofs(work, self.clock, ring(), self.policy, unexamined)

    async def draft(self, beneficiary: str = CHILD, **changes: Any) -> UUID:
        return (await self.applications.create(DAD, FATHER, beneficiary, asked(**changes))).application_id

    async def for_wife(self) -> UUID:
        return await self.draft(MOTHER, relationship=Relationship.SPOUSE)

    def have(self, state: ApplicationState, **changes: Any) -> UUID:
        it = application(state=state, **changes)
        self.state.applications[it.application_id] = it
        return it.application_id

    def now(self, application_id: UUID) -> Application:
        return self.state.applications[application_id]

    def told(self) -> list[tuple[str, int]]:
        return [(row.type.rpartition(".")[2], row.sequence or 0) for row in self.state.outbox.rows]

    def done(self, application_id: UUID) -> list[ChangeKind]:
        return [entry.mark.what for entry in self.state.histories[AggregateKind.APPLICATION, application_id]]


@pytest.fixture
def desk(memory_work: MemoryWork[MemoryRepository]) -> Desk:
    return Desk(memory_work)


# changing


@pytest.mark.parametrize("state", [S.DRAFT, S.RETURNED])
async def test_a_draft_or_a_returned_application_asks_for_something_else(desk: Desk, state: ApplicationState) -> None:
    application_id = desk.have(state)
    wanted = asked(limits=Limits(day_fen=5), valid_from=TODAY, valid_to=TODAY, priority=4)
    changed = await desk.applications.update(DAD, application_id, wanted)
    assert desk.now(application_id) == changed
    assert (changed.state, changed.limits, changed.priority) == (state, Limits(day_fen=5), 4)
    assert (changed.valid_from, changed.valid_to) == (TODAY, TODAY)
    assert desk.done(application_id) == [ChangeKind.UPDATED]
    await desk.applications.update(DAD, application_id, wanted)
    assert desk.done(application_id) == [ChangeKind.UPDATED]


@pytest.mark.parametrize("state", [S.SUBMITTED, S.CLAIMED, S.APPROVED, S.REJECTED, S.WITHDRAWN, S.EXPIRED])
async def test_what_was_handed_in_or_is_over_is_not_changed(desk: Desk, state: ApplicationState) -> None:
    application_id = desk.have(state)
    with pytest.raises(StateForbids):
        await desk.applications.update(DAD, application_id, asked(priority=9))
    with pytest.raises(StateForbids):
        await desk.proofs.remove(DAD, application_id, named("p"))


async def test_only_the_payer_changes_removes_and_takes_back(desk: Desk) -> None:
    application_id = await desk.for_wife()
    for caller in (MUM, KID, WANG):
        with pytest.raises(Forbidden):
            await desk.applications.update(caller, application_id, asked())
        with pytest.raises(Forbidden):
            await desk.applications.withdraw(caller, application_id, "")
        with pytest.raises(Forbidden):
            await desk.proofs.remove(caller, application_id, named("p"))
    with pytest.raises(NotFound):
        await desk.applications.update(DAD, uuid7(), asked())


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"valid_to": TODAY - DAY}, InvalidFields),
        ({"valid_from": date(2025, 7, 2), "valid_to": date(2025, 7, 1)}, InvalidFields),
        ({"pledge_version": "2024.1"}, PledgeNotCurrent),
        ({"relationship": Relationship.SIBLING}, RelationshipNotAllowed),
    ],
)
async def test_what_cannot_be_asked_for_is_refused_at_once(
    desk: Desk, wrong: dict[str, Any], refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        await desk.draft(**wrong)
    application_id = await desk.draft()
    with pytest.raises(refusal):
        await desk.applications.update(DAD, application_id, asked(**wrong))
    assert desk.done(application_id) == [ChangeKind.CREATED]
    assert len(desk.state.applications) == 1


async def test_another_relationship_takes_the_consent_away(desk: Desk) -> None:
    application_id = await desk.for_wife()
    await desk.applications.consent(MUM, application_id, signed(application_id))
    await desk.applications.update(DAD, application_id, asked(relationship=Relationship.SPOUSE, priority=2))
    assert desk.now(application_id).consented_at == NOON
    await desk.applications.update(DAD, application_id, asked(relationship=Relationship.PARENT))
    assert desk.now(application_id).consented_at is None
    assert len(desk.state.consents) == 1
    await desk.applications.consent(MUM, application_id, signed(application_id))
    assert len(desk.state.consents) == 2


# the pledge


def test_a_chinese_pledge_ships() -> None:
    assert PLEDGE.version == "2025.1"
    assert "家庭共济承诺书" in PLEDGE.text
    with pytest.raises(PledgeMissingError):
        shipped("1999.9")


def test_an_unknown_version_is_not_found(desk: Desk) -> None:
    assert desk.applications.pledge("") == desk.applications.pledge("2025.1") == PLEDGE
    with pytest.raises(NotFound):
        desk.applications.pledge("2024.1")


async def test_an_application_records_the_pledge_and_is_handed_in_under_the_one_in_force(desk: Desk) -> None:
    application_id = await desk.draft()
    assert desk.now(application_id).pledge_sha256 == PLEDGE.sha256
    await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, png_file())
    later = Applications(desk.work, desk.clock, Policy(), NEXT_PLEDGES, Promise())
    with pytest.raises(PledgeNotCurrent) as refused:
        await later.submit(DAD, application_id)
    assert refused.value.metadata == {"pledge_version": "2026.1"}
    await later.update(DAD, application_id, asked(pledge_version="2026.1"))
    assert (await later.submit(DAD, application_id)).pledge_sha256 == NEXT_PLEDGES.current.sha256


async def test_a_new_pledge_has_to_be_consented_to_anew(desk: Desk) -> None:
    application_id = await desk.for_wife()
    await desk.applications.consent(MUM, application_id, signed(application_id))
    later = Applications(desk.work, desk.clock, Policy(), NEXT_PLEDGES, Promise())
    changed = await later.update(DAD, application_id, asked(relationship=Relationship.SPOUSE, pledge_version="2026.1"))
    assert changed.consented_at is None
    with pytest.raises(ConsentUnsigned):
        await later.consent(MUM, application_id, signed(application_id))
    await later.consent(MUM, application_id, signed(application_id, NEXT_PLEDGES.current.sha256))


# consent


async def test_a_consent_is_kept_with_its_evidence_and_told_once(desk: Desk) -> None:
    application_id = await desk.for_wife()
    first = signed(application_id)
    await desk.applications.consent(MUM, application_id, first)
    await desk.applications.consent(MUM, application_id, signed(application_id))
    (kept,) = desk.state.consents
    assert (kept.application_id, kept.psn_no, kept.pledge_sha256) == (application_id, MOTHER, PLEDGE.sha256)
    assert (kept.given_at, kept.issuer, kept.jti, kept.assertion) == (
        NOON,
        first.issuer,
        first.jti,
        first.assertion,
    )
    assert desk.told() == [("ApplicationConsented", 1)]


# proofs


async def test_a_removed_proof_is_gone_with_its_bytes(desk: Desk) -> None:
    application_id = await desk.draft()
    first = await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, png_file())
    second = await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, pdf_file())
    changed = await desk.proofs.remove(DAD, application_id, first.proof_id)
    assert changed.proofs == desk.now(application_id).proofs == (second,)
    assert set(desk.state.contents) == {second.proof_id}
    assert await desk.proofs.remove(DAD, application_id, first.proof_id) == desk.now(application_id)
    assert desk.done(application_id)[1:] == [ChangeKind.PROOF_ADDED] * 2 + [ChangeKind.PROOF_REMOVED]
    await desk.proofs.remove(DAD, application_id, second.proof_id)
    with pytest.raises(ProofMissing):
        await desk.applications.submit(DAD, application_id)


# taking back


@pytest.mark.parametrize("state", [S.DRAFT, S.RETURNED, S.SUBMITTED, S.CLAIMED])
async def test_what_is_not_decided_is_taken_back_and_told_once(desk: Desk, state: ApplicationState) -> None:
    application_id = desk.have(state, sequence=3)
    for _ in range(2):
        withdrawn = await desk.applications.withdraw(DAD, application_id, "不需要了")
        assert withdrawn.state is S.WITHDRAWN
    assert desk.told() == [("ApplicationWithdrawn", 4)]
    (entry,) = desk.state.histories[AggregateKind.APPLICATION, application_id]
    assert (entry.mark.what, entry.mark.why) == (ChangeKind.WITHDRAWN, "不需要了")
    with pytest.raises(StateForbids):
        await desk.applications.submit(DAD, application_id)


@pytest.mark.parametrize("state", [S.APPROVED, S.REJECTED, S.EXPIRED])
async def test_what_is_decided_or_over_is_not_taken_back(desk: Desk, state: ApplicationState) -> None:
    with pytest.raises(StateForbids):
        await desk.applications.withdraw(DAD, desk.have(state), "")
    assert desk.told() == []


async def test_after_taking_it_back_the_pair_may_apply_again(desk: Desk) -> None:
    first = desk.have(S.SUBMITTED, submitted_at=NOON)
    second = await desk.draft()
    await desk.proofs.add(DAD, second, ProofKind.BIRTH_CERTIFICATE, png_file())
    await desk.applications.withdraw(DAD, first, "")
    assert (await desk.applications.submit(DAD, second)).state is S.SUBMITTED


# by time


async def test_drafts_end_after_thirty_days_and_are_told_once(desk: Desk) -> None:
    old, returned = await desk.draft(), desk.have(S.RETURNED, decided_at=NOON, created_at=NOON - 60 * DAY)
    young = desk.have(S.DRAFT, created_at=NOON + timedelta(seconds=1))
    waiting = desk.have(S.SUBMITTED, created_at=NOON - 90 * DAY)
    just_before = NOON + 30 * DAY - timedelta(microseconds=1)
    assert await desk.applications.expire_drafts(just_before, 10) == 0
    at_last = NOON + 30 * DAY
    assert await desk.applications.expire_drafts(at_last, 1) == 1
    assert await desk.applications.expire_drafts(at_last, 10) == 1
    assert await desk.applications.expire_drafts(at_last, 10) == 0
    assert [desk.now(it).state for it in (old, returned, young, waiting)] == [
        S.EXPIRED,
        S.EXPIRED,
        S.DRAFT,
        S.SUBMITTED,
    ]
    assert desk.told() == [("ApplicationExpired", 1)] * 2
    assert desk.done(old) == [ChangeKind.CREATED, ChangeKind.EXPIRED]


async def test_what_ran_out_takes_no_step_even_before_that_is_recorded(desk: Desk) -> None:
    application_id = await desk.for_wife()
    desk.clock.advance(30 * DAY)
    steps = (
        desk.applications.update(DAD, application_id, asked(valid_to=date(2027, 1, 1))),
        desk.applications.consent(MUM, application_id, signed(application_id)),
        desk.applications.submit(DAD, application_id),
        desk.applications.withdraw(DAD, application_id, ""),
        desk.proofs.expect(DAD, application_id),
        desk.proofs.add(DAD, application_id, ProofKind.MARRIAGE_CERTIFICATE, png_file()),
        desk.proofs.remove(DAD, application_id, named("p")),
    )
    for step in steps:
        with pytest.raises(StateForbids) as refused:
            await step
        assert refused.value.metadata == {"state": "EXPIRED"}
    assert desk.done(application_id) == [ChangeKind.CREATED]


async def test_how_long_a_draft_lives_is_policy(memory_work: MemoryWork[MemoryRepository]) -> None:
    desk = Desk(memory_work, Policy(draft_life=DAY))
    await desk.draft()
    assert await desk.applications.expire_drafts(NOON + DAY, 10) == 1


# eligibility with what is on record


async def test_the_last_place_of_a_payer_is_taken_once(memory_work: MemoryWork[MemoryRepository]) -> None:
    desk = Desk(memory_work, Policy(max_relations_of_payer=1))
    made = relation(beneficiary_psn_no=MOTHER)
    desk.state.relations[made.relation_id] = made
    application_id = await desk.draft()
    await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, png_file())
    with pytest.raises(TooManyRelations):
        await desk.applications.submit(DAD, application_id)
    desk.state.relations[made.relation_id] = replace(made, valid_to=TODAY - DAY)
    assert (await desk.applications.submit(DAD, application_id)).state is S.SUBMITTED


# listing


async def test_one_lists_ones_own_as_payer_and_as_beneficiary_newest_first(desk: Desk) -> None:
    drafts = []
    for beneficiary in (CHILD, MOTHER, CHILD):
        desk.clock.advance(timedelta(minutes=1))
        drafts.append(await desk.draft(beneficiary, relationship=Relationship.SPOUSE))
    desk.have(S.DRAFT, payer_psn_no="P1", beneficiary_psn_no="P2")

    async def ids(caller: Caller, psn_no: str, after: Place | None = None, limit: int = 10) -> list[UUID]:
        return [it.application_id for it in await desk.applications.list(caller, psn_no, after, limit)]

    assert await ids(DAD, FATHER) == drafts[::-1]
    assert await ids(KID, CHILD) == [drafts[2], drafts[0]]
    assert await ids(WANG, MOTHER) == [drafts[1]]
    place = Place(desk.now(drafts[2]).created_at, drafts[2])
    assert await ids(DAD, FATHER, place, 1) == [drafts[1]]
    for caller in (MUM, KID):
        with pytest.raises(Forbidden):
            await ids(caller, FATHER)
