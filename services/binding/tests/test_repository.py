"""The contract of the repository: the same tests against the fake and against PostgreSQL."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from binding.domain.applications import Application, ApplicationState, Proof, ProofKind
from binding.domain.authorizations import AuthorizationState, Outcome, change_of_charges, grants_of
from binding.domain.batch import Answer, Request, apply_all, authorize_all, preview_all
from binding.domain.eligibility import RelationExists
from binding.domain.limits import COUNTED_WINDOWS, Limits, LimitWindow, Use, counter_keys
from binding.domain.relations import EndCause, Relation, RelationState
from binding.memory import MemoryRepository
from binding.repository import GuardBroken, Place, PostgresRepository, Repository, Verified
from binding.testing import (
    CHILD,
    FATHER,
    GRANDMA,
    MOTHER,
    NOON,
    TODAY,
    application,
    captured,
    enrolment,
    named,
    relation,
    released,
    request,
    restored,
    trimmed,
)
from kit.db import PostgresWork, Work
from kit.ids import uuid7
from kit.testing import MemoryWork

HASH = b"h" * 32


async def have_relations(work: Work[Repository], *relations: Relation) -> None:
    async with work() as repository:
        for it in relations:
            draft = application(
                application_id=it.application_id, payer_psn_no=it.payer_psn_no, beneficiary_psn_no=it.beneficiary_psn_no
            )
            await repository.create_application(draft, uuid7(), HASH)
            await repository.add_relation(it)


async def authorize(work: Work[Repository], *requests: Request) -> list[Answer]:
    async with work() as repository:
        book = await repository.open_book(requests, [], hold=True)
        answers = authorize_all(requests, book)
        await repository.close_book(book)
    return answers


async def preview(work: Work[Repository], *requests: Request) -> list[Answer]:
    async with work() as repository:
        book = await repository.open_book(requests, [], hold=False)
        answers = preview_all(requests, book)
        await repository.close_book(book)
    return answers


async def apply(work: Work[Repository], *outcomes: Outcome) -> None:
    async with work() as repository:
        book = await repository.open_book([], outcomes, hold=False)
        apply_all(outcomes, book)
        await repository.close_book(book)


async def uses(work: Work[Repository], day: date = TODAY) -> list[Use]:
    keys = counter_keys(named("father-child"), day)
    async with work() as repository:
        found = await repository.uses(keys)
    return [found.get(key, Use()) for key in keys]


async def submitted(work: Work[Repository], *drafts: Application) -> None:
    async with work() as repository:
        for it in drafts:
            await repository.create_application(replace(it, state=ApplicationState.DRAFT), uuid7(), HASH)
            await repository.save_application(it)


class RepositoryContract:
    """What every repository does."""

    @pytest.fixture
    def work(self) -> Work[Repository]:
        raise AssertionError("each suite names its own")

    # applications

    async def test_an_application_comes_back_as_it_was_stored(self, work: Work[Repository]) -> None:
        draft = application(limits=Limits(1, 2, 3, 4, 5), valid_from=date(2025, 7, 1), priority=3)
        async with work() as repository:
            await repository.create_application(draft, uuid7(), HASH)
        async with work() as repository:
            assert await repository.application(draft.application_id, lock=True) == draft

    async def test_what_steps_change_comes_back(self, work: Work[Repository]) -> None:
        draft = application()
        decided = replace(
            draft,
            state=ApplicationState.RETURNED,
            consented_at=NOON,
            submitted_at=NOON,
            handler="clerk:a",
            decider="clerk:b",
            decision_reason="不清楚",
            decided_at=NOON,
            sequence=2,
        )
        await submitted(work, decided)
        async with work() as repository:
            assert await repository.application(draft.application_id) == decided

    async def test_an_unknown_application_is_none(self, work: Work[Repository]) -> None:
        async with work() as repository:
            assert await repository.application(uuid7()) is None

    async def test_a_request_id_makes_one_application_of_its_applicant(self, work: Work[Repository]) -> None:
        request_id, first, second = uuid7(), application(), application()
        other = application(applicant=f"psn:{MOTHER}")
        async with work() as repository:
            made = await repository.create_application(first, request_id, HASH)
            again = await repository.create_application(second, request_id, b"other")
            others = await repository.create_application(other, request_id, HASH)
        assert made == again
        assert made.body_hash == HASH
        assert others.application_id == other.application_id
        async with work() as repository:
            assert await repository.application(second.application_id) is None

    async def test_only_one_application_of_a_pair_waits(self, work: Work[Repository]) -> None:
        first = application(state=ApplicationState.CLAIMED, submitted_at=NOON)
        await submitted(work, first)
        with pytest.raises(RelationExists):
            await submitted(work, application(state=ApplicationState.SUBMITTED, submitted_at=NOON))
        async with work() as repository:
            assert await repository.pending_application(FATHER, CHILD) == first.application_id
            assert await repository.pending_application(CHILD, FATHER) is None

    async def test_the_queue_is_told_oldest_first_by_pages(self, work: Work[Repository]) -> None:
        waiting = [
            application(
                beneficiary_psn_no=f"B{number}",
                state=ApplicationState.SUBMITTED,
                submitted_at=NOON + timedelta(minutes=number // 2),
            )
            for number in range(5)
        ]
        await submitted(work, *reversed(waiting), application(state=ApplicationState.DRAFT))
        async with work() as repository:
            first = await repository.waiting_applications(None, 3)
            last = first[-1]
            assert last.submitted_at
            rest = await repository.waiting_applications(Place(last.submitted_at, last.application_id), 3)
        assert [it.application_id for it in first + rest] == [it.application_id for it in waiting]

    async def test_the_same_proof_again_is_the_same(self, work: Work[Repository]) -> None:
        draft = application()
        proof = Proof(uuid7(), ProofKind.BIRTH_CERTIFICATE, "image/png", "a" * 64, 5)
        other_kind = replace(proof, proof_id=uuid7(), kind=ProofKind.HOUSEHOLD_REGISTER)
        async with work() as repository:
            await repository.create_application(draft, uuid7(), HASH)
            stored = await repository.add_proof(draft.application_id, proof, b"sealed")
            again = await repository.add_proof(draft.application_id, replace(proof, proof_id=uuid7()), b"sealed anew")
            await repository.add_proof(draft.application_id, other_kind, b"sealed")
        assert stored == again == proof
        async with work() as repository:
            found = await repository.application(draft.application_id)
        assert found
        assert set(found.proofs) == {proof, other_kind}

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

    # authorizations

    async def test_a_hold_is_counted_in_every_window(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        (answer,) = await authorize(work, request("a", 3_000))
        assert [grant.granted_fen for grant in answer.grants] == [3_000]
        assert await uses(work) == [Use(0, 3_000)] * 4

    async def test_asking_again_repeats_the_answer_and_holds_nothing_more(self, work: Work[Repository]) -> None:
        await have_relations(
            work,
            relation(limits=Limits(day_fen=2_500, total_fen=9_999)),
            relation("m", payer_psn_no=MOTHER, priority=2, valid_to=date(2025, 6, 9)),
        )
        first = await authorize(work, request("a", 3_000))
        await authorize(work, request("b", 3_000))
        assert await authorize(work, request("a", 3_000)) == first
        assert await preview(work, request("a", 3_000)) == first
        assert [(grant.granted_fen, grant.reason, grant.window) for grant in first[0].grants] == [
            (2_500, "LIMIT_REACHED", LimitWindow.DAY),
            (0, "RELATION_EXPIRED", None),
        ]
        assert (await uses(work))[0] == Use(0, 2_500)

    async def test_a_preview_answers_the_same_and_holds_nothing(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(limits=Limits(total_fen=4_000)))
        shown = await preview(work, request("a", 5_000))
        assert await uses(work) == [Use()] * 4
        assert await authorize(work, request("a", 5_000)) == shown

    async def test_a_preview_applies_the_outcomes_that_come_along(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(limits=Limits(total_fen=4_000)))
        (answer,) = await preview(work, request("b", 5_000, captured("a", ("father-child", 1_500))))
        assert answer.grants[0].granted_fen == 2_500
        assert await uses(work) == [Use(1_500, 0)] * 4

    async def test_capturing_uses_what_was_paid_and_frees_the_rest(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        await authorize(work, request("a", 3_000))
        await apply(work, captured("a", ("father-child", 1_200)))
        assert await uses(work) == [Use(1_200, 0)] * 4

    async def test_restoring_gives_the_limit_back(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        await authorize(work, request("a", 3_000))
        lines = ("father-child", 3_000)
        await apply(work, captured("a", lines), restored("a", lines), captured("a", lines))
        assert await uses(work) == [Use()] * 4

    async def test_a_release_of_an_unknown_id_refuses_it_later(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        await apply(work, released("a"))
        assert await authorize(work, request("a")) == [Answer(named("a"), refusal="ABANDONED")]
        assert await preview(work, request("a")) == [Answer(named("a"), refusal="ABANDONED")]
        assert await uses(work) == [Use()] * 4

    async def test_an_outcome_before_its_authorize_counts_and_refuses_it(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        await apply(work, captured("a", ("father-child", 700)))
        assert (await authorize(work, request("a")))[0].refusal == "ABANDONED"
        assert await uses(work) == [Use(700, 0)] * 4

    async def test_a_trimmed_hold_keeps_what_the_preview_keeps(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        first = await authorize(work, request("a", 3_000))
        await apply(work, trimmed("a", ("father-child", 1_000)))
        assert await uses(work) == [Use(0, 1_000)] * 4
        assert await authorize(work, request("a", 3_000)) == first
        await apply(work, released("a"), trimmed("a", ("father-child", 1_000)))
        assert await uses(work) == [Use()] * 4

    async def test_inline_outcomes_make_room_in_the_same_transaction(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(limits=Limits(total_fen=1_000)))
        await authorize(work, request("a", 1_000))
        (answer,) = await authorize(work, request("b", 1_000, released("a")))
        assert answer.grants[0].granted_fen == 1_000
        assert await uses(work) == [Use(0, 1_000)] * 4

    async def test_outcomes_of_unknown_relations_are_told_and_counted_nowhere(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        outcome = captured("a", ("nobody", 1_000), ("father-child", 500))
        async with work() as repository:
            book = await repository.open_book([], [outcome], hold=False)
            apply_all([outcome], book)
            await repository.close_book(book)
        assert book.unknown_relations == {named("nobody")}
        assert await uses(work) == [Use(500, 0)] * 4

    async def test_a_batch_answers_each_in_its_place(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(), relation("of mother", payer_psn_no=FATHER, beneficiary_psn_no=MOTHER))
        await apply(work, released("x"))
        requests = [
            request("x"),
            request("a", 100, beneficiary_psn_no=MOTHER),
            request("b", 100, beneficiary_psn_no=GRANDMA),
            request("c", 200),
        ]
        answers = await authorize(work, *requests)
        assert [answer.authorization_id for answer in answers] == [it.authorization_id for it in requests]
        assert [answer.refusal for answer in answers] == ["ABANDONED", None, None, None]
        assert [[grant.granted_fen for grant in answer.grants] for answer in answers] == [[], [100], [], [200]]

    async def test_windows_are_those_of_the_time_of_the_bill(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        before_midnight = datetime(2025, 6, 30, 15, 59, tzinfo=UTC)
        await authorize(work, request("a", 500, occurred_at=before_midnight))
        await authorize(work, request("b", 70, occurred_at=before_midnight + timedelta(minutes=1)))
        assert await uses(work, day=date(2025, 6, 30)) == [Use(0, 500), Use(0, 500), Use(0, 570), Use(0, 570)]
        assert await uses(work, day=date(2025, 7, 1)) == [Use(0, 70), Use(0, 70), Use(0, 570), Use(0, 570)]

    async def test_the_guard_refuses_what_the_rules_should_never_have_granted(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(limits=Limits(month_fen=1_000)))
        await authorize(work, request("a", 600))
        with pytest.raises(GuardBroken):
            await self._hold_blindly(work, request("b", 401))
        await self._hold_blindly(work, request("c", 400))
        assert await uses(work) == [Use(0, 1_000)] * 4

    async def _hold_blindly(self, work: Work[Repository], it: Request) -> None:
        async with work() as repository:
            book = await repository.open_book([it], [], hold=True)
            book.uses.clear()  # as if what others hold had not been seen
            authorize_all([it], book)
            await repository.close_book(book)

    async def test_what_is_refused_by_the_guard_leaves_no_trace(self, work: Work[Repository]) -> None:
        await have_relations(work, relation(limits=Limits(total_fen=1_000)))
        await authorize(work, request("a", 1_000))
        with pytest.raises(GuardBroken):
            await self._hold_blindly(work, request("b", 1))
        (answer,) = await authorize(work, request("b", 1))
        assert answer.grants[0].granted_fen == 0

    async def test_the_inbox_and_the_outbox_are_of_the_same_unit_of_work(self, work: Work[Repository]) -> None:
        event_id = uuid7()
        async with work() as repository:
            assert await repository.inbox.first_time("binding", [event_id]) == {event_id}
        async with work() as repository:
            assert await repository.inbox.first_time("binding", [event_id]) == set()

    async def test_a_known_authorization_is_in_the_book_as_it_is(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        (answer,) = await authorize(work, request("a", 3_000))
        async with work() as repository:
            book = await repository.open_book([request("a", 3_000)], [], hold=True)
        known = book.authorizations[named("a")]
        assert known.state is AuthorizationState.HELD
        assert grants_of(known) == answer.grants
        assert set(change_of_charges(None, known).values()) == {Use(0, 3_000)}


class TestMemory(RepositoryContract):
    @pytest.fixture
    def work(self, memory_work: MemoryWork[MemoryRepository]) -> Work[Repository]:
        return memory_work


class TestPostgres(RepositoryContract):
    @pytest.fixture
    def work(self, postgres_work: PostgresWork[PostgresRepository]) -> Work[Repository]:
        return postgres_work

    async def test_counters_are_kept_for_every_window(
        self, work: Work[Repository], postgres_work: PostgresWork[PostgresRepository]
    ) -> None:
        await have_relations(work, relation(limits=Limits(settlement_fen=500)))
        await authorize(work, request("a", 300))
        async with postgres_work() as repository:
            found = await repository.uses(counter_keys(named("father-child"), TODAY))
        assert {key.window for key in found} == set(COUNTED_WINDOWS)
