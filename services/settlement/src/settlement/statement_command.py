"""`settlement export-statement`: writes a person's statement of a period from the database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import typer

from kit.cli import Task, done
from kit.config import DatabaseSettings
from kit.db import Database, PostgresWork
from settlement.domain.accounts import AccountNotFoundError, StatementLine
from settlement.domain.statements import Period, Summary
from settlement.statement_file import csv_file, file_name
from settlement.statement_repository import PostgresStatementRepository
from settlement.statement_service import StatementService

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", dir_okay=False, help="Where to write it; by default here, under its own name."),
]


def export_statement(
    psn_no: Annotated[str, typer.Argument(help="The owner's psn_no.")],
    from_day: Annotated[str, typer.Argument(help="The first Asia/Shanghai day, YYYY-MM-DD.")],
    to_day: Annotated[str, typer.Argument(help="The last Asia/Shanghai day, YYYY-MM-DD.")],
    output: Output = None,
    kind: Annotated[Literal["csv", "pdf"], typer.Option("--format", help="What kind of file.")] = "csv",
) -> None:
    """Write an account's statement of a period as CSV or PDF, in Chinese; needs only the database's settings."""
    period = Period(_day(from_day, "FROM_DAY"), _day(to_day, "TO_DAY"))
    if period.last < period.first:
        raise typer.BadParameter("is before the first day", param_hint="TO_DAY")
    target = output or Path(file_name(psn_no, period, kind))

    def run(settings: DatabaseSettings) -> int:
        try:
            written = asyncio.run(_write(settings, psn_no, period, target, _write_csv if kind == "csv" else _write_pdf))
        except AccountNotFoundError as error:
            typer.echo(str(error), err=True)
            return 1
        typer.echo(f"{target}: {written} bytes")
        return 0

    raise typer.Exit(done("settlement", Task(DatabaseSettings, run)))


def _day(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("is not a day of the calendar (YYYY-MM-DD)", param_hint=name) from None


@dataclass(frozen=True, slots=True)
class _Statement:
    """What is to be written."""

    psn_no: str
    period: Period
    summary: Summary
    pages: AsyncIterator[Sequence[StatementLine]]


async def _write(
    settings: DatabaseSettings,
    psn_no: str,
    period: Period,
    target: Path,
    write: Callable[[_Statement, Path], Awaitable[int]],
) -> int:
    database = Database(settings.database_url, 1, "settlement")
    service = StatementService(PostgresWork(database, PostgresStatementRepository))
    unfinished = target.with_name(f"{target.name}.part")
    try:
        summary, _ = await service.page(psn_no, period, 0, 1)
        async with aclosing(service.pages(psn_no, period, summary)) as pages:
            written = await write(_Statement(psn_no, period, summary, pages), unfinished)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
        await database.close()
    return written


async def _write_csv(statement: _Statement, target: Path) -> int:
    with target.open("wb") as file:
        return sum([file.write(part) async for part in csv_file(statement.period, statement.summary, statement.pages)])


async def _write_pdf(statement: _Statement, target: Path) -> int:
    # Only here: a CSV needs no font.
    from settlement.statement_pdf import StatementPdf  # noqa: PLC0415

    pdf = StatementPdf(statement.psn_no, statement.period, statement.summary)
    async for page in statement.pages:
        pdf.add(page)
    return pdf.write(target)
