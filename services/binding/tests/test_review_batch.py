"""Batches of decisions, the same tests against fake and PostgreSQL: each as it would be alone, none harms another."""

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binding.domain.applications import Application, ApplicationState, Proof, ProofKind, Step
from binding.domain.decision_reasons import DecisionReason, Verdict
from binding.domain.eligibility import Policy
from binding.domain.persons import RESIDENT
from binding.domain.relations import EndCause, RelationState
from binding.memory import MemoryRepository
from binding.repository import PostgresRepository, Repository, Verified
from binding.service.caller import Caller
from binding.service.decisions import Decisions, Item, Result
from binding.testing import (
    APPROVING,
    NOON,
    TODAY,
    application,
    enrolment,
    have_relations,
    named,
    rejecting,
    relation,
    returning,
)
from kit.clock import FixedClock
from kit.db import Database, PostgresWork, Work
from kit.ids import uuid7
from kit.testing import MemoryWork

PG = PostgresWork[PostgresRepository]
LI = Caller("clerk:li", None, frozenset({"decider"}))
WORDLESS_OTHER = Verdict(Step.REJECT, DecisionReason.OTHER)


async def have_claimed(work: Work[Repository], *names: str, handler: str = "clerk:wang", beneficiary: str = "") -> None:
    """Applications of these names, each of a family of its own unless all are for one, ready to be decided."""
    async with work() as repository:
        for name in names:
            child = beneficiary or f"B{name}"
            draft = application(
                application_id=named(name),
                applicant=f"psn:F{name}",
                payer_psn_no=f"F{name}",
                beneficiary_psn_no=child,
            )
            born = [Verified(f"F{name}", date(1985, 3, 2), NOON), Verified(child, date(2015, 9, 1), NOON)]
            await repository.record_verified(born)
            enrolments = [(f"F{name}", enrolment()), (child, enrolment(insutype=RESIDENT))]
            await repository.record_enrolments(enrolments)
            await repository.add_application(draft)
            proof = Proof(uuid7(), ProofKind.BIRTH_CERTIFICATE, "image/png", "0" * 64, 1)
            await repository.add_proof(draft.application_id, proof, b"sealed")
            claimed = replace(draft, state=ApplicationState.CLAIMED, submitted_at=NOON, proofs=(proof,))
            await repository.save_application(replace(claimed, handler=handler, handlers=(handler,)))


def item(name: str, verdict: Verdict = APPROVING, request: str = "") -> Item:
    return Item(named(f"request {request or name}"), named(name), verdict)


def came_of(results: list[Result]) -> list[str]:
    return [it.refusal.reason if it.refusal else it.application.state if it.application else "?" for it in results]


async def stored(work: Work[Repository], name: str) -> Application:
    async with work() as repository:
        found = await repository.application(named(name))
    assert found
    return found


class BatchContract:
    """What every batch does."""

    @pytest.fixture
    def work(self) -> Work[Repository]:
        raise AssertionError("each suite names its own")

    @pytest.fixture
    def decisions(self, work: Work[Repository]) -> Decisions:
        return Decisions(work, FixedClock(NOON), Policy())

    async def test_each_item_has_its_own_result_and_one_bad_item_leaves_the_others_alone(
        self, work: Work[Repository], decisions: Decisions
    ) -> None:
        await have_claimed(work, "good", "rejected", "returned", "uninsured", "wordless", "misfit", "late")
        await have_claimed(work, "handled", handler="clerk:li")
        async with work() as repository:
            await repository.record_enrolments([("Funinsured", enrolment(psn_insu_stas=2, sequence=9))])
        results = await decisions.decide_batch(
            LI,
            [
                item("uninsured"),
                item("unknown"),
                item("good"),
                item("wordless", WORDLESS_OTHER),
                item("rejected", rejecting("姓名不同")),
                item("misfit", Verdict(Step.APPROVE, DecisionReason.DUPLICATE)),
                item("handled"),
                item("returned", returning()),
                item("late", replace(returning(), words="a\0b")),
            ],
        )
        assert came_of(results) == [
            "PAYER_NOT_ELIGIBLE",
            "NOT_FOUND",
            "APPROVED",
            "INVALID_FIELDS",
            "REJECTED",
            "INVALID_FIELDS",
            "FOUR_EYES",
            "RETURNED",
            "INVALID_FIELDS",
        ]
        assert [it.item.request_id for it in results][:2] == [named("request uninsured"), named("request unknown")]
        for name in ("uninsured", "wordless", "misfit", "handled", "late"):
            assert (await stored(work, name)).state is ApplicationState.CLAIMED
        approved = await stored(work, "good")
        async with work() as repository:
            (made,) = await repository.relations_of_beneficiary("Bgood")
            assert len(await repository.review_steps(named("good"))) == 1
            assert await repository.review_steps(named("uninsured")) == []
        assert made.relation_id == approved.relation_id
        assert made.state is RelationState.ACTIVE

    async def test_an_item_again_is_answered_again_in_whatever_batch(
        self, work: Work[Repository], decisions: Decisions
    ) -> None:
        await have_claimed(work, "a", "b")
        first = await decisions.decide_batch(LI, [item("a"), item("a")])
        again = await decisions.decide_batch(LI, [item("b", rejecting()), item("a")])
        assert came_of(first) == ["APPROVED", "APPROVED"]
        assert came_of(again) == ["REJECTED", "APPROVED"]
        async with work() as repository:
            assert len(await repository.review_steps(named("a"))) == 1

    @pytest.mark.parametrize(
        "other",
        [item("b", request="a"), item("a", rejecting(), request="a"), item("a", replace(APPROVING, words="x"))],
    )
    async def test_another_decision_under_an_items_request_id_is_refused(
        self, work: Work[Repository], decisions: Decisions, other: Item
    ) -> None:
        await have_claimed(work, "a", "b")
        assert came_of(await decisions.decide_batch(LI, [item("a"), other])) == ["APPROVED", "REQUEST_ID_REUSED"]
        assert came_of(await decisions.decide_batch(LI, [other])) == ["REQUEST_ID_REUSED"]
        assert (await stored(work, "b")).state is ApplicationState.CLAIMED

    async def test_a_refused_item_may_be_sent_again(self, work: Work[Repository], decisions: Decisions) -> None:
        await have_claimed(work, "a")
        assert came_of(await decisions.decide_batch(LI, [item("a", WORDLESS_OTHER)])) == ["INVALID_FIELDS"]
        assert came_of(await decisions.decide_batch(LI, [item("a", rejecting())])) == ["REJECTED"]

    async def test_the_same_decision_under_another_id_gives_the_same_answer(
        self, work: Work[Repository], decisions: Decisions
    ) -> None:
        await have_claimed(work, "a")
        items = [item("a"), item("a", request="second"), item("a", rejecting(), request="third")]
        assert came_of(await decisions.decide_batch(LI, items)) == ["APPROVED", "APPROVED", "STATE_FORBIDS"]
        async with work() as repository:
            assert len(await repository.relations_of_beneficiary("Ba")) == 1

    async def test_an_expired_relation_of_a_pair_gives_way_in_a_batch_too(
        self, work: Work[Repository], decisions: Decisions
    ) -> None:
        await have_claimed(work, "a", "b")
        old = {"payer_psn_no": "Fa", "beneficiary_psn_no": "Ba"}
        await have_relations(work, relation("old", valid_to=TODAY - timedelta(days=1), **old))
        assert came_of(await decisions.decide_batch(LI, [item("b"), item("a")])) == ["APPROVED", "APPROVED"]
        async with work() as repository:
            ended = await repository.relation(named("old"))
        assert ended
        assert (ended.state, ended.end_cause) == (RelationState.ENDED, EndCause.EXPIRED)

    async def test_payers_of_one_beneficiary_in_a_batch_come_after_one_another(
        self, work: Work[Repository], decisions: Decisions
    ) -> None:
        await have_claimed(work, "a", "b")
        async with work() as repository:
            other = await repository.application(named("b"))
            assert other
            draft = application(application_id=named("c"), payer_psn_no="Fb", beneficiary_psn_no="Ba")
            await repository.add_application(draft)
            proof = replace(other.proofs[0], proof_id=uuid7())
            await repository.add_proof(named("c"), proof, b"sealed")
            claimed = replace(draft, state=ApplicationState.CLAIMED, handler="clerk:wang", proofs=(proof,))
            await repository.save_application(claimed)
        await decisions.decide_batch(LI, [item("c"), item("a")])
        async with work() as repository:
            made = await repository.relations_of_beneficiary("Ba")
        assert sorted((it.payer_psn_no, it.priority) for it in made) == [("Fa", 2), ("Fb", 1)]


class TestMemory(BatchContract):
    @pytest.fixture
    def work(self, memory_work: MemoryWork[MemoryRepository]) -> Work[Repository]:
        return memory_work


class TestPostgres(BatchContract):
    @pytest.fixture
    def work(self, postgres_work: PG) -> Work[Repository]:
        return postgres_work


NAMES = ["a", "b", "c", "unknown"]
VERDICTS = [APPROVING, rejecting(), rejecting("姓名不同"), returning(), WORDLESS_OTHER]
items = st.builds(item, st.sampled_from(NAMES), st.sampled_from(VERDICTS), st.sampled_from(["r1", "r2", "r3", ""]))


@settings(max_examples=60, deadline=None)
@given(st.lists(items, min_size=1, max_size=8))
def test_a_batch_does_what_its_items_would_do_one_by_one(batch: list[Item]) -> None:
    async def ended(*batches: list[Item]) -> tuple[list[str], list[tuple[str, bool]]]:
        work = MemoryWork(MemoryRepository())
        await have_claimed(work, "a", "b")
        await have_claimed(work, "c", handler="clerk:li")
        decisions = Decisions(work, FixedClock(NOON), Policy())
        results = [result for it in batches for result in await decisions.decide_batch(LI, it)]
        kept = sorted(work.repository.applications.values(), key=lambda it: it.payer_psn_no)
        return came_of(results), [(it.state, it.relation_id is None) for it in kept]

    assert asyncio.run(ended(batch)) == asyncio.run(ended(*([it] for it in batch)))


async def test_what_goes_wrong_while_writing_undoes_the_whole_batch(memory_work: MemoryWork[MemoryRepository]) -> None:
    await have_claimed(memory_work, "a", "b")
    memory_work.fail_next_commit(ConnectionError("gone"))
    decisions = Decisions(memory_work, FixedClock(NOON), Policy())
    with pytest.raises(ConnectionError):
        await decisions.decide_batch(LI, [item("a"), item("b")])
    assert memory_work.repository.relations == {}
    assert memory_work.repository.steps == []


async def test_batches_in_every_order_at_once_decide_each_application_once(
    postgres_work: PG, database: Database
) -> None:
    names = [f"n{number}" for number in range(12)]
    await have_claimed(postgres_work, *names)
    decisions, chance = Decisions(postgres_work, FixedClock(NOON), Policy()), Random(9)  # noqa: S311 - a test's order

    async def decide(clerk: str) -> list[Result]:
        caller = Caller(f"clerk:{clerk}", None, frozenset({"decider"}))
        verdict = chance.choice([APPROVING, rejecting()])
        return await decisions.decide_batch(caller, [item(it, verdict) for it in chance.sample(names, 9)])

    results = [it for batch in await asyncio.gather(*map(decide, "uvwxyz")) for it in batch]
    assert set(came_of(results)) <= {"APPROVED", "REJECTED", "STATE_FORBIDS"}
    decided = {(it.item.application_id, it.application.decider) for it in results if it.application}
    assert len({application_id for application_id, _ in decided}) == len(decided)
    async with database.transaction() as transaction:
        steps = await transaction.raw.fetchval("SELECT count(*) FROM review_step")
        deadlocks = await transaction.raw.fetchval(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
    assert steps == len(decided)
    assert deadlocks == 0


async def test_batches_about_the_same_child_at_once_never_wait_in_a_circle(
    postgres_work: PG, database: Database
) -> None:
    names = [f"n{number}" for number in range(6)]
    await have_claimed(postgres_work, *names, beneficiary="B")
    decisions = Decisions(postgres_work, FixedClock(NOON), Policy())
    batches = await asyncio.gather(*(decisions.decide_batch(LI, [item(name)]) for name in names))
    assert [came_of(results) for results in batches] == [["APPROVED"]] * len(names)
    async with database.transaction() as transaction:
        priorities = await transaction.raw.fetch("SELECT priority FROM relation ORDER BY priority")
    assert [row["priority"] for row in priorities] == [1, 2, 3, 4, 5, 6]
