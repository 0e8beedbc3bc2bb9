"""`python -m <service> dlq list|show|replay|drop`: what operators do with the events that a service failed on."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import typer

from kit.cli import EXIT_FAILED
from kit.clock import SystemClock
from kit.config import ConsumerSettings
from kit.db import Database
from kit.dead_letters import KafkaDeadLetterQueue
from kit.demands import needs
from kit.dlq_actions import ActionsWork, actions_of
from kit.dlq_letters import KafkaDeadLetters, Place
from kit.dlq_replay import MAX_REPLAYED, Dropping, Found, Looking, Replay, Replaying
from kit.dlq_showing import details_of, lines_of
from kit.handling import Handler
from kit.redaction import scrub

R = TypeVar("R", bound=ConsumerSettings)

EXIT_MISUSED = 2
MAX_SHOWN = 200
_MAX_NAME, _LEAST_REASON, _MAX_REASON = 100, 3, 500
_CONNECTIONS = 2


@dataclass(frozen=True, slots=True)
class DeadLetterTools(Generic[R]):
    """What the commands need to know of a service that consumes."""

    settings_cls: type[R]
    """What handling events demands; looking and dropping demand the database and Kafka alone."""
    topics: Mapping[str, Sequence[str]]
    """The topics of each of its consumer groups."""
    handlers: Callable[[R, Database], Mapping[str, Handler]]
    """What the events of each group are given to."""

    @property
    def all_topics(self) -> list[str]:
        """Every topic that the service consumes, in the order in which they are stated."""
        return list(dict.fromkeys(topic for topics in self.topics.values() for topic in topics))


class Desk(NamedTuple):
    """What is open while a command runs."""

    looking: Looking
    queue: KafkaDeadLetterQueue
    work: ActionsWork
    database: Database


Run = Callable[[type[Any], Callable[[Any], int]], int]
"""Runs a command that demands settings of a class, and gives the status to end with."""

TopicArgument = Annotated[str, typer.Argument(help="The topic that the event failed on.", show_default=False)]
PlaceArgument = Annotated[str, typer.Argument(metavar="OFFSET", help="As `dlq list` prints it.", show_default=False)]
ByOption = Annotated[str, typer.Option("--by", help="Your name, for the record.", show_default=False)]


def dlq_app(service: str, tools: DeadLetterTools[Any], run: Run) -> typer.Typer:
    """The commands under `dlq`."""
    app = typer.Typer(no_args_is_help=True, help="Look at the events that failed, replay them, or give them up.")
    _add_list(app, service, tools, run)
    _add_show(app, service, tools, run)
    _add_replay(app, service, tools, run)
    _add_drop(app, service, tools, run)
    return app


def _add_list(app: typer.Typer, service: str, tools: DeadLetterTools[Any], run: Run) -> None:
    @app.command("list", help="List the letters of this service's consumers, oldest first.")
    @needs(ConsumerSettings)
    def command(
        topic: Annotated[str, typer.Argument(help="One topic; all that are consumed if left out.")] = "",
        *,
        everything: Annotated[bool, typer.Option("--all", help="Also those that were replayed or dropped.")] = False,
        limit: Annotated[int, typer.Option(min=1, help="The most lines for a topic.")] = MAX_SHOWN,
    ) -> None:
        topics = [_consumed(service, tools, topic)] if topic else tools.all_topics

        async def listed(desk: Desk, _settings: ConsumerSettings) -> None:
            for each in topics:
                await list_letters(desk.looking, each, everything=everything, limit=limit)

        raise typer.Exit(run(ConsumerSettings, _at_the_desk(service, tools, listed)))


async def list_letters(looking: Looking, topic: str, *, everything: bool, limit: int) -> None:
    """Print how many letters there are, and the first of them; `everything` is also those that have ended."""
    shown: list[Found] = []
    wanted = others = 0
    async for found in looking.all(topic):
        if not looking.is_ours(found.letter):
            others += 1
        elif everything or found.end is None:
            wanted += 1
            shown += [found] if wanted <= limit else []
    left = f", the first {limit} shown" if wanted > limit else ""
    typer.echo(f"{topic}: {wanted} {'letters' if everything else 'open'}{left}; {others} of other services' consumers")
    if shown:
        typer.echo("\n".join(f"  {line}" for line in lines_of(shown, SystemClock().now())))


def _add_show(app: typer.Typer, service: str, tools: DeadLetterTools[Any], run: Run) -> None:
    @app.command("show", help="Show one letter with its payload, personal data masked.")
    @needs(ConsumerSettings)
    def command(topic: TopicArgument, offset: PlaceArgument) -> None:
        topic, place = _consumed(service, tools, topic), _place(offset)

        async def shown(desk: Desk, _settings: ConsumerSettings) -> None:
            found = await desk.looking.at(topic, place)
            typer.echo("\n".join(details_of(found, SystemClock().now())))

        raise typer.Exit(run(ConsumerSettings, _at_the_desk(service, tools, shown)))


def _add_replay(app: typer.Typer, service: str, tools: DeadLetterTools[Any], run: Run) -> None:
    @app.command(
        "replay",
        help="Handle one event again, or --all, once what made them fail is mended; status 1 if one fails again.",
    )
    @needs(tools.settings_cls)
    def command(
        topic: TopicArgument,
        offset: Annotated[str, typer.Argument(metavar="[OFFSET]", help="One letter; or give --all.")] = "",
        *,
        by: ByOption,
        everything: Annotated[bool, typer.Option("--all", help="Every open letter, oldest first.")] = False,
        limit: Annotated[int, typer.Option(min=1, max=MAX_REPLAYED, help="Of --all, the most.")] = MAX_REPLAYED,
    ) -> None:
        topic, operator = _consumed(service, tools, topic), _text("--by", by, 1, _MAX_NAME)
        if bool(offset) == everything:
            raise typer.BadParameter("give either an OFFSET or --all", param_hint="OFFSET")
        place = None if everything else _place(offset)

        async def replayed(desk: Desk, settings: Any) -> int:
            replaying = Replaying(desk.looking, desk.queue, desk.work, tools.handlers(settings, desk.database))
            if place is None:
                result = await replaying.all(topic, operator, limit)
            else:
                result = await replaying.one(topic, place, operator)
            typer.echo(f"{topic}: {words_of(result)}")
            return EXIT_FAILED if result.buried else 0

        raise typer.Exit(run(tools.settings_cls, _at_the_desk(service, tools, replayed)))


def words_of(result: Replay) -> str:
    """What came of a replay."""
    words = f"{result.replayed} handled"
    words += f", {result.buried} failed again and lie at the DLQ's end" if result.buried else ""
    return words + (f", {result.others} of other services' consumers left" if result.others else "")


def _add_drop(app: typer.Typer, service: str, tools: DeadLetterTools[Any], run: Run) -> None:
    @app.command("drop", help="Give one event up: it will never have its effect. For good.")
    @needs(ConsumerSettings)
    def command(
        topic: TopicArgument,
        offset: PlaceArgument,
        *,
        by: ByOption,
        reason: Annotated[str, typer.Option(help="Why, without personal data.", show_default=False)],
    ) -> None:
        topic, place = _consumed(service, tools, topic), _place(offset)
        operator, why = _text("--by", by, 1, _MAX_NAME), _text("--reason", reason, _LEAST_REASON, _MAX_REASON)

        async def dropped(desk: Desk, _settings: ConsumerSettings) -> None:
            drop = await Dropping(desk.looking, desk.work).drop(topic, place, operator, why)
            handled = (
                " Its event had been handled before, which it takes nothing away from." if drop.was_handled else ""
            )
            typer.echo(f"{topic} {place}: dropped.{handled}")

        raise typer.Exit(run(ConsumerSettings, _at_the_desk(service, tools, dropped)))


def _consumed(service: str, tools: DeadLetterTools[Any], topic: str) -> str:
    if topic in tools.all_topics:
        return topic
    known = ", ".join(tools.all_topics)
    typer.echo(f"✗ {service} does not consume {topic}. Name one of those that it does: {known}.", err=True)
    raise typer.Exit(EXIT_MISUSED)


def _place(text: str) -> Place:
    try:
        return Place.of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="OFFSET") from None


def _text(option: str, value: str, least: int, most: int) -> str:
    text = scrub(value.strip())
    if not (least <= len(text) <= most and text.isprintable()):
        raise typer.BadParameter(f"takes {least} to {most} printable characters", param_hint=option)
    return text


def _at_the_desk(
    service: str, tools: DeadLetterTools[Any], work: Callable[[Desk, Any], Awaitable[int | None]]
) -> Callable[[ConsumerSettings], int]:
    async def opened(settings: ConsumerSettings) -> int:
        async with _desk(service, tools, settings) as desk:
            return await work(desk, settings) or 0

    def task(settings: ConsumerSettings) -> int:
        # The client complains of each attempt; what came of all of them is told once.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        return asyncio.run(opened(settings))

    return task


@asynccontextmanager
async def _desk(service: str, tools: DeadLetterTools[Any], settings: ConsumerSettings) -> AsyncIterator[Desk]:
    name = f"{service}-dlq"
    database = Database(settings.database_url, _CONNECTIONS, name)
    queue = KafkaDeadLetterQueue(settings, client_id=name)
    work = actions_of(database)
    try:
        yield Desk(Looking(KafkaDeadLetters(settings, queue, name), work, list(tools.topics)), queue, work, database)
    finally:
        await queue.close()
        await database.close()
