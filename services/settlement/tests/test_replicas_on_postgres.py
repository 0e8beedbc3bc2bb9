"""Two replicas on one database, the second of which comes between two statements of the first."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from kit.db import Database, PostgresWork, Transaction
from kit.testing import patient_database, until_somebody_waits
from settlement.account_repository import PostgresAccountRepository
from settlement.domain.accounts import Account
from settlement.domain.quotes import Quote
from settlement.domain.state import Intent, Settlement
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.repository import Written
from settlement.testing import QUOTES_LAST, FakeRelation, World, account, bill, hold, msgid, settle


class Slow(PostgresSettlementRepository):
    """Stands still before one kind of statement until it is let go, each time that it comes there."""

    def __init__(self, transaction: Transaction, before: str) -> None:
        super().__init__(transaction)
        self._before = before
        self.arrived, self.go = asyncio.Event(), asyncio.Event()

    async def _reach(self, place: str) -> None:
        if place == self._before:
            self.arrived.set()
            await self.go.wait()

    async def add_intents(self, intents: Sequence[Intent]) -> dict[UUID, Written]:
        await self._reach("add_intents")
        return await super().add_intents(intents)

    async def add_fences(self, fences: Sequence[Settlement]) -> set[UUID]:
        await self._reach("add_fences")
        return await super().add_fences(fences)

    async def lock_accounts(self, psn_nos: Iterable[str]) -> dict[str, Account]:
        await self._reach("lock_accounts")
        return await super().lock_accounts(psn_nos)


class Replicas:
    """A quick one and a slow one, which ask the same binding."""

    def __init__(self, database: Database, *relations: FakeRelation) -> None:
        self._database = database
        self._slow: asyncio.Queue[Slow] = asyncio.Queue()
        self._before = ""
        self.quick = World(PostgresWork(database, PostgresSettlementRepository), *relations)
        self.slow = World(PostgresWork(database, self._make), authorizer=self.quick.binding)

    def _make(self, transaction: Transaction) -> Slow:
        made = Slow(transaction, self._before)
        self._slow.put_nowait(made)
        return made

    async def stop(self, before: str) -> Slow:
        """Let the slow one's next transaction stand still there; it, once it does."""
        self._before = before
        slow = await self._slow.get()
        await slow.arrived.wait()
        self._before = ""
        return slow


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = patient_database(database_url)
    await database.connect()
    async with PostgresWork(database, PostgresAccountRepository)() as repository:
        await repository.add(account("father", 10_000))
        await repository.add(account("child", 10_000))
    yield database
    await database.close()


@pytest.fixture
async def raw(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def replicas(database: Database) -> Replicas:
    return Replicas(database, FakeRelation("father", "child", 1_000))


@pytest.mark.parametrize("aid", [True, False], ids=["payers are asked", "nobody is asked"])
async def test_a_preview_that_comes_twice_is_held_once_and_answered_twice(
    replicas: Replicas, raw: "asyncpg.Connection[asyncpg.Record]", *, aid: bool
) -> None:
    same = hold(1, bill("child", 900), use_mutual_aid=aid)
    late = asyncio.create_task(replicas.slow.hold(same))
    slow = await replicas.stop("add_intents")
    (quote,) = await replicas.quick.hold(same)
    assert isinstance(quote, Quote)
    slow.go.set()
    assert await late == [quote]
    assert await raw.fetchval("SELECT count(*) FROM settlement") == 0


async def test_a_bill_is_refused_under_the_msgid_of_a_preview_that_came_meanwhile(
    replicas: Replicas, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    late = asyncio.create_task(replicas.slow.settle(settle(1, bill("child", 500)), settle(2, bill("baby", 500))))
    slow = await replicas.stop("add_intents")
    await replicas.quick.hold(hold(1, bill("child", 900)))
    slow.go.set()
    refused, settled = await late
    assert getattr(refused, "reason", "") == "MSGID_REUSED"
    assert isinstance(settled, Settlement)
    assert await raw.fetchval("SELECT array_agg(msgid) FROM settlement") == [msgid(2)]


async def test_a_bill_is_refused_under_the_msgid_of_a_reversal_that_came_meanwhile(replicas: Replicas) -> None:
    late = asyncio.create_task(replicas.slow.settle(settle(1, bill("child", 500))))
    slow = await replicas.stop("add_intents")
    await replicas.quick.reverse(1, of=77)
    slow.go.set()
    (refused,) = await late
    assert getattr(refused, "reason", "") == "MSGID_REUSED"


async def test_no_fence_is_put_under_the_msgid_of_a_preview_that_came_meanwhile(
    replicas: Replicas, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    late = asyncio.create_task(replicas.slow.reverse(90, of=1))
    slow = await replicas.stop("add_fences")
    (quote,) = await replicas.quick.hold(hold(1, bill("child", 900)))
    assert isinstance(quote, Quote)
    slow.go.set()
    assert getattr(await late, "reason", "") == "NOT_FOUND"
    assert await raw.fetchval("SELECT count(*) FROM settlement") == 0


async def test_a_batch_waits_for_those_who_free_what_its_patients_held(replicas: Replicas, database: Database) -> None:
    (held,) = await replicas.quick.hold(hold(1, bill("child", 900), acct_used_flag=False))
    assert isinstance(held, Quote)
    assert held.split.acct_mulaid_pay_fen == 900  # of the 1,000 that the relation allows
    for world in (replicas.slow, replicas.quick):
        world.clock.advance(QUOTES_LAST)
        world.credentials.expires_at += timedelta(hours=1)
    others = asyncio.create_task(replicas.slow.settle(settle(2, bill("baby", 500))))
    slow = await replicas.stop("lock_accounts")
    mine = asyncio.create_task(replicas.quick.settle(settle(3, bill("child", 1_000), acct_used_flag=False)))
    waits = asyncio.create_task(until_somebody_waits(database))
    await asyncio.wait({mine, waits}, return_when=asyncio.FIRST_COMPLETED)
    slow.go.set()
    (settled,) = await mine
    waits.cancel()
    await others
    assert isinstance(settled, Settlement)
    assert settled.split is not None
    assert settled.split.acct_mulaid_pay_fen == 1_000
