"""`python -m <service> raise-epoch` and `republish`: what operators do with an outbox after a restore from backup."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from kit.clock import SHANGHAI
from kit.config import ConsumerSettings, DatabaseSettings
from kit.demands import needs
from kit.redaction import scrub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kit.db import Database

Run = Callable[[type[Any], Callable[[Any], int]], int]
"""Runs a command that demands settings of a class, and gives the status to end with."""

_CONNECTIONS: Final = 3
_MAX_NAME, _LEAST_REASON, _MAX_REASON = 100, 3, 500

ByOption = Annotated[str, typer.Option("--by", help="Your name, for the record.", show_default=False)]
SinceOption = Annotated[
    str, typer.Option(help="From when on, such as 2026-05-01T12:00:00+08:00, by when events were written.")
]
UntilOption = Annotated[str, typer.Option(help="Until when, exclusive; now if left out.")]
TopicOption = Annotated[str, typer.Option(help="One topic; all that the service publishes if left out.")]


def add_outbox_commands(app: typer.Typer, service: str, run: Run) -> None:
    """The two commands."""
    _add_raise_epoch(app, service, run)
    _add_republish(app, service, run)


def _add_raise_epoch(app: typer.Typer, service: str, run: Run) -> None:
    @app.command("raise-epoch", help="Begin a new epoch after a restore from backup; needs only the database.")
    @needs(DatabaseSettings)
    def command(
        *, by: ByOption, reason: Annotated[str, typer.Option(help="Why, without personal data.", show_default=False)]
    ) -> None:
        operator, why = text_of("--by", by, 1, _MAX_NAME), text_of("--reason", reason, _LEAST_REASON, _MAX_REASON)

        def raised(settings: DatabaseSettings) -> int:
            epoch = asyncio.run(_raise(settings, service, operator, why))
            typer.echo(f"{service}: epoch {epoch}")
            return 0

        raise typer.Exit(run(DatabaseSettings, raised))


async def _raise(settings: DatabaseSettings, service: str, operator: str, reason: str) -> int:
    from kit.outbox_actions import begin_epoch  # noqa: PLC0415 - other commands need no database

    async with _database(settings, service) as database, database.transaction() as transaction:
        return await begin_epoch(transaction, operator, reason)


def _add_republish(app: typer.Typer, service: str, run: Run) -> None:
    @app.command(
        "republish",
        help="Publish events again out of the outbox, under their own ids and epochs, in order for each key."
        " May be repeated: consumers know what comes twice by its id.",
    )
    @needs(ConsumerSettings)
    def command(*, since: SinceOption, until: UntilOption = "", topic: TopicOption = "", by: ByOption) -> None:
        operator = text_of("--by", by, 1, _MAX_NAME)
        begin, end = moment_of("--since", since), moment_of("--until", until) if until else None
        of_topic = _known(topic) if topic else None

        def republished(settings: ConsumerSettings) -> int:
            logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
            typer.echo(asyncio.run(_republish(settings, service, operator, (begin, end, of_topic))))
            return 0

        raise typer.Exit(run(ConsumerSettings, republished))


async def _republish(
    settings: ConsumerSettings, service: str, operator: str, of: tuple[datetime, datetime | None, str | None]
) -> str:
    from kit.outbox_actions import Stretch  # noqa: PLC0415 - other commands need neither database nor Kafka
    from kit.republish import Progress, Republishing  # noqa: PLC0415

    def show(progress: Progress) -> None:
        rate = progress.events / max(progress.seconds, 0.001)
        reached = progress.reached.astimezone(SHANGHAI).isoformat(timespec="milliseconds")
        typer.echo(f"{service}: {progress.events} events, up to {reached}, {rate:.0f}/s", err=True)

    async with _database(settings, service) as database:
        republishing = Republishing(database, settings.database_url, settings)
        since, until, topic = of
        stretch = Stretch(since, until or await republishing.now(), topic)
        if (purged := await republishing.purged_until()) and stretch.since < purged:
            told = f"what was written before {_shown(purged)} was purged; it cannot be published again"
            typer.echo(f"{service}: {told}", err=True)
        events = await republishing.run(stretch, operator, show)
    return f"{service}: {events} events published again, from {_shown(stretch.since)} to {_shown(stretch.until)}"


def text_of(option: str, value: str, least: int, most: int) -> str:
    """An operator's words, fit to be kept."""
    text = scrub(value.strip())
    if not (least <= len(text) <= most and text.isprintable()):
        raise typer.BadParameter(f"takes {least} to {most} printable characters", param_hint=option)
    return text


def moment_of(option: str, value: str) -> datetime:
    """A moment with its offset."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter("takes a time with its offset, such as 2026-05-01T12:00:00+08:00", param_hint=option)
    return moment


def _known(topic: str) -> str:
    from kit.topics import catalogue  # noqa: PLC0415 - reads files

    if topic not in catalogue().topics:
        raise typer.BadParameter(f"there is no topic {topic} in the catalogue", param_hint="--topic")
    return topic


def _shown(moment: datetime) -> str:
    return moment.astimezone(SHANGHAI).isoformat(timespec="milliseconds")


@asynccontextmanager
async def _database(settings: DatabaseSettings, service: str) -> "AsyncIterator[Database]":
    from kit.db import Database  # noqa: PLC0415 - other commands need none

    database = Database(settings.database_url, _CONNECTIONS, f"{service}-outbox")
    try:
        yield database
    finally:
        await database.close()
