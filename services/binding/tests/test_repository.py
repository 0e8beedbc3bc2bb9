"""The contract of the repository, the same tests against the fake and PostgreSQL: applications, persons, relations."""

from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text

from binding.domain.applications import Application, ApplicationState, Consent, Proof, ProofKind
from binding.domain.eligibility import RelationExists
from binding.domain.history import AggregateKind, ChangeKind, Mark, ProofView, Who, change_of, note_of
from binding.domain.limits import Limits
from binding.domain.relations import EndCause, Relationship, RelationState
from binding.memory import MemoryRepository
from binding.repository import Corrected, Place, PostgresRepository, Repository, Verified
from binding.testing import (
    CHILD,
    FATHER,
    GRANDMA,
    MOTHER,
    NOON,
    PLEDGE,
    TODAY,
    application,
    enrolment,
    have_relations,
    relation,
)
from kit.db import Database, PostgresWork, Work
from kit.ids import uuid7
from kit.testing import MemoryWork

MARK = Mark(ChangeKind.CREATED, Who(f"psn:{FATHER}", "citizen"), NOON)


async def submitted(work: Work[Repository], *drafts: Application) -> None:
    async with work() as repository:
        for it in drafts:
            await repository.add_application(replace(it, state=ApplicationState.DRAFT))
            await repository.save_application(it)


class RepositoryContract:
    """What every repository does."""

    @pytest.fixture
    def work(self) -> Work[Repository]:
        raise AssertionError("each suite names its own")

    async def consents_of(self, work: Work[Repository], application_id: UUID) -> list[str]:
        """The jti of each consent that was kept; nothing but an auditor's own query reads them."""
        raise AssertionError(f"each suite looks for {application_id} in its own way: {work}")

    # applications

    async def test_an_application_comes_back_as_it_was_stored(self, work: Work[Repository]) -> None:
        draft = application(limits=Limits(1, 2, 3, 4, 5), valid_from=date(2025, 7, 1), priority=3)
        async with work() as repository:
            await repository.add_application(draft)
        async with work() as repository:
            assert await repository.application(draft.application_id, lock=True) == draft

    async def test_what_steps_change_comes_back(self, work: Work[Repository]) -> None:
        draft = application()
        decided = replace(
            draft,
            state=ApplicationState.RETURNED,
            consented_at=NOON,
            submitted_at=NOON,
            region="652701",
            due_on=TODAY,
            handler="clerk:a",
            handlers=("clerk:z", "clerk:a"),
            claim_expires_at=NOON,
            handled_at=NOON,
            decider="clerk:b",
            decision_reason="不清楚",
            decision_reason_code="PROOF_UNREADABLE",
            decided_at=NOON,
            sequence=2,
        )
        await submitted(work, decided)
        async with work() as repository:
            assert await repository.application(draft.application_id) == decided

    async def test_an_unknown_application_is_none(self, work: Work[Repository]) -> None:
        async with work() as repository:
            assert await repository.application(uuid7()) is None

    async def test_only_one_application_of_a_pair_waits(self, work: Work[Repository]) -> None:
        first = application(state=ApplicationState.CLAIMED, submitted_at=NOON)
        await submitted(work, first)
        with pytest.raises(RelationExists):
            await submitted(work, application(state=ApplicationState.SUBMITTED, submitted_at=NOON))
        async with work() as repository:
            assert await repository.pending_application(FATHER, CHILD) == first.application_id
            assert await repository.pending_application(CHILD, FATHER) is None

    async def test_the_same_proof_again_is_the_same(self, work: Work[Repository]) -> None:
        draft = application()
        proof = Proof(uuid7(), ProofKind.BIRTH_CERTIFICATE, "image/png", "a" * 64, 5)
        other_kind = replace(proof, proof_id=uuid7(), kind=ProofKind.HOUSEHOLD_REGISTER)
        async with work() as repository:
            await repository.add_application(draft)
            stored = await repository.add_proof(draft.application_id, proof, b"sealed")
            again = await repository.add_proof(draft.application_id, replace(proof, proof_id=uuid7()), b"sealed anew")
            await repository.add_proof(draft.application_id, other_kind, b"sealed")
        assert stored == again == proof
        async with work() as repository:
            found = await repository.application(draft.application_id)
        assert found
        assert set(found.proofs) == {proof, other_kind}

    async def test_what_is_asked_for_may_change_and_comes_back(self, work: Work[Repository]) -> None:
        draft = application()
        changed = replace(
            draft,
            relationship=Relationship.GRANDPARENT,
            limits=Limits(day_fen=1),
            valid_from=TODAY,
            valid_to=TODAY,
            priority=9,
            pledge_version="2026.1",
            pledge_sha256="a" * 64,
        )
        async with work() as repository:
            await repository.add_application(draft)
            await repository.save_application(changed)
        async with work() as repository:
            assert await repository.application(draft.application_id) == changed

    @pytest.mark.parametrize("state", [ApplicationState.WITHDRAWN, ApplicationState.EXPIRED])
    async def test_every_end_is_kept(self, work: Work[Repository], state: ApplicationState) -> None:
        draft = application()
        async with work() as repository:
            await repository.add_application(draft)
            await repository.save_application(replace(draft, state=state))
        async with work() as repository:
            assert await repository.application(draft.application_id) == replace(draft, state=state)

    async def test_a_removed_proof_is_gone(self, work: Work[Repository]) -> None:
        draft = application()
        proof = Proof(uuid7(), ProofKind.BIRTH_CERTIFICATE, "image/png", "a" * 64, 5)
        other = replace(proof, proof_id=uuid7(), sha256="b" * 64)
        async with work() as repository:
            await repository.add_application(draft)
            for it in (proof, other):
                await repository.add_proof(draft.application_id, it, b"sealed")
            await repository.remove_proof(uuid7(), other.proof_id)  # not of that application
            await repository.remove_proof(draft.application_id, proof.proof_id)
        async with work() as repository:
            found = await repository.application(draft.application_id)
        assert found
        assert found.proofs == (other,)

    async def test_a_proofs_bytes_and_the_looks_at_it_come_back(self, work: Work[Repository]) -> None:
        draft = application()
        proof = Proof(uuid7(), ProofKind.BIRTH_CERTIFICATE, "image/png", "a" * 64, 5, "b" * 64)
        views = [
            ProofView(uuid7(), draft.application_id, proof.proof_id, NOON + timedelta(minutes=n // 2), MARK.who)
            for n in range(4)
        ]
        async with work() as repository:
            await repository.add_application(draft)
            assert await repository.add_proof(draft.application_id, proof, b"sealed") == proof
            for view in views:
                await repository.add_proof_view(view)
        async with work() as repository:
            assert await repository.proof_content(draft.application_id, proof.proof_id) == b"sealed"
            assert await repository.proof_content(uuid7(), proof.proof_id) is None
            first = await repository.proof_views(draft.application_id, None, 3)
            rest = await repository.proof_views(draft.application_id, Place(first[-1].at, first[-1].view_id), 3)
            assert await repository.proof_views(uuid7(), None, 3) == []
        assert first + rest == sorted(views, key=lambda view: (view.at, view.view_id), reverse=True)

    async def test_saving_an_application_leaves_its_proofs(self, work: Work[Repository]) -> None:
        draft = application()
        proof = Proof(uuid7(), ProofKind.BIRTH_CERTIFICATE, "image/png", "a" * 64, 5)
        async with work() as repository:
            await repository.add_application(draft)
            await repository.add_proof(draft.application_id, proof, b"sealed")
            await repository.save_application(replace(draft, priority=3))
        async with work() as repository:
            found = await repository.application(draft.application_id)
        assert found
        assert (found.proofs, found.priority) == ((proof,), 3)

    async def test_a_persons_applications_are_told_newest_first_by_pages(self, work: Work[Repository]) -> None:
        made = [
            application(
                payer_psn_no=FATHER if number % 2 else GRANDMA,
                beneficiary_psn_no=CHILD if number % 2 else FATHER,
                created_at=NOON + timedelta(days=number // 2),
            )
            for number in range(5)
        ]
        async with work() as repository:
            for it in (*made, application(payer_psn_no=GRANDMA, beneficiary_psn_no=MOTHER)):
                await repository.add_application(it)
        async with work() as repository:
            first = await repository.applications_of_person(FATHER, None, 3)
            rest = await repository.applications_of_person(
                FATHER, Place(first[-1].created_at, first[-1].application_id), 3
            )
        assert first + rest == sorted(made, key=lambda it: (it.created_at, it.application_id), reverse=True)

    async def test_what_lapsed_is_found_the_oldest_first(self, work: Work[Repository]) -> None:
        old = application(created_at=NOON - timedelta(days=3))
        returned = application(
            created_at=NOON - timedelta(days=9), state=ApplicationState.RETURNED, decided_at=NOON - timedelta(days=1)
        )
        at_last = application(created_at=NOON)
        young = application(created_at=NOON + timedelta(microseconds=1))
        waiting = application(created_at=NOON - timedelta(days=9), state=ApplicationState.SUBMITTED, submitted_at=NOON)
        await submitted(work, young, at_last, returned, waiting, old)
        async with work() as repository:
            assert await repository.lock_lapsed_applications(NOON, 2) == [old, returned]
            assert await repository.lock_lapsed_applications(NOON, 9) == [old, returned, at_last]

    async def test_consents_are_kept(self, work: Work[Repository]) -> None:
        draft = application()
        async with work() as repository:
            await repository.add_application(draft)
            for jti in ("a", "b"):
                consent = Consent(draft.application_id, MOTHER, PLEDGE.sha256, NOON, "gongji-portal", jti, "a.b.c")
                await repository.add_consent(consent)
        assert await self.consents_of(work, draft.application_id) == ["a", "b"]

    # persons

    async def test_facts_of_persons_come_in_any_order_and_more_than_once(self, work: Work[Repository]) -> None:
        early, late = enrolment(sequence=3), enrolment(sequence=4, arrears=True, valid_to=date(2025, 12, 31))
        for _ in range(2):
            async with work() as repository:
                await repository.record_deaths([(FATHER, TODAY)])
                await repository.record_enrolments([(FATHER, late), (MOTHER, early), (FATHER, early)])
                await repository.record_verified([Verified(FATHER, date(1985, 3, 2), NOON)])
        async with work() as repository:
            found = await repository.persons([FATHER, MOTHER, CHILD], lock=True)
        assert set(found) == {FATHER, MOTHER}
        assert found[FATHER].enrolments == (early, late)
        assert found[FATHER].brdy == date(1985, 3, 2)
        assert found[FATHER].died_on == TODAY
        assert found[MOTHER].brdy is None

    async def test_what_is_known_of_birth_and_death_stays(self, work: Work[Repository]) -> None:
        async with work() as repository:
            await repository.record_verified([Verified(FATHER, date(1985, 3, 2), NOON)])
            await repository.record_deaths([(FATHER, TODAY)])
        async with work() as repository:
            await repository.record_verified([Verified(FATHER, date(1999, 9, 9), NOON)])
            await repository.record_deaths([(FATHER, date(2024, 1, 1))])
        async with work() as repository:
            found = (await repository.persons([FATHER]))[FATHER]
        assert (found.brdy, found.died_on) == (date(1985, 3, 2), TODAY)

    async def test_the_newest_corrected_birth_date_counts_whatever_comes_first(self, work: Work[Repository]) -> None:
        first, second = Corrected(FATHER, date(1985, 3, 3), 4), Corrected(FATHER, date(1985, 3, 4), 6)
        for rows in ([second], [first], [first, second]):
            async with work() as repository:
                await repository.record_corrected(rows)
                await repository.record_verified([Verified(FATHER, date(1985, 3, 2), NOON)])
            async with work() as repository:
                assert (await repository.persons([FATHER]))[FATHER].brdy == date(1985, 3, 4)
        async with work() as repository:
            await repository.record_verified([Verified(MOTHER, date(1986, 1, 1), NOON)])
            await repository.record_corrected([Corrected(MOTHER, date(1986, 1, 2), 3), Corrected(MOTHER, TODAY, 2)])
            assert (await repository.persons([MOTHER]))[MOTHER].brdy == date(1986, 1, 2)

    # relations

    async def test_a_relation_comes_back_as_it_was_stored(self, work: Work[Repository]) -> None:
        made = relation(limits=Limits(5, 4, 3, 2, 1), priority=7, sequence=1)
        await have_relations(work, made)
        async with work() as repository:
            assert await repository.relation(made.relation_id, lock=True) == made
            assert await repository.relation(uuid7()) is None

    async def test_what_changes_in_a_relation_comes_back(self, work: Work[Repository]) -> None:
        made = relation()
        ended = replace(
            made,
            state=RelationState.ENDED,
            end_cause=EndCause.UNBOUND,
            ended_at=NOON,
            state_reason="moved",
            limits=Limits(day_fen=9),
            sequence=4,
        )
        await have_relations(work, made)
        async with work() as repository:
            await repository.save_relation(ended)
        async with work() as repository:
            assert await repository.relation(made.relation_id) == ended

    async def test_a_pair_has_one_relation_that_has_not_ended(self, work: Work[Repository]) -> None:
        await have_relations(work, relation("first"))
        with pytest.raises(RelationExists):
            await have_relations(work, relation("second"))
        await have_relations(work, relation("of mother", payer_psn_no=MOTHER))

    async def test_relations_are_told_newest_first_by_pages(self, work: Work[Repository]) -> None:
        made = [
            relation(
                f"r{number}",
                payer_psn_no=FATHER if number % 2 else GRANDMA,
                beneficiary_psn_no=f"B{number}" if number % 2 else FATHER,
                state=RelationState.ENDED,
                end_cause=EndCause.UNBOUND,
                ended_at=NOON,
                approved_at=NOON + timedelta(days=number),
            )
            for number in range(5)
        ]
        await have_relations(work, *made, relation("others", payer_psn_no=GRANDMA, beneficiary_psn_no=MOTHER))
        async with work() as repository:
            first = await repository.relations_of_person(FATHER, None, 3)
            place = Place(first[-1].approved_at, first[-1].relation_id)
            rest = await repository.relations_of_person(FATHER, place, 3)
        assert first + rest == list(reversed(made))

    async def test_what_is_on_record_of_two_persons_is_found_on_both_sides(self, work: Work[Repository]) -> None:
        as_payer, as_beneficiary = relation("a"), relation("b", payer_psn_no=GRANDMA, beneficiary_psn_no=FATHER)
        gone = relation(
            "c", beneficiary_psn_no=MOTHER, state=RelationState.ENDED, end_cause=EndCause.UNBOUND, ended_at=NOON
        )
        others = relation("d", payer_psn_no="P8", beneficiary_psn_no="P9", relationship=Relationship.SIBLING)
        await have_relations(work, as_payer, as_beneficiary, gone, others)
        async with work() as repository:
            found = await repository.relations_on_record([FATHER, CHILD])
            assert await repository.relations_on_record(["P9"]) == [others]
        assert found == sorted([as_payer, as_beneficiary, gone], key=lambda it: it.relation_id)

    async def test_relations_of_the_dead_are_found_on_both_sides(self, work: Work[Repository]) -> None:
        as_payer, as_beneficiary = relation("a"), relation("b", payer_psn_no=GRANDMA, beneficiary_psn_no=FATHER)
        gone = relation(
            "c", beneficiary_psn_no=MOTHER, state=RelationState.ENDED, end_cause=EndCause.UNBOUND, ended_at=NOON
        )
        others = relation("d", payer_psn_no=GRANDMA, beneficiary_psn_no=MOTHER)
        await have_relations(work, as_payer, as_beneficiary, gone, others)
        async with work() as repository:
            found = await repository.lock_unended_relations([FATHER])
            assert await repository.relations_of_beneficiary(CHILD) == [as_payer]
        assert found == sorted([as_payer, as_beneficiary], key=lambda it: it.relation_id)

    # histories

    async def test_a_history_counts_its_rows_from_one_and_is_told_by_pages(self, work: Work[Repository]) -> None:
        first, second = application(), application()
        changes = [
            change_of(None, first, MARK),
            change_of(None, second, MARK),
            change_of(first, replace(first, decision_reason="不清楚", valid_from=TODAY), replace(MARK, why="不清楚")),
            note_of(first, replace(MARK, what=ChangeKind.PROOF_VIEWED), proof_id="x"),
        ]
        async with work() as repository:
            await repository.add_history(changes[:1])
            await repository.add_history(changes[1:])
        async with work() as repository:
            page = await repository.history(AggregateKind.APPLICATION, first.application_id, 0, 2)
            rest = await repository.history(AggregateKind.APPLICATION, first.application_id, 2, 2)
            others = await repository.history(AggregateKind.APPLICATION, second.application_id, 0, 9)
            none = await repository.history(AggregateKind.RELATION, first.application_id, 0, 9)
        assert [entry.position for entry in page + rest] == [1, 2, 3]
        assert [(entry.mark, entry.before, entry.after) for entry in page + rest] == [
            (change.mark, change.before, change.after) for change in changes if change is not changes[1]
        ]
        assert [entry.position for entry in others] == [1]
        assert none == []

    async def test_the_inbox_and_the_outbox_are_of_the_same_unit_of_work(self, work: Work[Repository]) -> None:
        event_id = uuid7()
        async with work() as repository:
            assert await repository.inbox.first_time("binding", [event_id]) == {event_id}
        async with work() as repository:
            assert await repository.inbox.first_time("binding", [event_id]) == set()


class TestMemory(RepositoryContract):
    @pytest.fixture
    def work(self, memory_work: MemoryWork[MemoryRepository]) -> Work[Repository]:
        return memory_work

    async def consents_of(self, work: Work[Repository], application_id: UUID) -> list[str]:
        async with work() as repository:
            assert isinstance(repository, MemoryRepository)
            return sorted(it.jti for it in repository.consents if it.application_id == application_id)


class TestPostgres(RepositoryContract):
    @pytest.fixture
    def work(self, postgres_work: PostgresWork[PostgresRepository]) -> Work[Repository]:
        return postgres_work

    async def consents_of(self, work: Work[Repository], application_id: UUID) -> list[str]:
        async with work() as repository:
            assert isinstance(repository, PostgresRepository)
            query = text("SELECT jti FROM consent WHERE application_id = :id ORDER BY jti")
            return [row.jti for row in await repository._sql.execute(query, {"id": application_id})]

    async def test_what_another_has_in_hand_is_not_ended_twice(
        self, postgres_work: PostgresWork[PostgresRepository]
    ) -> None:
        drafts = [application() for _ in range(3)]
        await submitted(postgres_work, *drafts)
        async with postgres_work() as one, postgres_work() as two:
            taken = await one.lock_lapsed_applications(NOON, 2)
            left = await two.lock_lapsed_applications(NOON, 9)
        assert len(taken) == 2
        assert sorted(it.application_id for it in taken + left) == sorted(it.application_id for it in drafts)

    @pytest.mark.parametrize("statement", ["UPDATE consent SET jti = ''", "DELETE FROM consent"])
    async def test_a_consent_stays_as_it_was_given(
        self, work: Work[Repository], database: Database, statement: str
    ) -> None:
        draft = application()
        async with work() as repository:
            await repository.add_application(draft)
            await repository.add_consent(
                Consent(draft.application_id, MOTHER, PLEDGE.sha256, NOON, "gongji-portal", "a", "a.b.c")
            )
        with pytest.raises(asyncpg.RestrictViolationError):
            async with database.transaction() as transaction:
                await transaction.raw.execute(statement)

    @pytest.mark.parametrize("statement", ["UPDATE history SET why = ''", "DELETE FROM history", "TRUNCATE history"])
    async def test_a_history_stays_as_it_was_written(
        self, work: Work[Repository], database: Database, statement: str
    ) -> None:
        async with work() as repository:
            await repository.add_history([change_of(None, application(), MARK)])
        with pytest.raises(asyncpg.RestrictViolationError):
            async with database.transaction() as transaction:
                await transaction.raw.execute(statement)
