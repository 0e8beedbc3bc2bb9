"""A day's lines page by page, and the file that is made of them."""

import asyncio
import gc
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reconciled import BEFORE_MIDNIGHT, MIDNIGHT, PHARMACY, TODAY, TOMORROW, Region
from typer.testing import CliRunner

from kit.db import Database, PostgresWork
from kit.testing import MemoryWork, patient_database
from settlement import reconciliation_service
from settlement.account_repository import PostgresAccountRepository
from settlement.cli import app
from settlement.daily_file import CHUNK_BYTES, HEADER, daily_file, file_name, yuan
from settlement.domain.bill import ClearingType, MedicalType
from settlement.domain.reconciliation import Amounts, Column, DetailLine, totals_of
from settlement.domain.visit import InsuranceType
from settlement.memory import MemorySettlements
from settlement.postgres_repository import PostgresSettlementRepository
from settlement.reconciliation_memory import MemoryReconciliation
from settlement.reconciliation_repository import PostgresReconciliationRepository, ReconciliationRepository
from settlement.repository import SettlementRepository
from settlement.testing import HOSPITAL, account

LINE = DetailLine(
    setl_id=UUID(int=7),
    refd_setl_flag=False,
    at=datetime(2025, 6, 9, 16, 0, 5, 999, tzinfo=UTC),
    msgid="H65270100001202506101000000001",
    column=Column(HOSPITAL, ClearingType.OUTPATIENT, InsuranceType.RESIDENT),
    psn_no="child",
    mdtrt_id="V1",
    med_type=MedicalType.CHRONIC,
    amounts=Amounts(1, 123_456, 100_000, 3_000, 5, 20_000, 451),
)


async def pages_of(region: Region, day: date, code: str = HOSPITAL) -> list[list[DetailLine]]:
    async with aclosing(region.service.details(code, day)) as pages:
        return [list(page) async for page in pages]


async def lines_of(region: Region, day: date, code: str = HOSPITAL) -> list[DetailLine]:
    return [line for page in await pages_of(region, day, code) for line in page]


async def some_history(region: Region) -> None:
    for number in range(5):
        region.at(BEFORE_MIDNIGHT - timedelta(seconds=5 - number // 2))
        await region.settle(100 + number, code=(HOSPITAL, PHARMACY)[number == 2])
    await region.reverse(3)
    region.at(BEFORE_MIDNIGHT)
    await region.reverse(0)
    region.at(MIDNIGHT)
    await region.reverse(0)
    await region.settle(7)


class DetailsContract:
    """What a reader of lines may rely on, whatever the rows are kept in."""

    async def test_a_day_without_anything_has_no_page(self, region: Region) -> None:
        assert await pages_of(region, TODAY) == []

    async def test_settlements_come_by_time_then_reversals_by_time(self, region: Region) -> None:
        await some_history(region)
        today, tomorrow = await lines_of(region, TODAY), await lines_of(region, TOMORROW)
        assert [(line.refd_setl_flag, line.amounts.medfee_sumamt_fen) for line in today] == [
            (False, 100),
            (False, 101),
            (False, 103),
            (False, 104),
            (True, 103),
            (True, 100),
        ]
        assert [(line.refd_setl_flag, line.amounts.medfee_sumamt_fen) for line in tomorrow] == [(False, 7), (True, 101)]
        assert tomorrow[1].at == MIDNIGHT
        assert tomorrow[1].msgid == today[1].msgid

    async def test_lines_come_to_the_totals_of_the_day(self, region: Region) -> None:
        await some_history(region)
        for day in (TODAY, TOMORROW):
            for code in (HOSPITAL, PHARMACY):
                _, totals = await region.service.daily_totals(code, day)
                assert totals_of(await lines_of(region, day, code)) == totals

    @pytest.mark.parametrize("page_lines", [1, 2, 3, 4, 6, 7])
    async def test_the_size_of_the_pages_makes_no_difference(
        self, region: Region, page_lines: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await some_history(region)
        whole = await lines_of(region, TODAY)
        monkeypatch.setattr(reconciliation_service, "PAGE_LINES", page_lines)
        pages = await pages_of(region, TODAY)
        assert [line for page in pages for line in page] == whole
        assert {len(page) for page in pages[:-1]} <= {page_lines}


class TestMemoryDetails(DetailsContract):
    @pytest.fixture
    def region(self) -> Region:
        memory = MemorySettlements()
        memory.accounts["father"] = account("father", 50_000)
        return Region(MemoryWork(memory), MemoryWork[ReconciliationRepository](MemoryReconciliation(memory)))


class TestPostgresDetails(DetailsContract):
    @pytest.fixture
    async def region(self, database_url: str) -> AsyncIterator[Region]:
        database = patient_database(database_url, 2)
        yield await opened(database)
        await database.close()


async def opened(database: Database) -> Region:
    async with PostgresWork(database, PostgresAccountRepository)() as repository:
        await repository.add(account("father", 50_000))
    return Region(
        PostgresWork[SettlementRepository](database, PostgresSettlementRepository),
        PostgresWork[ReconciliationRepository](database, PostgresReconciliationRepository),
    )


async def given_pages(*pages: Sequence[DetailLine]) -> AsyncIterator[Sequence[DetailLine]]:
    for page in pages:
        yield page


async def file_of(*pages: Sequence[DetailLine]) -> bytes:
    return b"".join([chunk async for chunk in daily_file(HOSPITAL, TODAY, given_pages(*pages))])


def text_in(content: bytes) -> str:
    with ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        (name,) = archive.namelist()
        assert name == "H65270100001_20250610.txt"
        return archive.read(name).decode()


async def test_the_file_is_a_header_and_a_line_for_each_in_yuan_and_shanghai_time() -> None:
    reversal = replace(LINE, refd_setl_flag=True, column=replace(LINE.column, insutype=None))
    header, first, second, nothing = text_in(await file_of([LINE], [reversal])).split("\n")
    assert header.split("\t") == [
        "psn_no",
        "mdtrt_id",
        "setl_id",
        "msgid",
        "setl_time",
        "med_type",
        "clr_type",
        "insutype",
        "refd_setl_flag",
        "medfee_sumamt",
        "fund_pay_sumamt",
        "hosp_part_amt",
        "acct_pay",
        "psn_cash_pay",
        "acct_mulaid_pay",
    ]
    amounts = ["1234.56", "1000.00", "30.00", "0.05", "4.51", "200.00"]
    who = ["child", "V1", "00000000-0000-0000-0000-000000000007", LINE.msgid, "2025-06-10 00:00:05", "14", "11"]
    assert first.split("\t") == [*who, "390", "0", *amounts]
    assert second.split("\t") == [*who, "", "1", *amounts]
    assert nothing == ""


async def test_a_day_without_anything_is_a_header() -> None:
    assert text_in(await file_of()) == HEADER


async def test_a_large_file_comes_in_chunks_and_is_the_same_however_the_lines_come() -> None:
    lines = [
        replace(LINE, setl_id=UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128)) for number in range(9_000)
    ]
    chunks = [chunk async for chunk in daily_file(HOSPITAL, TODAY, given_pages(lines))]
    assert len(chunks) > 2
    assert max(map(len, chunks)) == CHUNK_BYTES
    whole = text_in(b"".join(chunks))
    assert whole.count("\n") == 9_001
    assert text_in(await file_of(lines[:4_000], lines[4_000:])) == whole
    assert await file_of(lines) == b"".join(chunks)


async def test_a_file_that_breaks_off_leaves_nothing_that_complains() -> None:
    held: list[object] = []
    held.append(held)  # a cycle, so that the collector lets go of it, in an order of its own
    with pytest.raises(ConnectionError) as caught:
        [chunk async for chunk in daily_file(HOSPITAL, TODAY, broken_pages())]
    held.append(caught.value)
    del held, caught
    gc.collect()  # what complains then is a warning, and warnings are errors here


async def broken_pages() -> AsyncIterator[Sequence[DetailLine]]:
    yield [LINE]
    raise ConnectionError


@given(st.integers(0, 10**13))
def test_an_amount_in_yuan_is_the_same_amount(fen: int) -> None:
    whole, _, part = yuan(fen).partition(".")
    assert len(part) == 2
    assert int(whole) * 100 + int(part) == fen


def test_a_file_is_named_after_institution_and_day() -> None:
    assert file_name(HOSPITAL, TODAY) == "H65270100001_20250610.zip"


def run(database_url: str, *arguments: str) -> tuple[int, str]:
    environment = {"GONGJI_ENVIRONMENT": "test", "GONGJI_DATABASE_URL": database_url}
    ended = CliRunner().invoke(app, ["daily-file", *arguments], env=environment)
    return ended.exit_code, ended.output


def test_the_command_writes_the_file_of_a_day(database_url: str, tmp_path: Path) -> None:
    async def settle() -> None:
        database = patient_database(database_url, 2)
        await some_history(await opened(database))
        await database.close()

    asyncio.run(settle())
    target = tmp_path / "day.zip"
    target.write_text("an older one")
    status, told = run(database_url, HOSPITAL, "2025-06-10", "--output", str(target))
    assert (status, told) == (0, f"{target}: {target.stat().st_size} bytes\n")
    assert text_in(target.read_bytes()).count("\n") == 7
    assert [path.name for path in tmp_path.iterdir()] == ["day.zip"]


@pytest.mark.parametrize("wrong", [("H1", "2025-06-10"), (HOSPITAL, "2025-02-30"), (HOSPITAL, "yesterday")])
def test_the_command_refuses_what_is_no_institution_or_no_day(wrong: tuple[str, str]) -> None:
    status, told = run("postgresql://nobody@127.0.0.1:1/none", *wrong)
    assert status == 2
    assert "Invalid value" in told


def test_the_command_leaves_no_file_when_the_database_is_away(tmp_path: Path) -> None:
    status, told = run(
        "postgresql://nobody:x@127.0.0.1:1/none", HOSPITAL, "2025-06-10", "-o", str(tmp_path / "day.zip")
    )
    assert status == 1, told
    assert list(tmp_path.iterdir()) == []
