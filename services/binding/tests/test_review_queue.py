"""The contract of the review queue, the same tests against the fake and PostgreSQL; and many clerks at once."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from binding.domain.applications import Application, ApplicationState, Proof, ProofKind, Step
from binding.domain.decision_reasons import DecisionReason
from binding.domain.eligibility import Policy
from binding.domain.errors import Refused
from binding.domain.reviews import Clerk, QueueState, ReviewStep
from binding.memory import MemoryRepository
from binding.repository import PostgresRepository, QueueCount, QueueFilter, QueuePlace, Repository, Verified
from binding.service.caller import Caller
from binding.service.decisions import Decisions
from binding.service.reviews import Reviews
from binding.testing import APPROVING, CHILD, FATHER, LEASE, NOON, TODAY, application, enrolment, rejecting
from kit.clock import FixedClock
from kit.db import Database, PostgresWork, Work
from kit.ids import uuid7
from kit.testing import MemoryWork

PG = PostgresWork[PostgresRepository]
WANG = Clerk("clerk:wang")
PAST, FUTURE = datetime(2000, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)


def in_queue(name: str, **changes: object) -> Application:
    made = application(
        applicant=f"psn:F{name}",
        payer_psn_no=f"F{name}",
        beneficiary_psn_no=f"B{name}",
        state=ApplicationState.SUBMITTED,
        submitted_at=NOON,
        region="652701",
        due_on=TODAY,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


async def store(work: Work[Repository], *applications: Application) -> None:
    async with work() as repository:
        for it in applications:
            draft = replace(it, state=ApplicationState.DRAFT, relation_id=None, proofs=())
            await repository.add_application(draft)
            await repository.save_application(it)


async def names(work: Work[Repository], wanted: QueueFilter) -> list[str]:
    async with work() as repository:
        return [it.payer_psn_no for it in await repository.queue(wanted, None, 100)]


class QueueContract:
    """What every queue does."""

    @pytest.fixture
    def work(self) -> Work[Repository]:
        raise AssertionError("each suite names its own")

    async def test_the_queue_is_told_oldest_due_first_by_pages(self, work: Work[Repository]) -> None:
        waiting = [
            in_queue("late", due_on=TODAY + timedelta(days=2), submitted_at=NOON - timedelta(days=9)),
            in_queue("second", due_on=TODAY, submitted_at=NOON),
            in_queue("first", due_on=TODAY, submitted_at=NOON - timedelta(hours=1)),
            in_queue("zeroth", due_on=None),
            in_queue("third", due_on=TODAY + timedelta(days=1)),
        ]
        await store(work, *waiting, in_queue("draft", state=ApplicationState.RETURNED))
        found: list[Application] = []
        async with work() as repository:
            while page := await repository.queue(QueueFilter(), QueuePlace.of(found[-1]) if found else None, 2):
                found += page
        assert [it.payer_psn_no for it in found] == ["Fzeroth", "Ffirst", "Fsecond", "Fthird", "Flate"]

    async def test_the_queue_is_filtered_by_region_state_due_day_and_handler(self, work: Work[Repository]) -> None:
        held = {"state": ApplicationState.CLAIMED, "handler": "clerk:wang", "claim_expires_at": FUTURE}
        await store(
            work,
            in_queue("a", due_on=TODAY - timedelta(days=1)),
            in_queue("b", region="652722"),
            in_queue("c", **held),
            in_queue("d", **(held | {"claim_expires_at": PAST})),
            in_queue("e", handler="clerk:wang", claim_expires_at=FUTURE),
            in_queue("f", **(held | {"claim_expires_at": None, "handled_at": NOON, "handler": "clerk:li"})),
        )
        assert await names(work, QueueFilter("652722")) == ["Fb"]
        assert set(await names(work, QueueFilter(state=QueueState.WAITING))) == {"Fa", "Fb", "Fd"}
        assert set(await names(work, QueueFilter(state=QueueState.CLAIMED))) == {"Fc", "Fe"}
        assert await names(work, QueueFilter(state=QueueState.HANDLED)) == ["Ff"]
        assert await names(work, QueueFilter(overdue_on=TODAY)) == ["Fa"]
        assert set(await names(work, QueueFilter(handler="clerk:wang"))) == {"Fc", "Fd", "Fe"}
        assert await names(work, QueueFilter("652722", QueueState.CLAIMED)) == []

    async def test_the_queue_is_counted_by_region(self, work: Work[Repository]) -> None:
        held = {"state": ApplicationState.CLAIMED, "handler": "clerk:wang"}
        early = NOON - timedelta(days=3)
        await store(
            work,
            in_queue("a", due_on=TODAY - timedelta(days=1), submitted_at=early),
            in_queue("b", region="652722"),
            in_queue("c", claim_expires_at=FUTURE, **held),
            in_queue("d", claim_expires_at=PAST, due_on=TODAY - timedelta(days=1), **held),
            in_queue("e", handled_at=NOON, **held),
            in_queue("f", state=ApplicationState.REJECTED, decided_at=NOON),
        )
        bole, jinghe = QueueCount("652701", 2, 1, 1, 2, early), QueueCount("652722", 1, 0, 0, 0, NOON)
        async with work() as repository:
            assert await repository.queue_counts("", TODAY) == [bole, jinghe]
            assert await repository.queue_counts("652722", TODAY) == [jinghe]
            assert await repository.queue_counts("652723", TODAY) == []

    async def test_the_next_one_is_the_oldest_due_that_the_clerk_may_claim(self, work: Work[Repository]) -> None:
        held = {"state": ApplicationState.CLAIMED, "handler": "clerk:li"}
        days = [TODAY + timedelta(days=number) for number in range(8)]
        await store(
            work,
            in_queue("other region", region="652722", due_on=days[0]),
            in_queue("held", due_on=days[0], claim_expires_at=FUTURE, **held),
            in_queue("handled", due_on=days[0], handled_at=NOON, **held),
            in_queue("kept", due_on=days[0], handler="clerk:li", claim_expires_at=FUTURE),
            in_queue("own", due_on=days[1], applicant="clerk:wang"),
            in_queue("as payer", due_on=days[2], payer_psn_no="P7"),
            in_queue("as beneficiary", due_on=days[3], beneficiary_psn_no="P7"),
            in_queue("lapsed", due_on=days[4], claim_expires_at=PAST, **held),
            in_queue("later", due_on=days[5]),
        )
        async with work() as repository:
            mine = await repository.next_waiting("652701", Clerk("clerk:wang", "P7"))
            anywhere = await repository.next_waiting("", Clerk("clerk:wang", "P7"))
            nothing = await repository.next_waiting("652723", WANG)
        assert mine
        assert mine.payer_psn_no == "Flapsed"
        assert anywhere
        assert anywhere.payer_psn_no == "Fother region"
        assert nothing is None

    async def test_renewing_a_claim_changes_only_when_it_runs_out(self, work: Work[Repository]) -> None:
        it = in_queue("a", state=ApplicationState.CLAIMED, handler="clerk:wang", claim_expires_at=PAST)
        await store(work, it)
        async with work() as repository:
            await repository.renew_claim(replace(it, claim_expires_at=FUTURE, handler="clerk:nobody"))
        async with work() as repository:
            assert await repository.application(it.application_id) == replace(it, claim_expires_at=FUTURE)

    async def test_several_applications_are_locked_at_once(self, work: Work[Repository]) -> None:
        one, two = in_queue("a"), in_queue("b")
        await store(work, one, two)
        async with work() as repository:
            found = await repository.lock_applications([two.application_id, uuid7(), one.application_id])
            assert await repository.lock_applications([]) == {}
        assert found == {one.application_id: one, two.application_id: two}

    async def test_steps_come_back_as_they_were_written(self, work: Work[Repository]) -> None:
        it = in_queue("a")
        await store(work, it)
        steps = [
            ReviewStep(it.application_id, Step.HAND_OVER, "clerk:li", NOON, "652701", NOON, TODAY, "clerk:wang"),
            ReviewStep(
                application_id=it.application_id,
                step=Step.REJECT,
                clerk="clerk:li",
                at=NOON,
                region="652701",
                submitted_at=NOON,
                due_on=None,
                reason=DecisionReason.DUPLICATE,
                words="重复",
                request_id=uuid7(),
            ),
        ]
        async with work() as repository:
            await repository.add_review_steps([])
            await repository.add_review_steps(steps)
        request_id = steps[1].request_id
        assert request_id
        async with work() as repository:
            assert await repository.review_steps(it.application_id) == steps
            assert await repository.review_steps(uuid7()) == []
            assert await repository.review_steps_of_items("clerk:li", [request_id]) == {request_id: steps[1]}
            assert await repository.review_steps_of_items("clerk:wang", [request_id]) == {}
            assert await repository.review_steps_of_items("clerk:li", [uuid7()]) == {}

    async def test_the_time_of_leases_is_real(self, work: Work[Repository]) -> None:
        async with work() as repository:
            assert abs(await repository.database_time() - datetime.now(UTC)) < timedelta(minutes=1)


class TestMemory(QueueContract):
    @pytest.fixture
    def work(self, memory_work: MemoryWork[MemoryRepository]) -> Work[Repository]:
        return memory_work


class TestPostgres(QueueContract):
    @pytest.fixture
    def work(self, postgres_work: PG) -> Work[Repository]:
        return postgres_work


# on PostgreSQL only


def handler(name: str) -> Caller:
    return Caller(f"clerk:{name}", None, frozenset({"handler"}))


def decider(name: str) -> Caller:
    return Caller(f"clerk:{name}", None, frozenset({"decider"}))


async def test_twenty_clerks_at_once_never_get_the_same_application(postgres_work: PG) -> None:
    await store(postgres_work, *(in_queue(f"{number:02}", due_on=TODAY) for number in range(15)))
    reviews = Reviews(postgres_work, FixedClock(NOON), LEASE)
    got = await asyncio.gather(*(reviews.claim_next(handler(str(number)), "652701") for number in range(20)))
    taken = [it.application_id for it in got if it]
    assert len(taken) == len(set(taken)) == 15
    async with postgres_work() as repository:
        for application_id in taken:
            (step,) = await repository.review_steps(application_id)
            claimed = await repository.application(application_id)
            assert claimed
            assert claimed.handlers == (step.clerk,)


async def test_of_those_who_claim_the_same_one_at_once_one_gets_it(postgres_work: PG) -> None:
    it = in_queue("a")
    await store(postgres_work, it)
    reviews = Reviews(postgres_work, FixedClock(NOON), LEASE)
    got = await asyncio.gather(
        *(reviews.claim(handler(str(number)), it.application_id) for number in range(8)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in got) == ["Application"] + ["ClaimedByAnother"] * 7


async def test_a_lease_runs_by_the_time_of_the_database_whatever_the_clock_says(postgres_work: PG) -> None:
    it = in_queue("a")
    await store(postgres_work, it)
    clock = FixedClock(NOON)
    reviews = Reviews(postgres_work, clock, LEASE)
    claimed = await reviews.claim(handler("wang"), it.application_id)
    assert claimed.claim_expires_at
    assert claimed.claim_expires_at - datetime.now(UTC) <= LEASE
    clock.advance(timedelta(days=400))
    with pytest.raises(Refused):
        await reviews.claim(handler("li"), it.application_id)
    async with postgres_work() as repository:
        await repository.renew_claim(replace(claimed, claim_expires_at=datetime.now(UTC)))
    assert (await reviews.claim(handler("li"), it.application_id)).handlers == ("clerk:wang", "clerk:li")


async def decidable(work: PG) -> Application:
    it = application(state=ApplicationState.CLAIMED, submitted_at=NOON, handler="clerk:wang", handlers=("clerk:wang",))
    await store(work, it)
    proof = Proof(uuid7(), ProofKind.BIRTH_CERTIFICATE, "image/png", "0" * 64, 1)
    async with work() as repository:
        born = ((FATHER, date(1985, 3, 2)), (CHILD, date(2015, 9, 1)))
        await repository.record_verified([Verified(psn_no, brdy, NOON) for psn_no, brdy in born])
        await repository.record_enrolments([(FATHER, enrolment()), (CHILD, enrolment(insutype="390"))])
        await repository.add_proof(it.application_id, proof, b"sealed")
    return it


async def test_of_an_approval_and_a_rejection_at_once_one_wins(postgres_work: PG) -> None:
    it = await decidable(postgres_work)
    decisions = Decisions(postgres_work, FixedClock(NOON), Policy())
    ended = await asyncio.gather(
        decisions.decide(decider("li"), it.application_id, APPROVING),
        decisions.decide(decider("zhao"), it.application_id, rejecting()),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in ended) == ["Application", "StateForbids"]
    async with postgres_work() as repository:
        kept = await repository.application(it.application_id)
        relations = await repository.relations_of_beneficiary(CHILD)
        assert len(await repository.review_steps(it.application_id)) == 1
    assert kept
    assert (kept.state is ApplicationState.APPROVED) == (len(relations) == 1)


async def test_the_same_approval_at_once_makes_one_relation(postgres_work: PG) -> None:
    it = await decidable(postgres_work)
    decisions = Decisions(postgres_work, FixedClock(NOON), Policy())
    ended = await asyncio.gather(*(decisions.decide(decider("li"), it.application_id, APPROVING) for _ in range(4)))
    assert len({one.relation_id for one in ended}) == 1


async def test_the_table_itself_refuses_a_decider_who_handled_it(postgres_work: PG) -> None:
    it = in_queue("a", handlers=("clerk:wang",))
    await store(postgres_work, it)
    with pytest.raises(DBAPIError, match="application_four_eyes"):
        async with postgres_work() as repository:
            await repository.save_application(replace(it, state=ApplicationState.REJECTED, decider="clerk:wang"))


@pytest.mark.parametrize(
    "statement", ["UPDATE review_step SET clerk = 'x'", "DELETE FROM review_step", "TRUNCATE review_step"]
)
async def test_what_clerks_did_is_never_changed(postgres_work: PG, database: Database, statement: str) -> None:
    it = in_queue("a")
    await store(postgres_work, it)
    await Reviews(postgres_work, FixedClock(NOON), LEASE).claim(handler("wang"), it.application_id)
    with pytest.raises(asyncpg.RestrictViolationError):
        async with database.transaction() as transaction:
            await transaction.raw.execute(statement)
