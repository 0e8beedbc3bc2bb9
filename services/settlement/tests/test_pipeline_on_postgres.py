"""The pipeline on a real database: what only locks, unique keys and the database's clock can decide."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from kit.db import Database, PostgresWork, Work
from kit.failpoints import Boundary
from kit.testing import patient_database, until_somebody_waits
from settlement.account_repository import PostgresAccountRepository
from settlement.domain.state import Settlement, SettlementState
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.repository import SettlementRepository
from settlement.testing import FakeRelation, World, account, bill, msgid, settle
from settlement.testing_failpoints import Crash, Dying, Pausing

Settlements = Work[SettlementRepository]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = patient_database(database_url)
    await database.connect()
    yield database
    await database.close()


@pytest.fixture
def work(database: Database) -> Settlements:
    return PostgresWork(database, PostgresSettlementRepository)


@pytest.fixture
async def raw(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def fund(database: Database, balance_fen: int, *owners: str) -> None:
    async with PostgresWork(database, PostgresAccountRepository)() as repository:
        for owner in owners:
            await repository.add(account(owner, balance_fen))


async def balance(raw: "asyncpg.Connection[asyncpg.Record]", owner: str = "father") -> int:
    found: int = await raw.fetchval("SELECT balance_fen FROM account WHERE psn_no = $1", owner)
    return found


def reasons(answers: list[Settlement | Exception]) -> list[str]:
    return [each.state if isinstance(each, Settlement) else str(getattr(each, "reason", each)) for each in answers]


async def test_a_family_is_settled_answered_again_and_reversed(
    database: Database, work: Settlements, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await fund(database, 50000, "father")
    world = World(work, FakeRelation("father", "child", 20000))
    (first,) = await world.settle(settle(1))
    assert isinstance(first, Settlement)
    assert await world.settle(settle(1)) == [first]
    assert await balance(raw) == 41000
    reversal = await world.reverse(90, of=1)
    assert await world.reverse(91, of=first.settlement_id) == reversal
    assert await balance(raw) == 50000
    assert await raw.fetchval("SELECT sum(amount_fen) FROM entry") == 0
    types = [row["type"].rsplit(".", 1)[1] for row in await raw.fetch("SELECT type FROM outbox_event ORDER BY id")]
    assert types == ["SettlementCompleted", "AccountDebited", "SettlementReversed", "AccountRefunded"]


async def test_a_large_batch_with_every_kind_of_answer(
    database: Database, work: Settlements, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    patients = [f"child{number}" for number in range(60)]
    await fund(database, 100_000, "father")
    world = World(work, *(FakeRelation("father", patient, 2500) for patient in patients))
    await world.reverse(9000, of=3)
    batch = [
        settle(number, bill(patient, 2000), expected_acct_mulaid_pay_fen=1 if number % 7 == 0 else None)
        for number, patient in enumerate(patients)
    ]
    answers = await world.settle(*batch)
    refused = [number for number in range(60) if number % 7 == 0]
    assert [number for number, answer in enumerate(reasons(answers)) if answer == "AMOUNT_CHANGED"] == refused
    assert reasons(answers)[3] == "ABANDONED"
    paid = 60 - len(refused) - 1
    assert await balance(raw) == 100_000 - 2000 * paid
    assert await world.settle(*batch[:1]) != []
    rows = await raw.fetch("SELECT version, amount_fen FROM entry WHERE account_kind = 'PERSONAL' ORDER BY id")
    assert [row["version"] for row in rows] == list(range(2, 2 + paid))


async def test_two_processes_on_one_account_never_overdraw_it(
    database: Database, work: Settlements, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await fund(database, 10_000, "father")
    patients = [f"child{number}" for number in range(20)]
    relations = [FakeRelation("father", patient, 1000) for patient in patients]
    one, other = World(work, *relations[:10]), World(work, *relations[10:])

    async def settle_all(world: World, first: int) -> list[Settlement | Exception]:
        batches = [world.settle(settle(first + place, bill(patients[first + place], 1000))) for place in range(10)]
        return [answer for answers in await asyncio.gather(*batches) for answer in answers]

    answers = [*await settle_all(one, 0), *await settle_all(other, 10)]
    spent = sum(each.split.acct_mulaid_pay_fen for each in answers if isinstance(each, Settlement) and each.split)
    assert (spent, await balance(raw)) == (10_000, 0)
    versions = await raw.fetch("SELECT version FROM entry WHERE account_kind = 'PERSONAL' ORDER BY version")
    assert [row["version"] for row in versions] == list(range(2, 2 + len(versions)))


async def test_of_one_patient_two_processes_settle_one_at_a_time(database: Database, work: Settlements) -> None:
    await fund(database, 10_000, "father")
    pausing = Pausing(Boundary.AFTER_AUTHORIZE)
    slow = World(work, FakeRelation("father", "child", 9999), failpoints=pausing)
    quick = World(work, FakeRelation("father", "child", 9999))
    under_way = asyncio.create_task(slow.settle(settle(1)))
    await pausing.arrived.wait()
    assert reasons(await quick.settle(settle(2))) == ["IN_PROGRESS"]
    assert reasons(await quick.settle(settle(1))) == ["IN_PROGRESS"]
    pausing.go.set()
    assert reasons(await under_way) == ["SETTLED"]
    assert reasons(await quick.settle(settle(2))) == ["SETTLED"]


async def test_the_same_request_at_two_processes_is_settled_once(
    database: Database, work: Settlements, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await fund(database, 50_000, "father")
    worlds = [World(work, FakeRelation("father", "child", 20_000)) for _ in range(4)]
    answers = [answer for each in await asyncio.gather(*(w.settle(settle(1)) for w in worlds)) for answer in each]
    assert set(reasons(answers)) <= {"SETTLED", "IN_PROGRESS"}
    assert "SETTLED" in reasons(answers)
    assert await balance(raw) == 41_000


@pytest.mark.parametrize("boundary", [Boundary.AFTER_INTENT, Boundary.AFTER_AUTHORIZE])
async def test_a_reversal_overtakes_a_settlement_that_is_under_way(
    database: Database, work: Settlements, raw: "asyncpg.Connection[asyncpg.Record]", boundary: Boundary
) -> None:
    await fund(database, 10_000, "father")
    pausing = Pausing(boundary)
    slow = World(work, FakeRelation("father", "child", 9999), failpoints=pausing)
    under_way = asyncio.create_task(slow.settle(settle(1)))
    await pausing.arrived.wait()
    fence = await World(work).reverse(90, of=1)
    assert isinstance(fence, Settlement)
    assert fence.state is SettlementState.ABANDONED
    pausing.go.set()
    assert reasons(await under_way) == ["ABANDONED"]
    assert await balance(raw) == 10_000
    assert await raw.fetchval("SELECT count(*) FROM entry") == 0


async def test_a_reversal_that_comes_during_the_commit_waits_and_gives_back(
    database: Database, work: Settlements, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await fund(database, 10_000, "father")
    pausing = Pausing(Boundary.BEFORE_COMMIT)
    slow = World(work, FakeRelation("father", "child", 9999), failpoints=pausing)
    under_way = asyncio.create_task(slow.settle(settle(1)))
    await pausing.arrived.wait()
    reversal = asyncio.create_task(World(work).reverse(90, of=1))
    await until_somebody_waits(database)
    pausing.go.set()
    assert reasons(await under_way) == ["SETTLED"]
    given_back = await reversal
    assert isinstance(given_back, Settlement)
    assert given_back.state is SettlementState.REVERSED
    assert await balance(raw) == 10_000


async def test_a_fence_and_a_settlement_at_the_same_moment_agree(database: Database, work: Settlements) -> None:
    await fund(database, 100_000, "father")
    patients = [f"child{number}" for number in range(10)]
    world = World(work, *(FakeRelation("father", patient, 1000) for patient in patients))
    for number, patient in enumerate(patients):
        answers, reversal = await asyncio.gather(
            world.settle(settle(number, bill(patient, 1000))), world.reverse(1000 + number, of=number)
        )
        assert isinstance(reversal, Settlement)
        now = await world.query.by_msgid("H65270100001", msgid(number))
        assert now == reversal, "its answer is final"
        if reversal.state is SettlementState.ABANDONED:
            assert reasons(answers) == ["ABANDONED"]


async def test_sweepers_pass_over_what_another_holds(database: Database, work: Settlements) -> None:
    patients = [f"child{number}" for number in range(8)]
    for number, patient in enumerate(patients):
        with pytest.raises(Crash):
            await World(work, failpoints=Dying(Boundary.AFTER_INTENT)).settle(settle(number, bill(patient, 1000)))
    world = World(work)
    assert await world.sweep(age_seconds=60) == 0
    assert sum(await asyncio.gather(*(world.sweep() for _ in range(3)))) == 8
    async with database.transaction() as transaction:
        released = await transaction.raw.fetchval("SELECT count(*) FROM outbox_event WHERE type LIKE '%HoldsReleased'")
    assert released == 8


async def test_nothing_is_posted_on_a_day_that_was_closed(
    database: Database, work: Settlements, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await fund(database, 10_000, "father")
    await raw.execute("INSERT INTO business_day VALUES ('2025-06-10', 'CLOSED', clock_timestamp(), 'operator')")
    answers = await World(work, FakeRelation("father", "child", 9999)).settle(settle(1))
    assert reasons(answers) == ["ABANDONED"]
    assert await balance(raw) == 10_000


async def test_a_credential_used_at_two_processes_serves_one_visit(work: Settlements) -> None:
    one, other = World(work), World(work)
    facts = one.credentials.read("child")
    assert facts is not None
    one.credentials.facts["shared"] = other.credentials.facts["shared"] = facts
    await one.settle(settle(1, bill("child", 100), credential="shared"))
    second = settle(2, bill("child", 100, mdtrt_id="another"), credential="shared")
    assert reasons(await other.settle(second)) == ["CREDENTIAL_INVALID"]
    with pytest.raises(Exception, match="msgid"):
        await other.query.by_msgid("H65270100001", msgid(2))


async def test_a_setl_id_of_nobody_is_not_found(work: Settlements) -> None:
    with pytest.raises(Exception, match="no settlement"):
        await World(work).query.by_id("H65270100001", UUID(int=5))
