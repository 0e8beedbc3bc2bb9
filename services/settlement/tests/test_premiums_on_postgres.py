"""Premiums on a real database: the contract of their repository, and what only locks and unique keys can decide."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from uuid import UUID, uuid4

import asyncpg
import pytest

from kit.clock import FixedClock
from kit.db import Database, PostgresWork, Work
from kit.failpoints import Boundary, Failpoints
from kit.ids import uuid7
from kit.testing import MemoryWork, patient_database
from settlement.account_repository import AccountRepository, PostgresAccountRepository
from settlement.account_service import AccountService
from settlement.audit import audit
from settlement.domain.accounts import Account, AccountState
from settlement.domain.allocate import Line, Split
from settlement.domain.body_hash import order_fingerprint
from settlement.domain.contributing import Row
from settlement.domain.premiums import Terms, premium_order, priced
from settlement.domain.projection import Enrolled, PersonKnown
from settlement.domain.state import (
    Intent,
    Premium,
    Settlement,
    SettlementState,
    abandoned,
    refused,
    reversed_with,
    settled,
)
from settlement.domain.visit import InsuranceStatus, InsuranceType
from settlement.memory import MemorySettlements
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.projection_repository import PostgresProjectionRepository
from settlement.repository import SettlementRepository
from settlement.testing import TEN_O_CLOCK, FakeRelation, World, bill, settle
from settlement.testing_failpoints import Pausing

TERMS = Terms(2026, 40_000, date(2025, 6, 1), date(2025, 9, 30))
TODAY = date(2025, 6, 10)
PENDING_AGE_SECONDS = 30.0
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


@pytest.fixture(params=["memory", "postgres"])
def either(request: pytest.FixtureRequest) -> Settlements:
    """Both that keep the contract."""
    if request.param == "memory":
        return MemoryWork(MemorySettlements())
    postgres: Settlements = request.getfixturevalue("work")
    return postgres


@pytest.fixture
async def raw(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


# the contract


def intent(payer: str = "father", insured: str = "child", year: int = 2026) -> Intent:
    order = priced(premium_order(str(uuid4()), insured, Premium(year, payer)), replace(TERMS, year=year))
    return Intent(uuid7(), order, order_fingerprint(order), InsuranceType.RESIDENT, None, TEN_O_CLOCK)


async def is_begun(work: Settlements, each: Intent) -> bool:
    async with work() as repository:
        return each.settlement_id in await repository.add_intents([each])


async def save(work: Settlements, settlement: Settlement) -> Settlement:
    async with work() as repository:
        await repository.lock([settlement.settlement_id])
        await repository.save([settlement], TODAY)
        return (await repository.find_by_ids([settlement.settlement_id]))[settlement.settlement_id]


async def pay(work: Settlements, each: Intent) -> Settlement:
    """A row as a payment leaves it."""
    assert await is_begun(work, each)
    line = Line("father", UUID(int=7), 40_000, 60_000)
    return await save(work, settled(each.settlement, Split(0, 40_000, 0, None, (line,)), TEN_O_CLOCK))


async def test_of_what_was_said_of_a_year_the_last_word_holds(either: Settlements) -> None:
    dearer = replace(TERMS, amount_fen=42_000, collect_to=date(2025, 12, 31))
    for terms in (TERMS, replace(TERMS, year=2027), dearer):
        async with either() as repository:
            await repository.premiums.state(terms, "operator", TEN_O_CLOCK)
    async with either() as repository:
        assert await repository.premiums.terms([2026, 2028]) == {2026: dearer}
        assert await repository.premiums.terms([]) == {}


async def test_a_premium_is_read_as_it_was_written(either: Settlements) -> None:
    each = intent()
    paid = await pay(either, each)
    assert paid.order == each.order
    assert paid.fingerprint == each.fingerprint
    assert paid.insutype is InsuranceType.RESIDENT


@pytest.mark.parametrize("reason", ["LIMIT_REACHED", "INSUFFICIENT_BALANCE", "RELATION_SUSPENDED"])
async def test_why_it_was_refused_is_kept_with_the_window(either: Settlements, reason: str) -> None:
    each = intent()
    assert await is_begun(either, each)
    window = "YEAR" if reason == "LIMIT_REACHED" else None
    kept = await save(either, refused(each.settlement, reason, window))
    assert (kept.state, kept.reason, kept.reason_window) == (SettlementState.REFUSED, reason, window)


async def test_a_person_and_year_is_paid_or_under_way_once(either: Settlements) -> None:
    first = intent()
    assert await is_begun(either, first)
    assert not await is_begun(either, intent("mother"))
    await save(either, abandoned(first.settlement))
    paid = await pay(either, intent())
    assert not await is_begun(either, intent("mother"))
    await pay(either, intent(year=2027))
    await pay(either, intent(insured="baby"))
    await save(either, reversed_with(paid, (), TEN_O_CLOCK))
    assert await is_begun(either, intent("mother"))


async def test_only_what_is_paid_counts_as_paid(either: Settlements) -> None:
    await pay(either, intent())
    assert await is_begun(either, intent(insured="baby"))
    given_back = await pay(either, intent(insured="sister"))
    await save(either, reversed_with(given_back, (), TEN_O_CLOCK))
    async with either() as repository:
        asked = [(name, year) for name in ("child", "baby", "sister") for year in (2026, 2027)]
        assert await repository.premiums.paid(asked) == {("child", 2026)}
        assert await repository.premiums.paid([]) == set()


async def test_payments_are_listed_for_payer_and_insured_newest_first_in_pages(either: Settlements) -> None:
    one = await pay(either, intent())
    other = await pay(either, intent(year=2027))
    given_back = await pay(either, intent("mother", "baby"))
    await save(either, reversed_with(given_back, (), TEN_O_CLOCK))
    assert await is_begun(either, intent("father", "sister"))
    async with either() as repository:
        newest = repository.premiums.newest
        both = [other.settlement_id, one.settlement_id]
        assert await newest("father", None, None, 10) == both
        assert await newest("child", None, None, 10) == both
        assert await newest("father", None, None, 1) == both[:1]
        assert await newest("father", None, other.settlement_id, 10) == both[1:]
        assert await newest("father", 2026, None, 10) == both[1:]
        assert await newest("baby", None, None, 10) == await newest("mother", 2026, None, 10)
        assert await newest("baby", None, None, 10) == [given_back.settlement_id]
        assert await newest("sister", None, None, 10) == await newest("nobody", None, None, 10) == []


# the whole pipeline


async def prepare(database: Database, work: Settlements, balance_fen: int = 100_000) -> None:
    """Payers with money, a child insured under 390, a premium that is being collected."""
    accounts = PostgresWork[AccountRepository](database, PostgresAccountRepository)
    for owner in ("father", "mother"):
        async with accounts() as repository:
            await repository.add(Account(owner, AccountState.OPEN, 0, 0, 0))
        await AccountService(accounts, FixedClock(TEN_O_CLOCK)).contribute(Row(owner, f"first-{owner}", balance_fen))
    resident = Enrolled(
        "child", 1, TEN_O_CLOCK, date(2025, 1, 1), None, InsuranceType.RESIDENT, "652701", InsuranceStatus.NORMAL, False
    )
    person = PersonKnown("child", 1, TEN_O_CLOCK, enrolments=(resident,))
    async with PostgresWork(database, PostgresProjectionRepository)() as people:
        await people.people([person])
        await people.save_people([person])
    async with work() as settlements:
        await settlements.premiums.state(TERMS, "operator", TEN_O_CLOCK)


def replica(work: Settlements, failpoints: Failpoints | None = None) -> World:
    """One process of several, each with a binding of its own."""
    relations = [FakeRelation(payer, "child", 500_000) for payer in ("father", "mother")]
    return World(work, *relations, failpoints=failpoints)


async def pay_at(world: World, payer: str, payment_id: str = "") -> str:
    premium = Premium(2026, payer)
    order = premium_order(payment_id or str(uuid4()), "child", premium)
    try:
        return str((await world.pipeline.premiums.pay(order, premium)).state)
    except Exception as refusal:  # noqa: BLE001 - whatever refuses has its reason
        return str(getattr(refusal, "reason", repr(refusal)))


async def balances(raw: "asyncpg.Connection[asyncpg.Record]") -> list[int]:
    rows = await raw.fetch("SELECT balance_fen FROM account ORDER BY psn_no")
    return [row["balance_fen"] for row in rows]


async def test_of_two_payers_at_two_processes_exactly_one_pays(
    database: Database, work: Settlements, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await prepare(database, work)
    worlds = [replica(work) for _ in range(6)]
    payers = ["father", "mother"] * 3
    answers = await asyncio.gather(*(pay_at(world, payer) for world, payer in zip(worlds, payers, strict=True)))
    assert answers.count("SETTLED") == 1
    assert set(answers) <= {"SETTLED", "IN_PROGRESS", "PREMIUM_ALREADY_PAID"}
    assert sum(await balances(raw)) == 160_000
    assert {await pay_at(replica(work), payer) for payer in payers} == {"PREMIUM_ALREADY_PAID"}
    assert sum(await balances(raw)) == 160_000


async def test_who_comes_while_another_pays_is_told_so_and_then_that_it_is_paid(
    database: Database, work: Settlements, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await prepare(database, work)
    pausing = Pausing(Boundary.AFTER_AUTHORIZE)
    under_way = asyncio.create_task(pay_at(replica(work, pausing), "father"))
    await pausing.arrived.wait()
    other = str(uuid4())
    assert await pay_at(replica(work), "mother", other) == "IN_PROGRESS"
    pausing.go.set()
    assert await under_way == "SETTLED"
    assert await pay_at(replica(work), "mother", other) == "PREMIUM_ALREADY_PAID"
    assert await balances(raw) == [60_000, 100_000]


async def test_the_same_request_at_several_processes_is_paid_once(
    database: Database, work: Settlements, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await prepare(database, work)
    payment_id = str(uuid4())
    answers = await asyncio.gather(*(pay_at(replica(work), "father", payment_id) for _ in range(4)))
    assert "SETTLED" in answers
    assert set(answers) <= {"SETTLED", "IN_PROGRESS"}
    assert await pay_at(replica(work), "father", payment_id) == "SETTLED"
    assert await balances(raw) == [60_000, 100_000]


async def test_a_payment_that_was_swept_while_it_stood_still_takes_nothing(
    database: Database, work: Settlements, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await prepare(database, work)
    pausing = Pausing(Boundary.AFTER_AUTHORIZE)
    slow = asyncio.create_task(pay_at(replica(work, pausing), "father"))
    await pausing.arrived.wait()
    assert await replica(work).sweep() == 1
    assert await pay_at(replica(work), "mother") == "SETTLED"
    pausing.go.set()
    assert await slow == "ABANDONED"
    assert await balances(raw) == [100_000, 60_000]
    types = [row["type"].rsplit(".", 1)[1] for row in await raw.fetch("SELECT type FROM outbox_event ORDER BY id")]
    assert types[2:] == ["HoldsReleased", "PremiumPaid", "AccountDebited"]


async def test_a_refund_at_two_processes_gives_back_once(
    database: Database, work: Settlements, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await prepare(database, work)
    world = replica(work)
    assert await pay_at(world, "father") == "SETTLED"
    premium_id = await raw.fetchval("SELECT id FROM settlement")
    one, other = await asyncio.gather(
        *(replica(work).pipeline.premiums.refund(premium_id, payer) for payer in ("father", None))
    )
    assert one == other
    assert one.state is SettlementState.REVERSED
    assert await balances(raw) == [100_000, 100_000]


async def test_a_statement_tells_premiums_apart_from_bills(database: Database, work: Settlements) -> None:
    await prepare(database, work)
    world = replica(work)
    assert await pay_at(world, "father") == "SETTLED"
    await world.settle(settle(1, bill("child", 100)))
    async with PostgresWork(database, PostgresAccountRepository)() as accounts:
        lines = await accounts.statement("father", None, 2)
    told = [(str(line.kind), line.amount_fen, line.patient_psn_no, line.fixmedins_code) for line in lines]
    assert told == [("SETTLEMENT", -100, "child", "H65270100001"), ("PREMIUM", -40_000, "child", "")]


LINES = "a settlement's lines and refunds are its entries; what is reversed nets to zero"


async def findings(database: Database) -> dict[str, tuple[str, ...]]:
    """What the audit finds, by check."""
    report = await audit(database, PENDING_AGE_SECONDS)
    return {result.name: result.findings for result in report.results if result.findings}


async def test_the_audit_finds_nothing_in_premiums_and_finds_each_that_was_tampered_with(
    database: Database, work: Settlements, raw: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await prepare(database, work)
    world = replica(work)
    assert await pay_at(world, "father") == "SETTLED"
    await world.pipeline.premiums.refund(await raw.fetchval("SELECT id FROM settlement"), None)
    assert await pay_at(world, "mother") == "SETTLED"
    assert await findings(database) == {}
    await raw.execute("ALTER TABLE entry DISABLE TRIGGER USER")
    await raw.execute("UPDATE entry SET account_key = '2027' WHERE account_kind = 'PREMIUM' AND amount_fen > 0")
    found = await findings(database)
    assert [finding.rpartition(": ")[2] for finding in found[LINES]] == [
        "reversed, yet 2 account(s) did not get back what they paid",
        "1 entries of another institution or year",
    ]
