"""`python -m <service> purge`: drop the months whose time is over, or say which would go."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, TypeVar

import typer

from kit.demands import needs
from kit.kept import Kept
from kit.retention import OutboxRetention

if TYPE_CHECKING:
    from kit.purge import Old, Plan, Purging

R = TypeVar("R", bound=OutboxRetention)
Run = Callable[[type[Any], Callable[[Any], int]], int]
"""Runs a command that demands settings of a class, and gives the status to end with."""

EXIT_REFUSED: Final = 1
_CONNECTIONS: Final = 2
_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")
_OF_A_UNIT: Final = 1024
EVERYWHERE: Final = {"requests": "30 days", "used assertions": "1 day"}


@dataclass(frozen=True, slots=True)
class Retention(Generic[R]):
    """What a service keeps by months, and what it forgets otherwise."""

    settings_cls: type[R]
    kept: Sequence[Kept]
    forgotten: Mapping[str, str] = field(default_factory=dict)
    """What the serving processes forget every hour, besides requests and assertions, and after how long."""


def add_purge_command(app: typer.Typer, service: str, retention: Retention[Any], run: Run) -> None:
    """The command."""

    @app.command(
        "purge",
        help="Drop whole months that are older than the policy says; safe beside running services, and again."
        " Status 1 if a month is old enough and still holds what is wanted.",
    )
    @needs(retention.settings_cls)
    def command(
        *, dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False
    ) -> None:
        def purged(settings: OutboxRetention) -> int:
            return asyncio.run(_purge(service, settings, retention, dry_run=dry_run))

        raise typer.Exit(run(retention.settings_cls, purged))


async def _purge(service: str, settings: OutboxRetention, retention: Retention[Any], *, dry_run: bool) -> int:
    from kit.clock import clock_from  # noqa: PLC0415 - other commands need neither clock nor database
    from kit.db import Database  # noqa: PLC0415
    from kit.purge import Purging  # noqa: PLC0415

    database = Database(settings.database_url, _CONNECTIONS, f"{service}-purge")
    days = days_of(settings, retention.kept)
    try:
        purging = Purging(database, clock_from(settings), days)
        refused = [await _table(service, purging, kept, dry_run=dry_run) for kept in retention.kept]
    finally:
        await database.close()
    for what, after in {**EVERYWHERE, **retention.forgotten}.items():
        typer.echo(f"{service}: {what} are forgotten after {after}, every hour, by the processes that serve")
    return EXIT_REFUSED if any(refused) else 0


def days_of(settings: OutboxRetention, kept: Sequence[Kept]) -> dict[str, int]:
    """For how many days each table is kept, by its name; without those that are kept for ever."""
    return {each.table: getattr(settings, each.setting) for each in kept if each.setting is not None}


async def _table(service: str, purging: "Purging", kept: Kept, *, dry_run: bool) -> bool:
    """Purge one table; whether something old had to stay."""
    plan = await purging.plan(kept)
    typer.echo(f"{service}: {kept.table}, kept {_policy(plan)}: {kept.why}")
    refused = False
    for old in plan.old:
        wanted = old.wanted if old.wanted or dry_run else await purging.drop(plan, old)
        typer.echo(f"  {_fate(old, wanted, dry_run=dry_run)}")
        refused = refused or bool(wanted)
    typer.echo("".join(_staying(plan)))
    return refused


def _policy(plan: "Plan") -> str:
    return "for ever" if plan.days is None else f"for {plan.days} days at least"


def _fate(old: "Old", wanted: Sequence[str], *, dry_run: bool) -> str:
    size = f"up to {old.partition.until:%Y-%m-%d %H:%M} UTC, about {old.about_rows} rows, {size_of(old.bytes)}"
    if wanted:
        return f"REFUSED {old.partition.name}, {size}: it holds {', '.join(wanted)}"
    return f"{'would drop' if dry_run else 'dropped'} {old.partition.name}, {size}"


def _staying(plan: "Plan") -> Iterator[str]:
    names = [each.name for each in plan.stays]
    yield f"  stays: {', '.join(names[:1])}" if names else "  nothing stays"
    if len(names) > 1:
        yield f" to {names[-1]}, {len(names)} partitions"


def size_of(size_bytes: int) -> str:
    """In the largest unit of which there is one at least."""
    size, unit = float(size_bytes), 0
    while size >= _OF_A_UNIT and unit < len(_UNITS) - 1:
        size, unit = size / _OF_A_UNIT, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"
