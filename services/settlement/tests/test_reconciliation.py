"""What days come to, on memory and on PostgreSQL alike, against a plain model over random histories."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.reconciled import (
    BEFORE_MIDNIGHT,
    BEIJING,
    MIDNIGHT,
    OUTPATIENT,
    PATIENTS,
    PHARMACY,
    TODAY,
    TOMORROW,
    Region,
)

from kit.clock import FixedClock
from kit.db import Database, PostgresWork
from kit.failpoints import Boundary, Failpoints
from kit.testing import MemoryWork, patient_database, until_somebody_waits
from settlement import reconciliation_sql as sql
from settlement.account_repository import PostgresAccountRepository
from settlement.account_service import AccountService
from settlement.audit import audit
from settlement.domain.bill import ClearingType, MedicalType
from settlement.domain.contributing import Row
from settlement.domain.reasons import SettlementRefusedError
from settlement.domain.reconciliation import Amounts, Total, bounds, grand_total, require_over
from settlement.memory import MemorySettlements
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.reconciliation_memory import MemoryReconciliation
from settlement.reconciliation_repository import PostgresReconciliationRepository, ReconciliationRepository
from settlement.repository import SettlementRepository
from settlement.testing import (
    HOSPITAL,
    TEN_O_CLOCK,
    account,
    bill,
    hold,
    settle,
)
from settlement.testing_failpoints import Pausing

STEPS = st.tuples(
    st.sampled_from(["settle", "settle", "settle", "reverse", "resettle", "wait", "close"]),
    st.integers(0, 2**20),
)


def in_memory() -> Region:
    memory = MemorySettlements()
    memory.accounts |= {"father": account("father", 50_000), "grandfather": account("grandfather", 3_000)}
    return Region(MemoryWork(memory), MemoryWork[ReconciliationRepository](MemoryReconciliation(memory)))


class DaysContract:
    """What an institution may rely on, whatever the rows are kept in."""

    async def test_a_day_without_anything_comes_to_nothing(self, region: Region) -> None:
        assert await region.service.daily_totals(HOSPITAL, TODAY) == (None, {})

    async def test_totals_are_by_clearing_type_and_insurance_in_their_order(self, region: Region) -> None:
        await region.settle(300, med_type=MedicalType.PHARMACY)
        await region.settle(200, patient="grandfather", med_type=MedicalType.INPATIENT)
        await region.settle(100, fund_fen=40, hosp_fen=7)
        await region.settle(100, fund_fen=60)
        await region.settle(999, code=PHARMACY)
        _, totals = await region.service.daily_totals(HOSPITAL, TODAY)
        assert [column.place for column in totals] == [(HOSPITAL, 11, 390), (HOSPITAL, 21, 310), (HOSPITAL, 41, 390)]
        assert totals[OUTPATIENT] == Total(Amounts(2, 307, 100, 7, 0, 200, 0))
        assert totals[OUTPATIENT].net.to_pay_fen == 300

    async def test_both_sides_of_midnight_are_two_days(self, region: Region) -> None:
        region.at(BEFORE_MIDNIGHT)
        await region.settle(100)
        region.at(MIDNIGHT)
        await region.settle(30)
        assert (await region.totals(TODAY))[11, 390][0][:2] == [1, 100]
        assert (await region.totals(TOMORROW))[11, 390][0][:2] == [1, 30]

    async def test_a_reversal_counts_on_the_day_on_which_it_happens(self, region: Region) -> None:
        await region.settle(100)
        before = await region.totals(TODAY)
        region.at(MIDNIGHT)
        await region.reverse()
        assert await region.totals(TODAY) == before
        _, totals = await region.service.daily_totals(HOSPITAL, TOMORROW)
        assert totals == {OUTPATIENT: Total(refunds=Amounts(1, 100, 0, 0, 0, 100, 0))}
        assert totals[OUTPATIENT].net.to_pay_fen == -100

    async def test_settling_again_is_a_reversal_and_a_settlement(self, region: Region) -> None:
        await region.settle(100)
        await region.resettle(0, 70)
        _, totals = await region.service.daily_totals(HOSPITAL, TODAY)
        assert (totals[OUTPATIENT].gross.count, totals[OUTPATIENT].refunds.count) == (2, 1)
        assert totals[OUTPATIENT].net == Amounts(1, 70, 0, 0, 0, 70, 0)

    async def test_what_took_nothing_does_not_count(self, region: Region) -> None:
        await region.world.settle(settle(900, bill("child", 500), expected_acct_mulaid_pay_fen=1))
        await region.world.reverse(901, of=902)
        await region.world.hold(hold(903, bill("child", 500)))
        assert await region.totals(TODAY) == {}

    async def test_a_closed_day_keeps_its_totals_when_it_is_reversed_from(self, region: Region) -> None:
        await region.settle(100)
        await region.settle(50, code=PHARMACY)
        region.at(MIDNIGHT + timedelta(minutes=1))
        closing = await region.service.close_day(TODAY, "clerk:zhao")
        assert (closing.institutions, closing.total.gross.medfee_sumamt_fen) == (2, 150)
        assert (closing.closed.closed_by, closing.closed.closed_at) == ("clerk:zhao", region.now)
        await region.reverse()
        closed, totals = await region.service.daily_totals(HOSPITAL, TODAY)
        assert (closed, grand_total(totals.values())) == (closing.closed, Total(Amounts(1, 100, 0, 0, 0, 100, 0)))
        assert (await region.totals(TOMORROW))[11, 390][1][:2] == [1, 100]

    async def test_closing_again_says_what_the_first_closing_said(self, region: Region) -> None:
        region.at(MIDNIGHT + timedelta(minutes=1))
        first = await region.service.close_day(TODAY, "clerk:zhao")
        region.at(MIDNIGHT + timedelta(days=1))
        assert await region.service.close_day(TODAY, "clerk:qian") == first

    async def test_a_month_is_its_days_closed_and_open(self, region: Region) -> None:
        await region.settle(100, fund_fen=30)
        await region.settle(40, med_type=MedicalType.PHARMACY)
        await region.settle(999, code=PHARMACY)
        region.at(MIDNIGHT + timedelta(minutes=1))
        await region.close(TODAY)
        await region.reverse()
        await region.settle(7)
        region.at(datetime(2025, 7, 1, tzinfo=BEIJING))
        await region.settle(5_000)
        statement = await region.service.statement(HOSPITAL, TODAY)
        assert [each.day.day for each in statement.days] == list(range(1, 31))
        with_something = [each for each in statement.days if each.totals]
        assert [(each.day, each.closed is not None) for each in with_something] == [(TODAY, True), (TOMORROW, False)]
        assert len(statement.open_days) == 29
        assert TODAY not in statement.open_days
        assert statement.totals == {
            OUTPATIENT: Total(Amounts(2, 137, 30, 0, 0, 107, 0), Amounts(1, 130, 30, 0, 0, 100, 0)),
            replace(OUTPATIENT, clr_type=ClearingType.PHARMACY): Total(Amounts(1, 40, 0, 0, 0, 40, 0)),
        }
        assert grand_total(statement.totals.values()).net.to_pay_fen == 47

    async def test_a_month_whose_days_are_all_closed_is_final(self, region: Region) -> None:
        region.at(datetime(2025, 6, 30, 23, tzinfo=BEIJING))
        await region.settle(100)
        region.at(datetime(2025, 7, 1, 0, 1, tzinfo=BEIJING))
        for day in range(1, 31):
            await region.close(date(2025, 6, day))
        before = await region.service.statement(HOSPITAL, TODAY)
        assert before.open_days == ()
        await region.reverse()
        assert await region.service.statement(HOSPITAL, TODAY) == before
        assert grand_total((await region.service.statement(HOSPITAL, date(2025, 7, 9))).totals.values()).net.count == -1

    async def test_a_day_is_not_closed_until_a_minute_after_its_end(self, region: Region) -> None:
        for now in (BEFORE_MIDNIGHT, MIDNIGHT, MIDNIGHT + timedelta(seconds=59.999999)):
            region.at(now)
            with pytest.raises(SettlementRefusedError) as refused:
                await region.service.close_day(TODAY, "clerk:zhao")
            assert refused.value.reason == "DAY_NOT_OVER"
        assert (await region.service.daily_totals(HOSPITAL, TODAY))[0] is None
        region.at(MIDNIGHT + timedelta(minutes=1))
        await region.close(TODAY)

    async def test_nothing_is_settled_or_reversed_on_a_closed_day(self, region: Region) -> None:
        await region.settle(100)
        region.at(MIDNIGHT + timedelta(minutes=1))
        await region.close(TODAY)
        region.at(BEFORE_MIDNIGHT)
        with pytest.raises(AssertionError, match="given up"):
            await region.settle(30, patient="grandfather")
        with pytest.raises(Exception, match="closed"):
            await region.reverse()
        assert (await region.totals(TODAY))[11, 390][0][:2] == [1, 100]
        assert (await region.totals(TODAY))[11, 390][1][:2] == [0, 0]


class TestMemoryDays(DaysContract):
    @pytest.fixture
    def region(self) -> Region:
        return in_memory()

    @given(st.lists(STEPS, max_size=25))
    @settings(max_examples=60, deadline=None)
    async def test_days_are_what_a_plain_model_says(self, steps: list[tuple[str, int]]) -> None:
        await in_memory().play(steps)


class TestPostgresDays(DaysContract):
    @pytest.fixture
    async def database(self, database_url: str) -> AsyncIterator[Database]:
        database = patient_database(database_url, 4)
        async with PostgresWork(database, PostgresAccountRepository)() as repository:
            for psn_no in ("father", "grandfather"):
                await repository.add(replace(account(psn_no, 0), version=0))
        accounts = AccountService(PostgresWork(database, PostgresAccountRepository), FixedClock(TEN_O_CLOCK))
        await accounts.contribute(Row("father", "c1", 50_000))
        await accounts.contribute(Row("grandfather", "c2", 3_000))
        yield database
        await database.close()

    @pytest.fixture
    def region(self, database: Database) -> Region:
        return region_on(database)

    @pytest.mark.parametrize("seed", range(4))
    async def test_days_are_what_a_plain_model_says(self, database: Database, region: Region, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - a history to replay, no secret
        names = ["settle"] * 8 + ["reverse", "reverse", "resettle", "resettle", "wait", "wait", "close"]
        await region.play([(chance.choice(names), chance.randrange(2**20)) for _ in range(60)])
        assert (await audit(database, 60)).found == 0

    async def test_closing_waits_for_what_is_being_posted_on_the_day(self, database: Database) -> None:
        pausing = Pausing(Boundary.BEFORE_COMMIT)
        region = region_on(database, pausing)
        region.at(BEFORE_MIDNIGHT)
        settling = asyncio.create_task(region.settle(100))
        await pausing.arrived.wait()
        closer = region_on(database)
        closer.at(MIDNIGHT + timedelta(minutes=1))
        closing = asyncio.create_task(closer.service.close_day(TODAY, "clerk:zhao"))
        await until_somebody_waits(database)
        pausing.go.set()
        assert (await settling).setl_time == BEFORE_MIDNIGHT
        assert (await closing).total.gross.medfee_sumamt_fen == 100
        assert (await audit(database, 60)).found == 0

    async def test_a_day_closed_while_much_is_settled_and_reversed_has_it_all(self, database: Database) -> None:
        past_midnight = asyncio.Barrier(len(PATIENTS) + 1)
        regions = [region_on(database, first=number * 1_000) for number in range(1, 4)]
        closer = region_on(database)
        closer.at(MIDNIGHT + timedelta(minutes=1))

        async def work(region: Region, patient: str) -> None:
            region.at(BEFORE_MIDNIGHT)
            for number in range(12):
                if number == 6:
                    region.at(MIDNIGHT)
                    await past_midnight.wait()
                await region.settle(100 + number, patient=patient, code=(HOSPITAL, PHARMACY)[number % 2])
                if number % 3 == 2:
                    await region.reverse()

        async def close() -> None:
            await past_midnight.wait()
            await closer.close(TODAY)

        await asyncio.gather(close(), *(work(*each) for each in zip(regions, PATIENTS, strict=True)))
        for day in (TODAY, TOMORROW):
            for code in (HOSPITAL, PHARMACY):
                models = [region.model.of(day, code) for region in regions]
                assert await closer.totals(day, code) == added(models)
        assert (await audit(database, 60)).found == 0

    async def test_closed_days_and_their_totals_cannot_be_changed(self, database: Database, region: Region) -> None:
        await region.settle(100)
        region.at(MIDNIGHT + timedelta(minutes=1))
        await region.close(TODAY)
        for statement in (
            "UPDATE business_day SET state = 'OPEN' WHERE state = 'CLOSED'",
            "DELETE FROM business_day WHERE state = 'CLOSED'",
            "UPDATE daily_total SET gross_count = 2",
            "DELETE FROM daily_total",
            "TRUNCATE daily_total",
        ):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="closed day never changes"):
                await run(database, statement)

    async def test_the_audit_finds_days_that_were_tampered_with(self, database: Database, region: Region) -> None:
        await region.settle(100)
        region.at(MIDNIGHT + timedelta(minutes=1))
        await region.close(TODAY)
        for guard in GUARDS:
            await run(database, guard)
        for statement, finding in TAMPERED:
            async with database.shared() as transaction:
                inside = transaction.raw.transaction()
                await inside.start()
                await transaction.raw.execute(statement)
                report = await audit(database, 60)
                await inside.rollback()
            told = [result.name for result in report.results if result.found]
            assert any(name.startswith(finding) for name in told), (statement, told)
        assert (await audit(database, 60)).found == 0

    async def test_premiums_are_in_no_totals_and_no_lines(self, database: Database, region: Region) -> None:
        await region.settle(100)
        await region.settle(30)
        await region.reverse()
        for statement in (*GUARDS, "UPDATE settlement SET kind = 'PREMIUM'"):
            await run(database, statement)
        assert await region.totals(TODAY) == {}
        assert [page async for page in region.service.details(HOSPITAL, TODAY)] == []
        region.at(MIDNIGHT + timedelta(minutes=1))
        assert (await region.service.close_day(TODAY, "clerk:zhao")).institutions == 0

    async def test_a_day_is_found_by_its_index(self, database: Database, region: Region) -> None:
        await run(database, MANY_SETTLEMENTS)
        await run(database, "ANALYZE settlement")
        for query, arguments in (
            (sql.TOTALS, (TODAY, *bounds(TODAY))),
            (sql.TOTALS_OF_INSTITUTION, (TODAY, *bounds(TODAY), HOSPITAL)),
        ):
            async with database.transaction() as transaction:
                plan = "\n".join(row[0] for row in await transaction.raw.fetch(f"EXPLAIN {query}", *arguments))
            assert "settlement_of_day" in plan, plan
            assert "reversal_of_day" in plan, plan
            assert "Seq Scan" not in plan, plan
        assert (await region.totals(TODAY))[11, 390][0][0] == 10


GUARDS = (
    *(f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in ("entry", "business_day", "daily_total")),
    """
    DO $$ DECLARE guard record; BEGIN
        FOR guard IN SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = 'settlement'::regclass
        LOOP EXECUTE format('ALTER TABLE settlement DROP CONSTRAINT %I', guard.conname); END LOOP;
    END $$
    """,
)
TAMPERED = [
    ("UPDATE daily_total SET gross_count = gross_count + 1", "a closed day's totals are"),
    ("DELETE FROM daily_total", "a closed day's totals are"),
    ("INSERT INTO daily_total SELECT 'H65270100099', day, 11, 390, 1" + ", 0" * 13 + " FROM daily_total", "a closed"),
    ("UPDATE settlement SET psn_cash_pay_fen = psn_cash_pay_fen + 1", "a closed day's totals are"),
    ("UPDATE settlement SET reversed_at = setl_time, state = 'REVERSED'", "a closed day's totals are"),
    ("UPDATE settlement SET business_day = business_day + 1", "a settlement counts on"),
    ("UPDATE settlement SET setl_time = setl_time - interval '1 day'", "a settlement counts on"),
    ("DELETE FROM entry", "what accounts pay by"),
    ("UPDATE entry SET account_key = 'H65270100002' WHERE account_kind = 'CLEARING'", "what accounts pay by"),
]
MANY_SETTLEMENTS = """
INSERT INTO settlement (id, fixmedins_code, msgid, body_hash, state, psn_no, medfee_sumamt_fen, fund_pay_sumamt_fen,
                        psn_part_amt_fen, hosp_part_amt_fen, clr_type, insutype, setl_time, reversed_at, business_day,
                        acct_pay_fen, acct_mulaid_pay_fen, psn_cash_pay_fen)
SELECT gen_random_uuid(), 'H652701' || lpad((1 + number / 100 % 20)::text, 5, '0'), 'm' || number, '',
       CASE WHEN number % 7 = 0 THEN 'REVERSED' ELSE 'SETTLED' END, 'child', 1, 0, 1, 0, 11, 390, at,
       CASE WHEN number % 7 = 0 THEN at + interval '1 hour' END, at::date, 0, 0, 1
FROM (SELECT number, timestamptz '2025-06-10T04:00:00Z' + number % 100 * interval '1 day' AS at
      FROM generate_series(0, 19999) AS number) AS made
"""


async def run(database: Database, statement: str) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute(statement)


def region_on(database: Database, failpoints: Failpoints | None = None, *, first: int = 1) -> Region:
    return Region(
        PostgresWork[SettlementRepository](database, PostgresSettlementRepository),
        PostgresWork[ReconciliationRepository](database, PostgresReconciliationRepository),
        failpoints,
        first,
    )


Sums = dict[tuple[int, int], tuple[list[int], list[int]]]


def added(parts: Sequence[Sums]) -> Sums:
    nothing = ([0] * 7, [0] * 7)

    def side(key: tuple[int, int], place: int) -> list[int]:
        return [sum(numbers) for numbers in zip(*(part.get(key, nothing)[place] for part in parts), strict=True)]

    return {key: (side(key, 0), side(key, 1)) for key in sorted({key for part in parts for key in part})}


@pytest.mark.parametrize("now", [BEFORE_MIDNIGHT, TEN_O_CLOCK])
def test_a_day_that_is_going_on_may_not_be_closed(now: datetime) -> None:
    with pytest.raises(SettlementRefusedError):
        require_over(TODAY, now)
    require_over(TODAY - timedelta(days=1), now)


@given(st.lists(st.tuples(*[st.integers(0, 10**12)] * 7), max_size=6))
def test_amounts_add_up_and_back(parts: list[tuple[int, ...]]) -> None:
    amounts = [Amounts(*each) for each in parts]
    total = sum(amounts, Amounts())
    assert total.parts == tuple(map(sum, zip(*parts, strict=True))) or not parts
    for each in amounts:
        total -= each
    assert total == Amounts()
