"""Days are closed by the clock: which, in what order, once, and what is told of those that stay open."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from support.reconciled import BEFORE_MIDNIGHT, BEIJING, MIDNIGHT, TODAY, TOMORROW, Region
from typer.testing import CliRunner

from kit.clock import FixedClock
from kit.db import Database, PostgresWork
from kit.testing import MemoryWork, patient_database
from settlement.cli import app
from settlement.close_day_command import CLOSED_BY, closings
from settlement.domain.reasons import SettlementRefusedError
from settlement.domain.reconciliation import (
    MOST_DAYS_BACK,
    bounds,
    days_to_close,
    first_looked_at,
    last_over,
    require_over,
)
from settlement.memory import MemorySettlements
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.reconciliation_memory import MemoryReconciliation
from settlement.reconciliation_repository import PostgresReconciliationRepository, ReconciliationRepository
from settlement.reconciliation_service import ReconciliationService
from settlement.repository import SettlementRepository
from settlement.testing import account
from settlement.unclosed_days import UnclosedDays

OF_JUNE = [date(2025, 6, number) for number in range(1, 31)]
MINUTE = timedelta(minutes=1)
NOON = datetime(2025, 6, 12, 12, tzinfo=BEIJING)
DATES = st.dates(date(2024, 1, 1), date(2026, 12, 31))
SINCE = "gongji_settlement_unclosed_since_seconds"


@given(DATES, st.timedeltas(timedelta(0), timedelta(days=2)))
def test_the_last_day_that_is_over_is_the_last_that_may_be_closed(day: date, later: timedelta) -> None:
    now = datetime.combine(day, datetime.min.time(), BEIJING) + later
    last = last_over(now)
    require_over(last, now)
    with pytest.raises(SettlementRefusedError):
        require_over(last + timedelta(days=1), now)


@given(DATES, st.sets(DATES, max_size=6), st.sets(DATES, max_size=6), DATES)
def test_every_day_is_closed_that_is_over_and_not_closed(
    first: date, opened: set[date], closed: set[date], last: date
) -> None:
    opened -= closed
    found = days_to_close(first, opened, closed, last)
    assert found == sorted(set(found))
    assert not closed & set(found)
    for number in range(1100):
        day = date(2024, 1, 1) + timedelta(days=number)
        is_due = day <= last and day not in closed and (day >= first or day in opened)
        assert (day in found) == is_due


def test_quiet_days_are_looked_at_from_the_first_of_a_month_on_and_a_year_back_at_most() -> None:
    assert first_looked_at(date(2025, 6, 10), date(2025, 6, 12)) == date(2025, 6, 1)
    assert first_looked_at(date(1900, 1, 1), TODAY) == TODAY - timedelta(days=MOST_DAYS_BACK)


class ToCloseContract:
    """Which days are to be closed, whatever the rows are kept in."""

    async def test_before_anything_was_posted_there_is_nothing_to_close(self, region: Region) -> None:
        region.at(NOON)
        assert await region.service.to_close() == []

    async def test_a_day_is_to_be_closed_from_a_minute_after_its_end(self, region: Region) -> None:
        region.at(BEFORE_MIDNIGHT)
        await region.settle(100)
        for now in (BEFORE_MIDNIGHT, MIDNIGHT, MIDNIGHT + MINUTE - timedelta(microseconds=1)):
            region.at(now)
            assert TODAY not in await region.service.to_close()
        region.at(MIDNIGHT + MINUTE)
        assert await region.service.to_close() == OF_JUNE[:10]

    async def test_days_without_anything_are_to_be_closed_too(self, region: Region) -> None:
        await region.settle(100)
        region.at(NOON)
        await region.close(TODAY)
        assert await region.service.to_close() == [*OF_JUNE[:9], TOMORROW]
        for day in await region.service.to_close():
            await region.close(day)
        assert await region.service.to_close() == []

    async def test_an_open_day_is_to_be_closed_however_old_it_is(self, region: Region) -> None:
        await region.settle(100)
        region.at(NOON + timedelta(days=1000))
        days = await region.service.to_close()
        assert days[0] == TODAY
        assert len(days) == 1 + MOST_DAYS_BACK + 1

    async def test_one_day_is_asked_for(self, region: Region) -> None:
        region.at(NOON)
        assert await region.service.is_to_close(TOMORROW)
        await region.close(TOMORROW)
        assert not await region.service.is_to_close(TOMORROW)
        with pytest.raises(SettlementRefusedError) as refused:
            await region.service.is_to_close(NOON.date())
        assert refused.value.reason == "DAY_NOT_OVER"

    async def test_the_figure_is_the_end_of_the_oldest_open_day(self, region: Region) -> None:
        told = UnclosedDays(region.service)
        await region.settle(100)
        region.at(NOON)
        await told()
        assert REGISTRY.get_sample_value(SINCE) == bounds(OF_JUNE[0])[1].timestamp()
        for day in await region.service.to_close():
            await region.close(day)
        await told()
        assert REGISTRY.get_sample_value(SINCE) == 0

    async def test_each_is_closed_in_order_by_the_command(self, region: Region) -> None:
        await region.settle(100)
        region.at(NOON)
        told = [each async for each in closings(region.service, [TODAY, TOMORROW, NOON.date()])]
        assert [stays_open for _, stays_open in told] == [False, False, True]
        assert told[0][0] == (
            f"{TODAY}: closed 2025-06-12 12:00:00 by {CLOSED_BY}: 1 institutions, 1 settlements, 0 reversals"
        )
        assert told[2][0] == "2025-06-12: not closed: 2025-06-12 can be closed from a minute after its end"


class TestMemoryDaysToClose(ToCloseContract):
    @pytest.fixture
    def region(self) -> Region:
        memory = MemorySettlements()
        memory.accounts |= {"father": account("father", 50_000)}
        return Region(MemoryWork(memory), MemoryWork[ReconciliationRepository](MemoryReconciliation(memory)))


def service_on(database: Database) -> ReconciliationService:
    work = PostgresWork[ReconciliationRepository](database, PostgresReconciliationRepository)
    return ReconciliationService(work, FixedClock(NOON))


class TestPostgresDaysToClose(ToCloseContract):
    @pytest.fixture
    async def database(self, database_url: str) -> AsyncIterator[Database]:
        database = patient_database(database_url, 4)
        await execute(database_url, "INSERT INTO account (psn_no, balance_fen) VALUES ('father', 50000)")
        yield database
        await database.close()

    @pytest.fixture
    def region(self, database: Database) -> Region:
        return Region(
            PostgresWork[SettlementRepository](database, PostgresSettlementRepository),
            PostgresWork[ReconciliationRepository](database, PostgresReconciliationRepository),
        )

    async def test_of_two_commands_at_once_each_tells_how_a_day_was_closed(self, database: Database) -> None:
        async def all_of(service: ReconciliationService) -> list[tuple[str, bool]]:
            return [each async for each in closings(service, OF_JUNE[:11])]

        first, second = await asyncio.gather(all_of(service_on(database)), all_of(service_on(database)))
        assert first == second
        assert not any(stays_open for _, stays_open in first)

    async def test_a_posting_that_does_not_end_keeps_its_day_open_and_no_other(self, database_url: str) -> None:
        impatient = Database(database_url, 2, "settlement", lock_timeout_seconds=0.05)
        await execute(database_url, "INSERT INTO business_day (day) VALUES ('2025-06-10')")
        async with impatient.transaction() as posting:
            await posting.raw.execute("SELECT 1 FROM business_day WHERE day = '2025-06-10' FOR SHARE")
            told = [each async for each in closings(service_on(impatient), [TODAY, TOMORROW])]
        assert [stays_open for _, stays_open in told] == [True, False]
        assert told[0][0].startswith("2025-06-10: not closed: what is being posted on it does not end")
        assert not (await anext(closings(service_on(impatient), [TODAY])))[1]
        await impatient.close()


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    """At noon of 12 June; on the 10th something was posted."""
    asyncio.run(execute(database_url, "INSERT INTO business_day (day) VALUES ('2025-06-10')"))
    offset = tmp_path / "offset"
    offset.write_text(str((NOON - datetime.now(BEIJING)).total_seconds()))
    return {
        "GONGJI_ENVIRONMENT": "test",
        "GONGJI_DATABASE_URL": database_url,
        "GONGJI_CLOCK_OFFSET_FILE": str(offset),
    }


def run(environment: dict[str, str], *arguments: str) -> tuple[int, list[str]]:
    ended = CliRunner().invoke(app, ["close-day", *arguments], env=environment)
    return ended.exit_code, ended.output.splitlines()


def test_the_command_says_what_it_would_close_closes_it_and_has_nothing_left(environment: dict[str, str]) -> None:
    assert run(environment, "--dry-run") == (0, [f"{day}: would be closed" for day in OF_JUNE[:11]])
    assert run(environment, "--day", "2025-06-10", "--dry-run") == (0, ["2025-06-10: would be closed"])
    status, told = run(environment, "--day", "2025-06-10")
    assert (status, len(told)) == (0, 1)
    assert told[0].startswith("2025-06-10: closed 2025-06-12 12:00:")
    assert told[0].endswith(f" by {CLOSED_BY}: 0 institutions, 0 settlements, 0 reversals")
    assert run(environment, "--day", "2025-06-10", "--dry-run") == (0, ["2025-06-10: is closed"])
    status, told = run(environment)
    assert (status, [line[:10] for line in told]) == (0, [str(day) for day in OF_JUNE[:11] if day != TODAY])
    assert run(environment) == (0, ["nothing to close"])


def test_the_command_closes_no_day_that_is_not_over(environment: dict[str, str]) -> None:
    why = "2025-06-12 can be closed from a minute after its end"
    assert run(environment, "--day", "2025-06-12") == (1, [f"2025-06-12: not closed: {why}"])
    assert run(environment, "--day", "2025-06-12", "--dry-run") == (1, [f"2025-06-12: would not be closed: {why}"])


@pytest.mark.parametrize("wrong", ["2025-02-30", "yesterday", ""])
def test_the_command_refuses_what_is_no_day(wrong: str) -> None:
    status, told = run({}, "--day", wrong)
    assert status == 2
    assert "is not a day of the calendar" in " ".join(told)


def test_the_command_says_that_the_database_is_away(environment: dict[str, str]) -> None:
    status, told = run(environment | {"GONGJI_DATABASE_URL": "postgresql://nobody:x@127.0.0.1:1/none"})
    assert status == 1
    assert len(told) == 1
    assert told[0].startswith("✗ ")
