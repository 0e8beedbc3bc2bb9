"""`settlement export-statement`: writes a person's statement of a period from the database."""

import asyncio
from contextlib import aclosing
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from kit.cli import Task, done
from kit.config import DatabaseSettings
from kit.db import Database, PostgresWork
from settlement.domain.accounts import AccountNotFoundError
from settlement.domain.statements import Period
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
) -> None:
    """Write the CSV file of an account's statement of a period; needs only the database's settings."""
    period = Period(_day(from_day, "FROM_DAY"), _day(to_day, "TO_DAY"))
    if period.last < period.first:
        raise typer.BadParameter("is before the first day", param_hint="TO_DAY")
    target = output or Path(file_name(psn_no, period))

    def run(settings: DatabaseSettings) -> int:
        try:
            written = asyncio.run(_write(settings, psn_no, period, target))
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


async def _write(settings: DatabaseSettings, psn_no: str, period: Period, target: Path) -> int:
    database = Database(settings.database_url, 1, "settlement")
    service = StatementService(PostgresWork(database, PostgresStatementRepository))
    unfinished, written = target.with_name(f"{target.name}.part"), 0
    try:
        summary, _ = await service.page(psn_no, period, 0, 1)
        with unfinished.open("wb") as file:
            async with aclosing(service.pages(psn_no, period, summary)) as pages:
                async for chunk in csv_file(period, summary, pages):
                    written += file.write(chunk)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
        await database.close()
    return written
