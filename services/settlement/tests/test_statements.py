"""Statements by period: the contract of their repository on memory and PostgreSQL, the RPCs, the file, the command."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader
from typer.testing import CliRunner

from gongji.settlement.v1 import account_pb2
from kit.auth import Assertion, CallContext, Deadline, Principal, enter
from kit.clock import FixedClock, shanghai_date
from kit.db import Database, PostgresWork, Work
from kit.errors import InvalidFields, Refusal
from kit.ids import uuid7
from kit.testing import MemoryWork, patient_database
from settlement.account_repository import AccountRepository
from settlement.account_service import AccountService
from settlement.account_servicer import AccountServicer
from settlement.cli import app
from settlement.closing_memory import MemoryClosing
from settlement.closing_repository import ClosingRepository
from settlement.closing_service import ClosingService
from settlement.contribution_memory import MemoryContributions
from settlement.contribution_repository import ContributionRepository
from settlement.contribution_service import ContributionService
from settlement.domain.accounts import Account, AccountNotFoundError, AccountState
from settlement.domain.ledger import EntryKind, Occasion, contribution_posting, post, settlement_posting
from settlement.domain.statements import Period, Summary
from settlement.statement_export import PART_BYTES, StatementExport
from settlement.statement_file import KINDS, csv_file
from settlement.statement_memory import MemoryStatements
from settlement.statement_repository import PostgresStatementRepository, StatementRepository
from settlement.statement_service import PAGE_ENTRIES, StatementService
from settlement.statement_sheet import MAX_ENTRIES, Sheet

HOSPITAL: Final = "H65270100001"
MIDNIGHT = datetime(2025, 3, 9, 16, tzinfo=UTC)
"""In Shanghai, the tenth of March begins."""
DAY = date(2025, 3, 10)
Statements = Work[StatementRepository]


async def move(work: Statements, *moves: tuple[datetime, int], psn_no: str = "father") -> None:
    """Contributions, and where negative settlements, at these times."""
    async with work() as repository:
        empty = Account(psn_no, AccountState.OPEN, 0, 0, 0)
        await repository.add(empty)
        posted = post([_posting(at, amount_fen, psn_no) for at, amount_fen in moves], {psn_no: empty.standing})
        await repository.post(posted.rows, [empty.after(standing) for standing in posted.standings.values()])


def _posting(at: datetime, amount_fen: int, psn_no: str) -> Any:
    day = shanghai_date(at)
    if amount_fen > 0:
        came = Occasion(EntryKind.CONTRIBUTION, at, day, contribution_id=f"c{amount_fen}")
        return contribution_posting(uuid7(), came, psn_no, amount_fen)
    went = Occasion(EntryKind.SETTLEMENT, at, day, uuid7(), patient_psn_no="child", fixmedins_code=HOSPITAL)
    return settlement_posting(uuid7(), went, psn_no, -amount_fen)


SECOND = timedelta(seconds=1)
HISTORY = ((MIDNIGHT - SECOND, 500), (MIDNIGHT, 70), (MIDNIGHT + SECOND, -30), (MIDNIGHT + timedelta(days=1), -40))


class StatementContract:
    """What the service may rely on, whatever the rows are kept in."""

    async def test_a_period_has_the_entries_of_its_shanghai_days(self, work: Statements) -> None:
        await move(work, *HISTORY)
        await move(work, (MIDNIGHT, 9), psn_no="mother")
        async with work() as repository:
            assert await repository.summary("father", Period(DAY, DAY)) == Summary(500, 70, 30, 2, 3)
            lines = await repository.lines("father", Period(DAY, DAY), 0, 10)
            assert [(line.version, line.amount_fen, line.balance_after_fen) for line in lines] == [
                (2, 70, 570),
                (3, -30, 540),
            ]
            assert await repository.lines("father", Period(DAY, DAY), 2, 10) == lines[1:]
            assert await repository.lines("father", Period(DAY, DAY), 0, 1) == lines[:1]

    async def test_a_period_without_entries_carries_the_balance_on(self, work: Statements) -> None:
        await move(work, *HISTORY)
        async with work() as repository:
            before, after = date(2020, 1, 1), date(2030, 1, 1)
            assert await repository.summary("father", Period(before, before)) == Summary(0, 0, 0, 0, 0)
            later = await repository.summary("father", Period(after, after))
            assert (later.opening_fen, later.closing_fen, later.entry_count) == (500, 500, 0)
            assert await repository.lines("father", Period(after, after), 0, 10) == []


class TestMemoryStatements(StatementContract):
    @pytest.fixture
    def work(self) -> Statements:
        return MemoryWork[StatementRepository](MemoryStatements())


class TestPostgresStatements(StatementContract):
    @pytest.fixture
    async def database(self, database_url: str) -> AsyncIterator[Database]:
        database = patient_database(database_url, 2)
        yield database
        await database.close()

    @pytest.fixture
    def work(self, database: Database) -> Statements:
        return PostgresWork[StatementRepository](database, PostgresStatementRepository)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 10**9), st.booleans()), max_size=12), st.integers(0, 6))
async def test_two_periods_one_after_the_other_are_the_whole(history: list[tuple[int, int, bool]], cut: int) -> None:
    work, balance_fen, moves = MemoryWork[StatementRepository](MemoryStatements()), 0, list[tuple[datetime, int]]()
    for days, amount_fen, goes in sorted(history, key=lambda each: each[0]):
        signed = -min(amount_fen, balance_fen) if goes else amount_fen
        balance_fen += signed
        moves += [(MIDNIGHT + timedelta(days=days), signed)] if signed else []
    await move(work, *moves)
    first, last = DAY, DAY + timedelta(days=7)
    until = DAY + timedelta(days=cut)
    async with work() as repository:
        whole = await repository.summary("father", Period(first, last))
        early = await repository.summary("father", Period(first, until))
        late = await repository.summary("father", Period(until + timedelta(days=1), last))
    assert (whole.opening_fen, whole.closing_fen) == (0, balance_fen)
    assert (early.opening_fen, early.closing_fen, late.closing_fen) == (0, late.opening_fen, whole.closing_fen)
    assert early.came_in_fen + late.came_in_fen == whole.came_in_fen
    assert early.went_out_fen + late.went_out_fen == whole.went_out_fen
    assert early.entry_count + late.entry_count == whole.entry_count == len(moves)


@pytest.fixture
def store() -> MemoryStatements:
    return MemoryStatements()


@pytest.fixture
def servicer(store: MemoryStatements) -> AccountServicer:
    clock = FixedClock(MIDNIGHT)
    statements = StatementService(MemoryWork[StatementRepository](store))
    return AccountServicer(
        AccountService(MemoryWork[AccountRepository](store), clock),
        ContributionService(MemoryWork[ContributionRepository](MemoryContributions()), clock),
        ClosingService(MemoryWork[ClosingRepository](MemoryClosing()), clock),
        statements,
        StatementExport(statements, drawn, clock),
    )


async def drawn(sheet: Sheet) -> bytes:
    """Stands in for drawing: just the texts, in many parts."""
    return sheet.to_bytes().ljust(PART_BYTES + 1)


def call_as(psn_no: str | None = None) -> None:
    principal = Principal("service", "portal" if psn_no else "operator")
    assertion = Assertion(f"psn:{psn_no}", frozenset({"citizen"}), psn_no, "gongji-portal", "j1", MIDNIGHT)
    enter(CallContext("/test", principal, assertion if psn_no else None, "r1", Deadline(5.0)))


def asked(from_day: str = "2025-03-10", to_day: str = "2025-03-10", **more: Any) -> account_pb2.GetStatementRequest:
    return account_pb2.GetStatementRequest(psn_no="father", from_day=from_day, to_day=to_day, **more)


async def test_a_statement_is_paged_with_the_same_sums_on_each_page(
    store: MemoryStatements, servicer: AccountServicer
) -> None:
    await move(MemoryWork[StatementRepository](store), *HISTORY)
    call_as("father")
    first = await servicer.GetStatement(asked(page_size=1), None)
    second = await servicer.GetStatement(asked(page_size=1, page_token=first.next_page_token), None)
    assert [each.amount for each in (*first.entries, *second.entries)] == [70, -30]
    assert second.next_page_token == ""
    for page in (first, second):
        assert (page.opening_balance, page.closing_balance) == (500, 540)
        assert (page.came_in, page.went_out, page.entry_count) == (70, 30, 2)


@pytest.mark.parametrize(
    ("from_day", "to_day", "field"),
    [
        ("2025-02-30", "2025-03-10", "from_day"),
        ("2025-03-10", "2025-13-01", "to_day"),
        ("2025-03-10", "2025-03-09", "to_day"),
    ],
)
async def test_a_period_that_is_none_is_refused(
    servicer: AccountServicer, from_day: str, to_day: str, field: str
) -> None:
    call_as()
    with pytest.raises(InvalidFields) as refused:
        await servicer.GetStatement(asked(from_day, to_day), None)
    assert [violation.field for violation in refused.value.violations] == [field]


async def test_a_statement_is_its_owners_alone(store: MemoryStatements, servicer: AccountServicer) -> None:
    await move(MemoryWork[StatementRepository](store), *HISTORY)
    call_as("mother")
    with pytest.raises(Refusal):
        await servicer.GetStatement(asked(), None)
    for kind in account_pb2.StatementFormat.values():
        with pytest.raises(Refusal) as refused:
            await anext(servicer.ExportStatement(exported(format=kind), None))
        assert refused.value.reason == "FORBIDDEN"


async def test_who_has_no_account_has_no_statement(servicer: AccountServicer) -> None:
    call_as()
    with pytest.raises(AccountNotFoundError):
        await servicer.GetStatement(asked(), None)


def exported(to_day: str = "2025-03-10", **more: Any) -> account_pb2.ExportStatementRequest:
    return account_pb2.ExportStatementRequest(psn_no="father", from_day="2025-03-10", to_day=to_day, **more)


async def test_a_statement_is_exported_as_pdf_with_the_owners_name_masked(
    store: MemoryStatements, servicer: AccountServicer
) -> None:
    await move(MemoryWork[StatementRepository](store), *HISTORY)
    call_as("father")
    asked = exported(format=account_pb2.STATEMENT_FORMAT_PDF, holder_name="张建国")
    first, *parts = [part async for part in servicer.ExportStatement(asked, None)]
    assert (first.file_name, first.chunk) == ("father_20250310_20250310.pdf", b"")
    assert [bool(part.chunk) for part in parts] == [True, True]
    sheet = Sheet.from_bytes(b"".join(part.chunk for part in parts))
    assert [tuple(fact) for fact in sheet.facts] == [
        ("姓名", "张**"),
        ("人员编号", "father"),
        ("账期", "2025-03-10 至 2025-03-10"),
        ("制表时间", "2025-03-10 00:00:00"),
    ]
    assert [value for _, value in sheet.sums] == ["¥5.00", "¥0.70", "¥0.30", "¥5.40"]
    assert [tuple(row[5:]) for row in sheet.rows] == [
        ("", "", "¥5.00"),
        ("¥0.70", "", "¥5.70"),
        ("", "¥0.30", "¥5.40"),
        ("¥0.70", "¥0.30", "¥5.40"),
    ]


async def test_a_pdf_of_too_many_entries_is_refused_before_anything_is_read_or_drawn(
    store: MemoryStatements, servicer: AccountServicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def many(*_: Any) -> Summary:
        return Summary(0, 0, 0, MAX_ENTRIES + 1, MAX_ENTRIES + 1)

    async def read(*_: Any) -> Any:
        raise AssertionError("entries were read")

    await move(MemoryWork[StatementRepository](store), *HISTORY)
    monkeypatch.setattr(store, "summary", many)
    monkeypatch.setattr(StatementService, "whole", read)
    call_as("father")
    with pytest.raises(InvalidFields) as refused:
        await anext(servicer.ExportStatement(exported(format=account_pb2.STATEMENT_FORMAT_PDF), None))
    assert [violation.field for violation in refused.value.violations] == ["to_day"]
    first = await anext(servicer.ExportStatement(exported(), None))
    assert first.file_name.endswith(".csv")


@pytest.mark.parametrize("kind", account_pb2.StatementFormat.values())
async def test_who_has_no_account_is_given_no_file(servicer: AccountServicer, kind: Any) -> None:
    call_as()
    with pytest.raises(AccountNotFoundError):
        await anext(servicer.ExportStatement(exported(format=kind), None))


async def test_a_statement_is_exported_by_the_contract(store: MemoryStatements, servicer: AccountServicer) -> None:
    await move(MemoryWork[StatementRepository](store), *HISTORY)
    call_as("father")
    first, *parts = [part async for part in servicer.ExportStatement(exported("2025-03-11"), None)]
    assert (first.file_name, first.chunk) == ("father_20250310_20250311.csv", b"")
    rows = read(b"".join(part.chunk for part in parts))
    assert [(row["类型"], row["收入（元）"], row["支出（元）"], row["余额（元）"]) for row in rows] == [
        ("期初余额", "", "", "5.00"),
        ("缴费划入", "0.70", "", "5.70"),
        ("就医支付", "", "0.30", "5.40"),
        ("就医支付", "", "0.40", "5.00"),
        ("期末余额", "0.70", "0.70", "5.00"),
    ]
    assert (rows[1]["时间"], rows[1]["业务编号"]) == ("2025-03-10 00:00:00", "c70")
    assert (rows[2]["就诊人"], rows[2]["定点医药机构"]) == ("child", HOSPITAL)


def read(content: bytes) -> list[dict[str, str]]:
    text = content.decode("utf-8")
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


async def test_a_long_statement_is_exported_page_by_page_without_what_comes_meanwhile(store: MemoryStatements) -> None:
    work = MemoryWork[StatementRepository](store)
    many = PAGE_ENTRIES + 2
    await move(work, *((MIDNIGHT, 1) for _ in range(many)))
    service, period = StatementService(work), Period(DAY, DAY)
    summary, _ = await service.page("father", period, 0, 1)
    pages = [page async for page in service.pages("father", period, summary)]
    assert [len(page) for page in pages] == [PAGE_ENTRIES, 2]
    earlier = Summary(0, many - 1, 0, many - 1, many - 1)
    seen = [line for page in [page async for page in service.pages("father", period, earlier)] for line in page]
    assert len(seen) == many - 1


async def test_the_same_entries_are_the_same_bytes_and_every_kind_has_its_word() -> None:
    async def no_pages() -> AsyncIterator[Sequence[Any]]:
        for page in list[Sequence[Any]]():
            yield page

    period, summary = Period(DAY, DAY), Summary(123, 0, 0, 0, 0)
    first = [part async for part in csv_file(period, summary, no_pages())]
    assert first == [part async for part in csv_file(period, summary, no_pages())]
    assert [row["余额（元）"] for row in read(b"".join(first))] == ["1.23", "1.23"]
    assert set(KINDS) == set(EntryKind)


def test_the_command_writes_the_file_and_refuses_what_is_no_period(database_url: str, tmp_path: Path) -> None:
    async def keep() -> None:
        database = Database(database_url, pool_size=1)
        await move(PostgresWork[StatementRepository](database, PostgresStatementRepository), *HISTORY)
        await database.close()

    asyncio.run(keep())
    environment = {"GONGJI_ENVIRONMENT": "test", "GONGJI_DATABASE_URL": database_url}
    target = tmp_path / "statement.csv"

    def run(*arguments: str) -> int:
        command = ["export-statement", *arguments, "-o", str(target)]
        return CliRunner().invoke(app, command, env=environment).exit_code

    assert run("father", "2025-03-10", "2025-03-09") == 2
    assert run("father", "2025-03-10", "tomorrow") == 2
    assert run("stranger", "2025-03-10", "2025-03-10") == 1
    assert not list(tmp_path.iterdir())
    assert run("father", "2025-03-10", "2025-03-10") == 0
    assert [row["余额（元）"] for row in read(target.read_bytes())] == ["5.00", "5.70", "5.40", "5.40"]
    assert run("father", "2025-03-10", "2025-03-10", "--format", "pdf", "--name", "张建国") == 0
    (page,) = PdfReader(target).pages
    assert all(text in page.extract_text() for text in ("张**", "就医支付", "¥5.70", "¥5.40"))
