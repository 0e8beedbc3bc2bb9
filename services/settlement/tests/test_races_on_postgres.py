"""Operators, hospitals and replicas who do at one moment what only one of them can do, on a real database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from kit.clock import FixedClock
from kit.db import Database, PostgresWork, Work
from kit.testing import patient_database
from settlement.account_repository import PostgresAccountRepository
from settlement.account_service import AccountService
from settlement.audit import audit
from settlement.closing_repository import PostgresClosingRepository
from settlement.closing_service import ClosingService
from settlement.domain.accounts import Account, AccountState, Instruction, StateForbidsError
from settlement.domain.closing import PayoutOrder, PayoutWay
from settlement.domain.contributing import Row
from settlement.domain.state import Settlement, SettlementState
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.repository import SettlementRepository
from settlement.testing import HOSPITAL, FakeRelation, World, bill, hold, msgid, resettle, settle

Settlements = Work[SettlementRepository]
TEN = datetime(2025, 6, 10, 2, tzinfo=UTC)
ORDER = PayoutOrder(PayoutWay.TRANSFER, Instruction("moved", "letter 7", "operator"), "PAY-1")
FREEZE = Instruction("debt", "court 3", "operator")


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
async def accounts(database: Database) -> AccountService:
    """With an account of the father, to which 10,000 fen have come."""
    work = PostgresWork(database, PostgresAccountRepository)
    async with work() as repository:
        await repository.add(Account("father", AccountState.OPEN, 0, 0, 0))
    service = AccountService(work, FixedClock(TEN))
    await service.contribute(Row("father", "c-first", 10_000))
    return service


@pytest.fixture
def closing(database: Database) -> ClosingService:
    return ClosingService(PostgresWork(database, PostgresClosingRepository), FixedClock(TEN))


async def in_order(database: Database) -> None:
    report = await audit(database, 60.0)
    assert [result for result in report.results if result.found] == []


async def test_of_replicas_that_settle_one_again_or_reverse_it_at_once_one_does(
    database: Database, work: Settlements, accounts: AccountService
) -> None:
    replicas = [World(work, FakeRelation("father", "child", 20_000)) for _ in range(4)]
    await replicas[0].settle(settle(1, bill("child", 6000)))
    again = [
        replica.settle(resettle(10 + place, 1, bill("child", 5000 - place))) for place, replica in enumerate(replicas)
    ]
    batches, reversal = await asyncio.gather(asyncio.gather(*again), replicas[0].reverse(90, of=1))
    answers = [answer for batch in batches for answer in batch]
    done = [answer for answer in answers if isinstance(answer, Settlement)]
    assert len(done) <= 1
    assert {str(getattr(each, "reason", "")) for each in answers if each not in done} <= {
        "ALREADY_REVERSED",
        "IN_PROGRESS",
        "ABANDONED",
    }
    assert isinstance(reversal, Settlement)
    assert reversal.state is SettlementState.REVERSED
    taken = done[0].split.acct_mulaid_pay_fen if done and done[0].split else 0
    assert (await accounts.get("father")).balance_fen == 10_000 - taken
    first = await replicas[0].query.by_msgid(HOSPITAL, msgid(1))
    assert first.state is SettlementState.REVERSED
    await in_order(database)


async def test_an_account_that_is_closed_while_bills_are_paid_from_it_pays_out_just_the_rest(
    database: Database, work: Settlements, accounts: AccountService, closing: ClosingService
) -> None:
    patients = [f"child{number}" for number in range(12)]
    world = World(work, *(FakeRelation("father", patient, 1000) for patient in patients))
    bills = [world.settle(settle(number, bill(patient, 700))) for number, patient in enumerate(patients)]
    came = [accounts.contribute(Row("father", f"c-{number}", 10)) for number in range(4)]
    freezing = [accounts.freeze("father", FREEZE), accounts.unfreeze("father", FREEZE)]
    closings = [closing.close("father", ORDER) for _ in range(3)]
    paid, credited, _, closed = await asyncio.gather(
        asyncio.gather(*bills),
        asyncio.gather(*came, return_exceptions=True),
        asyncio.gather(*freezing, return_exceptions=True),
        asyncio.gather(*closings, return_exceptions=True),
    )
    if (await accounts.get("father")).state is AccountState.FROZEN:  # then every closing was refused
        await accounts.unfreeze("father", FREEZE)
    last = await closing.close("father", ORDER)
    assert last.account.state is AccountState.CLOSED
    spent = sum(each.split.acct_mulaid_pay_fen for (each,) in paid if isinstance(each, Settlement) and each.split)
    payouts = [each.payout for each in (*closed, last) if not isinstance(each, BaseException) and each.payout]
    assert (
        sum(payout.amount_fen for payout in payouts)
        == 10_000 + 10 * sum(isinstance(each, int) for each in credited) - spent
    )
    assert len(payouts) == 1
    await in_order(database)


async def test_what_a_preview_holds_at_that_moment_keeps_the_account_open_or_is_not_held(
    database: Database, work: Settlements, accounts: AccountService, closing: ClosingService
) -> None:
    world = World(work, FakeRelation("father", "child", 20_000))
    (quote,), closed = await asyncio.gather(
        world.hold(hold(1, bill("child", 900))), asyncio.gather(closing.close("father", ORDER), return_exceptions=True)
    )
    father = await accounts.get("father")
    if father.state is AccountState.CLOSED:
        assert (father.balance_fen, father.held_fen) == (0, 0)
    else:
        assert isinstance(closed[0], StateForbidsError)
        assert (father.balance_fen, father.held_fen) == (10_000, 900)
    assert not isinstance(quote, Exception)
    await in_order(database)
