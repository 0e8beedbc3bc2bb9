"""`settlement close-day`: closes the days that are over, by the clock, in order."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Annotated, Final

import typer

from kit.cli import EXIT_FAILED, Task, done
from kit.clock import SHANGHAI, clock_from
from kit.config import ClockSettings
from kit.db import Database, PostgresWork
from kit.db_errors import is_contention
from kit.demands import needs
from settlement.domain.reasons import SettlementRefusedError
from settlement.reconciliation_repository import PostgresReconciliationRepository
from settlement.reconciliation_service import Closing, ReconciliationService

CLOSED_BY: Final = "command/close-day"
LOCK_SECONDS: Final = 10.0
"""How long one attempt waits for what is being posted on the day; there are five."""
FREEZE_SECONDS: Final = 600.0
"""For summing up a day of a whole region, which keeps nobody waiting: nothing is posted on it any more."""
_IN_THE_WAY: Final = "what is being posted on it does not end; pg_stat_activity tells whose transaction is old"

Day = Annotated[str | None, typer.Option("--day", help="This day alone, YYYY-MM-DD in Asia/Shanghai.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Close nothing; say what would be closed.")]


@needs(ClockSettings)
def close_day(*, day: Day = None, dry_run: DryRun = False) -> None:
    """Close every day that is over and not closed, the oldest first; status 1 if one stays open.

    A day is over from a minute after midnight in Shanghai. Several may run at once, and again: a day is closed once.
    Needs only the database's settings.
    """
    wanted = None if day is None else _day(day)

    def run(settings: ClockSettings) -> int:
        return asyncio.run(_run(settings, wanted, dry_run=dry_run))

    raise typer.Exit(done("settlement", Task(ClockSettings, run)))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("is not a day of the calendar (YYYY-MM-DD)", param_hint="--day") from None


async def _run(settings: ClockSettings, wanted: date | None, *, dry_run: bool) -> int:
    database = Database(
        settings.database_url,
        1,
        "settlement",
        lock_timeout_seconds=LOCK_SECONDS,
        statement_timeout_seconds=FREEZE_SECONDS,
    )
    service = ReconciliationService(PostgresWork(database, PostgresReconciliationRepository), clock_from(settings))
    try:
        days = await service.to_close() if wanted is None else [wanted]
        if not days:
            typer.echo("nothing to close")
        told = _would_be(service, days) if dry_run else closings(service, days)
        left = 0
        async for line, stays_open in told:  # as each day is done: the next one may take long
            typer.echo(line)
            left += stays_open
        return EXIT_FAILED if left else 0
    finally:
        await database.close()


async def closings(service: ReconciliationService, days: Sequence[date]) -> AsyncIterator[tuple[str, bool]]:
    """Close days: of each what to tell, and whether it stays open. One that does keeps no other one open."""
    for day in days:
        try:
            yield line_of(await service.close_day(day, CLOSED_BY)), False
        except SettlementRefusedError as error:
            yield f"{day}: not closed: {error}", True
        except Exception as error:
            if not is_contention(error):
                raise
            yield f"{day}: not closed: {_IN_THE_WAY}", True


async def _would_be(service: ReconciliationService, days: Sequence[date]) -> AsyncIterator[tuple[str, bool]]:
    for day in days:
        try:
            yield f"{day}: {'would be closed' if await service.is_to_close(day) else 'is closed'}", False
        except SettlementRefusedError as error:
            yield f"{day}: would not be closed: {error}", True


def line_of(closing: Closing) -> str:
    """What is told of a closed day."""
    closed, total = closing.closed, closing.total
    at = closed.closed_at.astimezone(SHANGHAI)
    return (
        f"{closed.day}: closed {at:%Y-%m-%d %H:%M:%S} by {closed.closed_by}: {closing.institutions} institutions, "
        f"{total.gross.count} settlements, {total.refunds.count} reversals"
    )
