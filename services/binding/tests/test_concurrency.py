"""Many at once on a real PostgreSQL: no limit is exceeded, nobody waits in a circle, PostgreSQL and fake agree."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from binding.domain.applications import ApplicationState, Proof, ProofKind
from binding.domain.authorizations import Outcome
from binding.domain.batch import Answer, Request
from binding.domain.eligibility import Policy, RelationExists
from binding.domain.limits import CounterKey, Limits, Use, counter_keys
from binding.domain.relations import Relation, RelationState
from binding.memory import MemoryRepository
from binding.repository import PostgresRepository, Repository, Verified
from binding.service.authorizations import Authorizations
from binding.service.caller import Caller
from binding.service.decisions import Decisions
from binding.service.persons import Facts, Persons
from binding.testing import (
    APPROVING,
    CHILD,
    FATHER,
    NOON,
    TODAY,
    application,
    captured,
    enrolment,
    have_relations,
    named,
    relation,
    released,
    request,
    restored,
)
from kit.clock import FixedClock, shanghai_date
from kit.db import Database, PostgresWork, Work, retrying
from kit.ids import uuid7
from kit.testing import MemoryWork, until_somebody_waits

PG = PostgresWork[PostgresRepository]
PATIENTS = [f"B{number}" for number in range(4)]
DAYS = [NOON + timedelta(days=days) for days in (0, 0, 0, -20, -1, 1, 25)]
"""Bills of days before come after those of later days, too."""


def of_patient(patient: str, **changes: object) -> Relation:
    made = relation(f"r {patient}", beneficiary_psn_no=patient, limits=Limits(total_fen=20_000))
    return replace(made, **changes)  # type: ignore[arg-type]


async def counters(work: Work[Repository], *names: str) -> dict[CounterKey, Use]:
    keys = [key for name in names for at in DAYS for key in counter_keys(named(name), shanghai_date(at))]
    async with work() as repository:
        return await repository.uses(keys)


def granted(answers: Sequence[Answer]) -> int:
    assert all(answer.refusal is None for answer in answers)
    return sum(grant.granted_fen for answer in answers for grant in answer.grants)


@pytest.fixture
def authorizations(postgres_work: PG) -> Authorizations:
    return Authorizations(postgres_work, FixedClock(NOON), FixedClock(NOON))


async def test_two_at_once_never_exceed_the_limit(postgres_work: PG, authorizations: Authorizations) -> None:
    await have_relations(postgres_work, relation(limits=Limits(day_fen=1_000)))
    for number in range(10):
        asked = [authorizations.authorize([request(f"{number} {side}", 80)]) for side in ("left", "right")]
        await asyncio.gather(*asked)
    held = await counters(postgres_work, "father-child")
    assert set(held.values()) == {Use(0, 1_000)}


async def test_a_crowd_gets_the_limit_to_the_last_fen_and_not_one_more(
    postgres_work: PG, authorizations: Authorizations
) -> None:
    await have_relations(postgres_work, relation(limits=Limits(month_fen=1_000)))
    answers = await asyncio.gather(*(authorizations.authorize([request(str(n), 70)]) for n in range(24)))
    assert granted([answer for batch in answers for answer in batch]) == 1_000


async def test_the_same_id_at_once_is_held_once(postgres_work: PG, authorizations: Authorizations) -> None:
    await have_relations(postgres_work, relation())
    answers = await asyncio.gather(*(authorizations.authorize([request("a", 500)]) for _ in range(6)))
    assert all(answer == answers[0] for answer in answers)
    assert set((await counters(postgres_work, "father-child")).values()) == {Use(0, 500)}


async def test_an_authorize_and_its_release_at_once_leave_nothing_held(
    postgres_work: PG, authorizations: Authorizations
) -> None:
    await have_relations(postgres_work, relation())
    for number in range(12):
        name = f"a{number}"
        await asyncio.gather(authorizations.authorize([request(name, 50)]), applied(postgres_work, [released(name)]))
    assert set((await counters(postgres_work, "father-child")).values()) <= {Use()}


async def applied(work: Work[Repository], outcomes: Sequence[Outcome]) -> None:
    async def apply() -> None:
        async with work() as repository:
            await Authorizations(work, FixedClock(NOON), FixedClock(NOON)).apply(repository, outcomes)

    await retrying(apply)


async def test_batches_and_events_in_every_order_never_wait_in_a_circle(
    postgres_work: PG, authorizations: Authorizations, database: Database
) -> None:
    await have_relations(postgres_work, *(of_patient(patient) for patient in PATIENTS))
    chance = Random(7)  # noqa: S311 - a test's order, no secret
    await asyncio.gather(
        *(_asks(authorizations, chance, f"w{worker}") for worker in range(3)),
        *(_tells(postgres_work, chance) for _ in range(2)),
    )
    assert await _deadlocks(database) == 0


async def test_two_who_take_the_same_unknown_ids_at_once_wait_in_line(postgres_work: PG, database: Database) -> None:
    chance = Random(3)  # noqa: S311 - a test's order, no secret
    for number in range(10):
        outcomes = [released(f"{number} {place}") for place in range(60)]
        await asyncio.gather(
            *(applied(postgres_work, chance.sample(outcomes, len(outcomes))) for _ in range(3)),
        )
    assert await _deadlocks(database) == 0


async def _asks(authorizations: Authorizations, chance: Random, worker: str) -> None:
    for number in range(12):
        patients = chance.sample(PATIENTS, len(PATIENTS))
        names = [f"{worker} {number} {patient}" for patient in patients]
        requests = [
            replace(request(name, 50, *_outcomes(chance, patient, 2)), beneficiary_psn_no=patient)
            for name, patient in zip(names, patients, strict=True)
        ]
        assert all(answer.refusal in {None, "ABANDONED"} for answer in await authorizations.authorize(requests))


async def _tells(work: PG, chance: Random) -> None:
    for _ in range(15):
        outcomes = [outcome for patient in PATIENTS for outcome in _outcomes(chance, patient, 3)]
        chance.shuffle(outcomes)
        await applied(work, outcomes)


def _outcomes(chance: Random, patient: str, count: int) -> list[Outcome]:
    made = []
    for _ in range(count):
        name = f"w{chance.randrange(3)} {chance.randrange(12)} {patient}"
        decide = chance.choice([captured, restored])
        made.append(chance.choice([decide(name, (f"r {patient}", 30)), released(name)]))
    return made


async def test_the_database_ends_where_the_fake_ends(
    postgres_work: PG, memory_work: MemoryWork[MemoryRepository]
) -> None:
    relations = [of_patient(patient, limits=Limits(settlement_fen=400, day_fen=900)) for patient in PATIENTS]
    names = [f"r {patient}" for patient in PATIENTS]
    ended: list[tuple[list[Answer], dict[CounterKey, Use]]] = []
    works: list[Work[Repository]] = [postgres_work, memory_work]
    for work in works:
        await have_relations(work, *relations)
        answers = await _long_story(Authorizations(work, FixedClock(NOON), FixedClock(NOON)), work, Random(11))  # noqa: S311
        ended.append((answers, await counters(work, *names)))
    assert ended[0] == ended[1]
    assert any(use != Use() for use in ended[0][1].values())


async def _long_story(authorizations: Authorizations, work: Work[Repository], chance: Random) -> list[Answer]:
    answers: list[Answer] = []
    for number in range(40):
        patients = chance.sample(PATIENTS, chance.randint(1, 4))
        requests: list[Request] = [
            request(
                f"w0 {number % 12} {patient}",
                chance.randint(1, 600),
                beneficiary_psn_no=patient,
                occurred_at=chance.choice(DAYS),
            )
            for patient in patients
        ]
        told = [replace(it, outcomes=tuple(_outcomes(chance, it.beneficiary_psn_no, 2))) for it in requests]
        answers += await chance.choice([authorizations.authorize, authorizations.preview])(told)
        await applied(work, _outcomes(chance, patients[0], 2))
    return answers


async def test_of_two_submissions_of_a_pair_at_once_one_waits(postgres_work: PG) -> None:
    drafts = [application(), application()]
    async with postgres_work() as repository:
        for draft in drafts:
            await repository.add_application(draft)

    async def submit(number: int) -> bool:
        async with postgres_work() as repository:
            it = replace(drafts[number], state=ApplicationState.SUBMITTED, submitted_at=NOON)
            try:
                await repository.save_application(it)
            except RelationExists:
                return False
        return True

    assert sorted(await asyncio.gather(submit(0), submit(1))) == [False, True]


class Meeting:
    """Units of work that wait for one another before they end, as two replicas at the same moment would."""

    def __init__(self, inner: PG) -> None:
        self.inner = inner
        self.may_end = asyncio.Event()
        self.has_begun = asyncio.Event()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[PostgresRepository]:
        async with self.inner() as repository:
            yield repository
            self.has_begun.set()
            await self.may_end.wait()


async def _claimed(work: PG) -> None:
    proof = Proof(uuid7(), ProofKind.BIRTH_CERTIFICATE, "image/png", "0" * 64, 1)
    draft = application(application_id=named("application"))
    async with work() as repository:
        born = ((FATHER, 1985), (CHILD, 2015))
        await repository.record_verified([Verified(psn_no, TODAY.replace(year=year), NOON) for psn_no, year in born])
        await repository.record_enrolments([(FATHER, enrolment()), (CHILD, enrolment(insutype="390"))])
        await repository.add_application(draft)
        await repository.add_proof(draft.application_id, proof, b"sealed")
        claimed = replace(draft, state=ApplicationState.CLAIMED, submitted_at=NOON, handler="clerk:wang")
        await repository.save_application(claimed)


async def test_an_approval_and_the_payers_death_at_once_leave_no_living_relation(
    postgres_work: PG, database: Database
) -> None:
    await _claimed(postgres_work)
    approving = Meeting(postgres_work)
    clock = FixedClock(NOON)
    clerk = Caller("clerk:li", None, frozenset({"decider"}))
    approval = asyncio.create_task(Decisions(approving, clock, Policy()).decide(clerk, named("application"), APPROVING))
    await approving.has_begun.wait()

    async def death() -> None:
        async with postgres_work() as repository:
            await Persons(clock).take_in(repository, Facts(deaths=[(FATHER, TODAY)]))

    dying = asyncio.create_task(death())
    await until_somebody_waits(database)
    approving.may_end.set()
    approved = await approval
    await dying
    assert approved.relation_id
    async with postgres_work() as repository:
        made = await repository.relation(approved.relation_id)
    assert made
    assert made.state is RelationState.ENDED


async def test_whoever_waited_for_a_relation_decides_by_what_is_known_of_its_payer_then(
    postgres_work: PG, authorizations: Authorizations, database: Database
) -> None:
    await have_relations(postgres_work, relation())
    async with postgres_work() as repository:
        await repository.record_enrolments([(FATHER, enrolment())])
    async with postgres_work() as holder:
        await holder.relation(named("father-child"), lock=True)
        asked = asyncio.create_task(authorizations.authorize([request("a", 500)]))
        await until_somebody_waits(database)
        async with postgres_work() as repository:
            await repository.record_enrolments([(FATHER, enrolment(sequence=9, arrears=True))])
    (answer,) = await asked
    assert [grant.reason for grant in answer.grants] == ["PAYER_ARREARS"]


async def test_approvals_and_facts_about_the_same_persons_never_wait_in_a_circle(
    postgres_work: PG, database: Database
) -> None:
    people = [f"Q{number}" for number in range(6)]
    chance = Random(5)  # noqa: S311 - a test's order, no secret

    async def rely() -> None:
        for _ in range(25):
            async with postgres_work() as repository:
                await repository.persons(chance.sample(people, 3), lock=True)
                await repository.persons(chance.sample(people, 1))

    async def tell() -> None:
        for _ in range(15):
            some = chance.sample(people, 6)
            told = Facts(
                verified=[Verified(psn_no, TODAY, NOON) for psn_no in some[:3]],
                enrolments=[(psn_no, enrolment(sequence=chance.randint(1, 99))) for psn_no in some[1:5]],
                deaths=[(psn_no, TODAY) for psn_no in some[3:]],
            )
            async with postgres_work() as repository:
                await Persons(FixedClock(NOON)).take_in(repository, told)

    await asyncio.gather(rely(), rely(), tell(), tell())
    assert await _deadlocks(database) == 0


async def _deadlocks(database: Database) -> object:
    async with database.transaction() as transaction:
        return await transaction.raw.fetchval(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
