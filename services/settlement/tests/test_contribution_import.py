"""Contributions by file and in bulk on PostgreSQL: the repository's contract, races, and the command as it is run."""

import asyncio
import csv
import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from kit.clock import FixedClock
from kit.db import Database, PostgresWork, Work
from kit.testing import MemoryWork, patient_database
from settlement.cli import app
from settlement.contribution_memory import MemoryContributions
from settlement.contribution_repository import ContributionRepository, PostgresContributionRepository
from settlement.contribution_service import ContributionService
from settlement.domain.accounts import Account, AccountState, Contribution, ContributionKind
from settlement.domain.contributing import Row, RowRefused
from settlement.import_command import read

NOON = datetime(2025, 3, 10, 4, tzinfo=UTC)
Contributions = Work[ContributionRepository]


def contribution(number: int, amount_fen: int = 500) -> Contribution:
    return Contribution(f"c{number}", "father", amount_fen, 500 * number, b"body", ContributionKind.INTEREST)


class ContributionContract:
    """What the service may rely on, whatever the rows are kept in."""

    async def test_contributions_are_claimed_together_and_found_by_their_ids(self, work: Contributions) -> None:
        async with work() as repository:
            await repository.add(Account("father", AccountState.OPEN, 0, 0, 0))
            assert await repository.claim_all([contribution(2), contribution(1)])
        async with work() as repository:
            assert await repository.known_contributions(["c1", "c2", "c3"]) == {
                "c1": contribution(1),
                "c2": contribution(2),
            }
            assert await repository.contribution("c1") == contribution(1)
            assert not await repository.claim_all([contribution(3), contribution(1, amount_fen=7)])


class TestMemoryContributions(ContributionContract):
    @pytest.fixture
    def work(self) -> Contributions:
        return MemoryWork[ContributionRepository](MemoryContributions())


class TestPostgresContributions(ContributionContract):
    @pytest.fixture
    async def database(self, database_url: str) -> AsyncIterator[Database]:
        database = patient_database(database_url, 4)
        yield database
        await database.close()

    @pytest.fixture
    def work(self, database: Database) -> Contributions:
        return PostgresWork[ContributionRepository](database, PostgresContributionRepository)

    async def test_several_senders_of_the_same_rows_credit_each_once(
        self, work: Contributions, database: Database
    ) -> None:
        psn_nos = [f"p{number}" for number in range(6)]
        async with work() as repository:
            for psn_no in psn_nos:
                await repository.add(Account(psn_no, AccountState.OPEN, 0, 0, 0))
        service = ContributionService(work, FixedClock(NOON))
        rows = list(enumerate((Row(psn_no, f"c-{psn_no}", 10) for psn_no in psn_nos), start=1))
        taken = await asyncio.gather(service.take(rows), service.take(rows[::-1]), service.take(rows[2:]))
        assert sum(len(each.credited) for each in taken) == 6
        assert sum(each.repeated_count for each in taken) == 10
        async with database.transaction() as transaction:
            assert await transaction.raw.fetchval("SELECT sum(balance_fen) FROM account") == 60
            assert await transaction.raw.fetchval("SELECT count(*) FROM entry") == 12


class Import:
    """The command on a database of its own, with two accounts."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.database_url = database_url
        self.file, self.refused = folder / "contributions.csv", folder / "refused.csv"
        self.environment = {"GONGJI_ENVIRONMENT": "test", "GONGJI_DATABASE_URL": database_url}

    def write(self, *lines: str, header: str = "contribution_id,psn_no,amount,kind") -> None:
        self.file.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")

    def run(self, *options: str) -> tuple[int, str]:
        ended = CliRunner().invoke(app, ["import-contributions", str(self.file), *options], env=self.environment)
        return ended.exit_code, ended.output

    def fetch(self, statement: str) -> list[tuple[object, ...]]:
        async def execute() -> list[tuple[object, ...]]:
            connection = await asyncpg.connect(self.database_url)
            try:
                return [tuple(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()

        return asyncio.run(execute())


@pytest.fixture
def importing(database_url: str, tmp_path: Path) -> Import:
    importing = Import(database_url, tmp_path)
    importing.fetch("INSERT INTO account (psn_no) VALUES ('father'), ('mother')")
    return importing


BALANCES = "SELECT psn_no, balance_fen, version FROM account ORDER BY psn_no"


def test_a_file_is_credited_once_and_the_books_are_in_order(importing: Import) -> None:
    importing.write("c1,father,500,", "c2,mother,70,contribution", "i1,father,3,interest")
    status, said = importing.run()
    assert (status, "credited 3 (573 fen), credited before 0, refused 0" in said) == (0, True), said
    status, said = importing.run()
    assert (status, "credited 0 (0 fen), credited before 3" in said) == (0, True), said
    assert importing.fetch(BALANCES) == [("father", 503, 2), ("mother", 70, 1)]
    audited = CliRunner().invoke(app, ["audit"], env=importing.environment)
    assert audited.exit_code == 0, audited.output


def test_refused_rows_are_told_by_line_and_reason_and_written_to_a_file(importing: Import) -> None:
    importing.write(
        "c1,father,500,", "c1,mother,500,", "c2,stranger,5,", "c3,father,1.5,", "c4,father,5,gift", "c5,father"
    )
    status, said = importing.run("--refused", str(importing.refused))
    assert status == 3, said
    assert "and 0 more" not in said
    rows = list(csv.DictReader(importing.refused.open(encoding="utf-8")))
    assert [(row["line"], row["row"], row["reason"]) for row in rows] == [
        ("3", "2", "REQUEST_ID_REUSED"),
        ("4", "3", "ACCOUNT_CLOSED"),
        ("5", "4", "INVALID_FIELDS"),
        ("6", "5", "INVALID_FIELDS"),
        ("7", "6", "INVALID_FIELDS"),
    ]
    assert importing.fetch(BALANCES) == [("father", 500, 1), ("mother", 0, 0)]


def test_columns_may_be_in_any_order_and_the_file_packed(importing: Import) -> None:
    importing.write("father,500,c1,", header="psn_no,amount,contribution_id,kind")
    importing.file.write_bytes(gzip.compress(importing.file.read_bytes()))
    assert importing.run()[0] == 0
    assert importing.fetch(BALANCES)[0] == ("father", 500, 1)


@pytest.mark.parametrize(
    ("header", "said"), [("contribution_id,psn_no,amount", "lacks kind"), ("a,b,c,d", "lacks contribution_id")]
)
def test_a_file_with_another_header_is_not_taken(importing: Import, header: str, said: str) -> None:
    importing.write("c1,father,500", header=header)
    status, output = importing.run()
    assert (status, said in output) == (1, True), output
    assert importing.fetch(BALANCES)[0] == ("father", 0, 0)


def test_the_refused_rows_do_not_overwrite_the_file(importing: Import) -> None:
    importing.write("c1,father,500,")
    assert importing.run("--refused", str(importing.file))[0] == 2


def test_a_file_in_the_other_encoding_is_told_so_and_taken_once_it_is_said(importing: Import) -> None:
    rows = "contribution_id,psn_no,amount,kind\nc1,father,500,\nc2,mother,70,缴费\n"
    importing.file.write_bytes(rows.encode("gb18030"))
    status, said = importing.run()
    assert (status, "say --encoding gb18030" in said) == (1, True), said
    status, said = importing.run("--encoding", "gb18030")
    assert (status, "credited 1 (500 fen), credited before 0, refused 1" in said) == (3, True), said


@pytest.mark.parametrize(
    ("amount", "why"),
    [
        *((amount, "whole number of fen") for amount in ("", "-5", "5.00", "+5", "５", "1e3", "5 0", "0x5")),
        *((amount, "1 to 10000000000 fen") for amount in ("0", "10000000001", "9" * 18, "9" * 19, "9" * 4000)),
    ],
)
def test_an_amount_that_is_none_is_told_why(tmp_path: Path, amount: str, why: str) -> None:
    file = tmp_path / "contributions.csv"
    file.write_text(f"contribution_id,psn_no,amount,kind\nc1,father,{amount},\n", encoding="utf-8")
    (row,) = read(file)
    assert isinstance(row, RowRefused)
    assert why in row.description
