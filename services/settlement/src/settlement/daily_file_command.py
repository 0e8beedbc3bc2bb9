"""`settlement daily-file`: writes an institution's daily file from the database."""

import asyncio
import re
from contextlib import aclosing
from datetime import date
from pathlib import Path
from typing import Annotated, Final

import typer

from kit.cli import Task, done
from kit.clock import SystemClock
from kit.config import DatabaseSettings
from kit.db import Database, PostgresWork
from kit.demands import needs
from settlement.daily_file import daily_file, file_name
from settlement.reconciliation_repository import PostgresReconciliationRepository
from settlement.reconciliation_service import ReconciliationService

CODE: Final = re.compile(r"[A-Z][0-9]{11}")
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", dir_okay=False, help="Where to write it; by default here, under its own name."),
]


@needs(DatabaseSettings)
def daily_file_command(
    fixmedins_code: Annotated[str, typer.Argument(help="The institution, such as H65270100001.")],
    day: Annotated[str, typer.Argument(help="The Asia/Shanghai day, YYYY-MM-DD.")],
    output: Output = None,
) -> None:
    """Write the zipped TAB-separated file of an institution's day; needs only the database's settings."""
    if not CODE.fullmatch(fixmedins_code):
        raise typer.BadParameter("is a letter and 11 digits", param_hint="FIXMEDINS_CODE")
    wanted = _day(day)
    target = output or Path(file_name(fixmedins_code, wanted))

    def run(settings: DatabaseSettings) -> int:
        typer.echo(f"{target}: {write_daily_file(settings, fixmedins_code, wanted, target)} bytes")
        return 0

    raise typer.Exit(done("settlement", Task(DatabaseSettings, run)))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("is not a day of the calendar (YYYY-MM-DD)", param_hint="DAY") from None


def write_daily_file(settings: DatabaseSettings, fixmedins_code: str, day: date, target: Path) -> int:
    """Write the file; how many bytes it has. A file of that name is replaced once the new one is whole."""
    return asyncio.run(_write(settings, fixmedins_code, day, target))


async def _write(settings: DatabaseSettings, fixmedins_code: str, day: date, target: Path) -> int:
    database = Database(settings.database_url, 1, "settlement")
    service = ReconciliationService(PostgresWork(database, PostgresReconciliationRepository), SystemClock())
    unfinished = target.with_name(f"{target.name}.part")
    written = 0
    try:
        with unfinished.open("wb") as file:
            async with aclosing(service.details(fixmedins_code, day)) as pages:
                async for chunk in daily_file(fixmedins_code, day, pages):
                    written += file.write(chunk)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
        await database.close()
    return written
