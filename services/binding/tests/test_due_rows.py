"""What has become due, the same tests against the fake and PostgreSQL; and several replicas at once on PostgreSQL."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from binding.domain.notices import Days, NoticeKind, NoticeRules
from binding.domain.relations import EndCause, Relation, RelationState
from binding.domain.sides import Side
from binding.jobs import upkeep_jobs
from binding.memory import MemoryRepository
from binding.repository import PostgresRepository, Repository, Verified
from binding.service import upkeep
from binding.service.persons import Facts, Persons
from binding.service.upkeep import Upkeep
from binding.testing import (
    CHILD,
    FATHER,
    GRANDMA,
    MOTHER,
    NOON,
    TODAY,
    add_relations,
    enrolment,
    have_relations,
    named,
    relation,
)
from kit.clock import FixedClock
from kit.db import Database, PostgresWork, Work
from kit.scheduler import Scheduler, alone_on
from kit.testing import MemoryWork, patient_database

DAYS = timedelta(days=1)
ENDED: dict[str, Any] = {"state": RelationState.ENDED, "end_cause": EndCause.UNBOUND, "ended_at": NOON}


def names(relations: list[Relation], *known: str) -> list[str]:
    by_id = {named(name): name for name in known}
    return [by_id[it.relation_id] for it in relations]


class DueContract:
    """What every repository does."""

    @pytest.fixture
    def work(self) -> Work[Repository]:
        raise AssertionError("each suite names its own")

    async def test_what_changes_in_a_relations_life_comes_back(self, work: Work[Repository]) -> None:
        await have_relations(work, relation())
        changed = replace(
            relation(),
            state=RelationState.ENDED,
            end_cause=EndCause.BENEFICIARY_ENROLMENT_LOST,
            ended_at=NOON,
            ended_from=TODAY,
            suspended_at=NOON,
            valid_to=date(2030, 1, 1),
            priority=7,
            sequence=3,
        )
        async with work() as repository:
            await repository.save_relation(changed)
        async with work() as repository:
            assert await repository.relation(changed.relation_id) == changed

    async def test_expired_are_those_whose_last_day_is_over_the_longest_first(self, work: Work[Repository]) -> None:
        await have_relations(
            work,
            relation("b", valid_to=TODAY - DAYS),
            relation("a", valid_to=TODAY - 2 * DAYS, payer_psn_no=MOTHER),
            relation("last day", valid_to=TODAY, payer_psn_no=GRANDMA),
            relation("ended", valid_to=TODAY - DAYS, payer_psn_no="P9", **ENDED),
            relation("s", valid_to=TODAY - DAYS, payer_psn_no="P8", state=RelationState.SUSPENDED, suspended_at=NOON),
        )
        async with work() as repository:
            found = await repository.lock_expired(TODAY, 10)
            assert names(found, "a", "b", "s")[0] == "a"
            assert set(names(found, "a", "b", "s")) == {"a", "b", "s"}
            assert names(await repository.lock_expired(TODAY, 1), "a") == ["a"]

    async def test_expiring_are_those_that_were_not_told_of_that_day(self, work: Work[Repository]) -> None:
        await have_relations(
            work,
            relation("told", valid_to=TODAY + DAYS),
            relation("told of another day", valid_to=TODAY + 2 * DAYS, payer_psn_no=MOTHER),
            relation("later", valid_to=TODAY + 31 * DAYS, payer_psn_no=GRANDMA),
            relation("over", valid_to=TODAY - DAYS, payer_psn_no="P9"),
            relation("ended", valid_to=TODAY + DAYS, payer_psn_no="P8", **ENDED),
        )
        told = [(named("told"), TODAY + DAYS), (named("told of another day"), TODAY)]
        async with work() as repository:
            assert await repository.note_told(NoticeKind.EXPIRING, told) == {it[0] for it in told}
            assert await repository.note_told(NoticeKind.EXPIRING, told) == set()
            # The other kind of notice is another matter.
            assert await repository.note_told(NoticeKind.COMES_OF_AGE, told[:1]) == {named("told")}
        async with work() as repository:
            found = await repository.lock_expiring(Days(TODAY, TODAY + 30 * DAYS), 10)
        assert names(found, "told of another day") == ["told of another day"]

    async def test_coming_of_age_are_living_beneficiaries_born_in_those_days(self, work: Work[Repository]) -> None:
        born = date(2007, 6, 20)
        await have_relations(
            work,
            relation("young"),
            relation("told", payer_psn_no=MOTHER),
            relation("ended", payer_psn_no=GRANDMA, **ENDED),
            relation("payer is young", payer_psn_no=CHILD, beneficiary_psn_no=MOTHER),
            relation("died", beneficiary_psn_no="B1"),
            relation("older", beneficiary_psn_no="B2"),
        )
        async with work() as repository:
            await repository.record_verified(
                [Verified(CHILD, born, NOON), Verified("B1", born, NOON), Verified("B2", born - DAYS, NOON)]
            )
            await repository.record_deaths([("B1", TODAY)])
            await repository.note_told(NoticeKind.COMES_OF_AGE, [(named("told"), TODAY)])
        async with work() as repository:
            found = await repository.lock_coming_of_age(Days(born, born), 10)
        assert [(names([it], "young"), brdy) for it, brdy in found] == [(["young"], born)]

    async def test_a_statement_that_begins_later_waits_for_its_day_once(self, work: Work[Repository]) -> None:
        async with work() as repository:
            await repository.await_enrolments([(FATHER, TODAY + DAYS), (CHILD, TODAY), (CHILD, TODAY)])
            await repository.await_enrolments([(CHILD, TODAY)])
            await repository.await_enrolments([])
        async with work() as repository:
            assert await repository.take_due_enrolments(TODAY, 10) == [CHILD]
            assert await repository.take_due_enrolments(TODAY, 10) == []
            assert await repository.take_due_enrolments(TODAY + DAYS, 10) == [FATHER]

    async def test_a_side_is_seen_in_paying_order_without_what_ended(self, work: Work[Repository]) -> None:
        await have_relations(
            work,
            relation("second", priority=2),
            relation("first", priority=1, payer_psn_no=MOTHER),
            relation("ended", payer_psn_no=GRANDMA, **ENDED),
            relation("pays", payer_psn_no=CHILD, beneficiary_psn_no=GRANDMA),
        )
        async with work() as repository:
            childs = await repository.unended_relations_of(CHILD, Side.BENEFICIARY, 10)
            assert names(childs, "first", "second") == ["first", "second"]
            assert len(await repository.unended_relations_of(CHILD, Side.BENEFICIARY, 1)) == 1
            assert names(await repository.unended_relations_of(CHILD, Side.PAYER, 10), "pays") == ["pays"]


class TestInMemory(DueContract):
    @pytest.fixture
    def work(self, memory_work: MemoryWork[MemoryRepository]) -> Work[Repository]:
        return memory_work


@pytest.mark.stack
class TestOnPostgres(DueContract):
    @pytest.fixture
    def work(self, postgres_work: PostgresWork[PostgresRepository]) -> Work[Repository]:
        return postgres_work


# several replicas


MANY = 70
BATCH = 20
OLD = TODAY - 3 * DAYS


class Replica:
    """One process: its own pool, its own scheduler."""

    def __init__(self, database: Database, clock: FixedClock) -> None:
        self.database = database
        self.work = PostgresWork(database, PostgresRepository)
        self.persons = Persons(clock)
        self.jobs = upkeep_jobs(Upkeep(self.work, clock, self.persons, NoticeRules()), 3600.0)
        self.scheduler = Scheduler(self.jobs, alone_on(database))

    async def runs(self) -> None:
        for job in self.jobs:
            await self.scheduler.run_once(job)


@pytest.fixture
async def replicas(
    service_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[Replica]]:
    monkeypatch.setattr(upkeep, "BATCH", BATCH)  # many batches of few
    url, clock = service_database("binding"), FixedClock(NOON)
    databases = [patient_database(url, 3) for _ in range(3)]
    yield [Replica(it, clock) for it in databases]
    for it in databases:
        await it.close()


async def told(database: Database) -> Counter[tuple[str, str]]:
    async with database.transaction() as transaction:
        rows = await transaction.raw.fetch("SELECT type, key FROM outbox_event")
    return Counter((row["type"].rpartition(".")[2], row["key"]) for row in rows)


async def sequences_are_gapless(database: Database) -> bool:
    async with database.transaction() as transaction:
        wrong = await transaction.raw.fetchval(
            "SELECT count(*) FROM (SELECT max(sequence) AS last, count(*) AS told, count(DISTINCT sequence) AS numbers"
            " FROM outbox_event GROUP BY key) AS k WHERE last <> told OR told <> numbers"
        )
    return bool(wrong == 0)


@pytest.mark.stack
async def test_several_replicas_at_once_do_everything_once(replicas: list[Replica]) -> None:
    expired = [relation(f"old {n}", valid_to=OLD, beneficiary_psn_no=f"B{n}") for n in range(MANY)]
    near = [relation(f"near {n}", valid_to=TODAY + DAYS, beneficiary_psn_no=f"C{n}") for n in range(MANY)]
    await have_relations(replicas[0].work, *expired, *near)
    async with replicas[0].work() as repository:
        await repository.record_verified([Verified(f"C{n}", date(2007, 6, 20), NOON) for n in range(MANY)])
    for _ in range(2):
        await asyncio.gather(*(replica.runs() for replica in replicas))
    expected: Counter[tuple[str, str]] = Counter()
    for it in expired:
        expected["RelationEnded", str(it.relation_id)] = 1
    for it in near:
        expected["RelationExpiring", str(it.relation_id)] = 1
        expected["BeneficiaryComesOfAge", str(it.relation_id)] = 1
    assert await told(replicas[0].database) == expected
    assert await sequences_are_gapless(replicas[0].database)


@pytest.mark.stack
async def test_without_the_lock_of_jobs_too_everything_is_done_once(replicas: list[Replica]) -> None:
    near = [relation(f"near {n}", valid_to=TODAY + DAYS, beneficiary_psn_no=f"C{n}") for n in range(MANY)]
    old = [relation(f"old {n}", valid_to=OLD, beneficiary_psn_no=f"B{n}") for n in range(MANY)]
    await have_relations(replicas[0].work, *near, *old)
    async with replicas[0].work() as repository:
        await repository.record_verified([Verified(f"C{n}", date(2007, 6, 20), NOON) for n in range(MANY)])

    async def goes_on(replica: Replica) -> None:
        for job in replica.jobs:
            while await job.batch():
                pass

    await asyncio.gather(*(goes_on(replica) for replica in replicas))
    assert set((await told(replicas[0].database)).values()) == {1}
    assert sum((await told(replicas[0].database)).values()) == 3 * MANY
    assert await sequences_are_gapless(replicas[0].database)


@pytest.mark.stack
async def test_what_a_settlement_has_in_hand_is_left_for_the_next_run(replicas: list[Replica]) -> None:
    await have_relations(
        replicas[0].work, relation("busy", valid_to=OLD), relation("free", valid_to=OLD, payer_psn_no="P9")
    )
    expire = replicas[1].jobs[0].batch
    async with replicas[0].work() as settling:
        await settling.relation(named("busy"), lock=True)
        assert await expire() == 1
        assert await expire() == 0
    assert await expire() == 1


@pytest.mark.stack
async def test_a_loss_that_meets_an_approval_ends_what_it_made(replicas: list[Replica]) -> None:
    """The approval holds its persons; the statement waits for it, and then finds its relation."""
    holds, heard = asyncio.Event(), asyncio.Event()
    lost = enrolment(psn_insu_stas=4, valid_from=TODAY, sequence=5)
    async with replicas[0].work() as repository:
        await repository.record_verified([Verified(FATHER, date(1985, 3, 2), NOON)])

    async def approve() -> None:
        async with replicas[0].work() as repository:
            await repository.persons([FATHER, CHILD], lock=True)
            holds.set()
            await asyncio.wait([asyncio.ensure_future(heard.wait())], timeout=0.3)
            await add_relations(repository, relation())

    async def hear() -> None:
        await holds.wait()
        async with replicas[1].work() as repository:
            await replicas[1].persons.take_in(repository, Facts(enrolments=[(FATHER, lost)]))
        heard.set()

    await asyncio.gather(approve(), hear())
    async with replicas[2].work() as repository:
        ended = await repository.relation(named("father-child"))
    assert ended is not None
    assert ended.end_cause is EndCause.PAYER_ENROLMENT_LOST
