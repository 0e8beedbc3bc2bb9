"""`settlement export-statement`: writes a person's statement of a period from the database."""

import asyncio
from contextlib import aclosing
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from kit.cli import Task, done
from kit.clock import clock_from
from kit.config import ClockSettings
from kit.db import Database, PostgresWork
from kit.demands import needs
from kit.errors import InvalidFields, Refusal
from settlement.domain.accounts import AccountNotFoundError
from settlement.domain.statements import Period
from settlement.statement_export import Export, Format, StatementExport
from settlement.statement_printing import Printing
from settlement.statement_repository import PostgresStatementRepository
from settlement.statement_service import StatementService
from settlement.statement_sheet import Holder

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", dir_okay=False, help="Where to write it; by default here, under its own name."),
]


@needs(ClockSettings)
def export_statement(
    psn_no: Annotated[str, typer.Argument(help="The owner's psn_no.")],
    from_day: Annotated[str, typer.Argument(help="The first Asia/Shanghai day, YYYY-MM-DD.")],
    to_day: Annotated[str, typer.Argument(help="The last Asia/Shanghai day, YYYY-MM-DD.")],
    *,
    output: Output = None,
    kind: Annotated[Format, typer.Option("--format", help="What kind of file.")] = Format.CSV,
    name: Annotated[str, typer.Option(help="The owner's name; a PDF shows it masked.")] = "",
) -> None:
    """Write an account's statement of a period as CSV or PDF, in Chinese; needs only the database's settings."""
    period = Period(_day(from_day, "FROM_DAY"), _day(to_day, "TO_DAY"))
    if period.last < period.first:
        raise typer.BadParameter("is before the first day", param_hint="TO_DAY")
    export = Export(Holder(psn_no, name), period, kind)
    target = output or Path(export.file_name)

    def run(settings: ClockSettings) -> int:
        try:
            written = asyncio.run(_write(settings, export, target))
        except (AccountNotFoundError, InvalidFields, Refusal) as error:
            typer.echo(_sentence(error), err=True)
            return 1
        typer.echo(f"{target}: {written} bytes")
        return 0

    raise typer.Exit(done("settlement", Task(ClockSettings, run)))


def _sentence(error: Exception) -> str:
    return error.violations[0].description if isinstance(error, InvalidFields) else str(error)


def _day(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("is not a day of the calendar (YYYY-MM-DD)", param_hint=name) from None


async def _write(settings: ClockSettings, export: Export, target: Path) -> int:
    database = Database(settings.database_url, 1, "settlement")
    statements = StatementService(PostgresWork(database, PostgresStatementRepository))
    exports = StatementExport(statements, Printing(), clock_from(settings))
    unfinished = target.with_name(f"{target.name}.part")
    try:
        async with aclosing(exports.parts(export)) as parts:
            with unfinished.open("wb") as file:
                written = sum([file.write(part) async for part in parts])
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
        await database.close()
    return written
