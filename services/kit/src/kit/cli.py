"""The command line of every service, `serve|migrate|config|reencrypt|raise-epoch|republish|purge`, and its own."""

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import typer

from kit.config import ConfigurationError, DatabaseSettings, ServiceSettings, describe, load
from kit.demands import Surroundings, needed_by, needs
from kit.failures import OperatorError
from kit.observability import configure_logging, get_logger
from kit.outbox_cli import add_outbox_commands
from kit.purge_cli import Retention, add_purge_command
from kit.reencrypt_cli import add_reencrypt_command
from kit.serving import STATUS_FAILED, STATUS_MISCONFIGURED, sentence_of, served

if TYPE_CHECKING:
    from kit.dlq_cli import DeadLetterTools
    from kit.reencrypt import SealedTable

C = TypeVar("C", bound=DatabaseSettings)
S = TypeVar("S", bound=ServiceSettings)

EXIT_FAILED = STATUS_FAILED
EXIT_MISCONFIGURED = STATUS_MISCONFIGURED
WAIT_SECONDS_MAX = 3600


@dataclass(frozen=True, slots=True)
class Task(Generic[C]):
    """A command that demands just the settings that it uses."""

    settings_cls: type[C]
    run: Callable[[C], int]
    """Gets the settings, returns the exit status; its docstring is the command's help."""


def service_cli(
    name: str,
    settings_cls: type[S],
    serve: Callable[[S], int],
    migrations_dir: Path,
    extra: Mapping[str, Task[Any]] | None = None,
    *,
    sealed: "Callable[[], Sequence[SealedTable]]" = tuple,
    dead_letters: "DeadLetterTools[Any] | None" = None,
    retention: Retention[Any] | None = None,
) -> typer.Typer:
    """The command line of the service `name`.

    Args:
        name: as in the trust domain, such as `binding`.
        settings_cls: what `serve` is given.
        serve: runs until it is told to stop.
        migrations_dir: the service's migrations, oldest first by name.
        extra: further commands by name.
        sealed: gives the tables with sealed columns, all of them; asked by the command that seals anew.
        dead_letters: given, there are commands `dlq list|show|replay|drop`; for services that consume.
        retention: given, there is a command `purge`; for services with tables that are cut into months.
    """
    app = typer.Typer(name=name, help=f"The {name} service of Gongji.", no_args_is_help=True, add_completion=False)
    _add_serve(app, name, Task(settings_cls, serve))
    _add_migrate(app, name, migrations_dir)
    consumed = dead_letters.topics if dead_letters else {}
    _add_config(app, settings_cls, Surroundings(name, migrations_dir, consumed))
    for command_name, task in (extra or {}).items():
        _add(app, name, command_name, task.run.__doc__ or "", task)
    add_reencrypt_command(app, name, sealed, lambda settings_cls, run: done(name, Task(settings_cls, run)))
    add_outbox_commands(app, name, lambda settings_cls, run: done(name, Task(settings_cls, run)))
    if retention is not None:
        add_purge_command(app, name, retention, lambda settings_cls, run: done(name, Task(settings_cls, run)))
    if dead_letters is not None:
        _add_dlq(app, name, dead_letters)
    return app


def _add(app: typer.Typer, service: str, name: str, help_text: str, task: Task[Any]) -> None:
    @app.command(name, help=f"{help_text}\n\nSettings come from the environment; wrong ones end it with status 2.")
    @needs(task.settings_cls)
    def command() -> None:
        raise typer.Exit(done(service, task))


def _add_serve(app: typer.Typer, service: str, task: Task[Any]) -> None:
    @app.command(
        "serve",
        help="Serve until SIGTERM or SIGINT.\n\nSettings come from the environment; what keeps it from starting is the"
        " log's last line: with status 2 wrong settings, with 1 anything else.",
    )
    @needs(task.settings_cls)
    def command() -> None:
        raise typer.Exit(served(service, task.settings_cls, task.run, known_to(app)))


def known_to(app: typer.Typer) -> set[type[DatabaseSettings]]:
    """The settings of all commands of a service: one environment may be for several of them."""
    return {settings_cls for settings_cls in needed_by(app).values() if settings_cls is not None}


def _add_migrate(app: typer.Typer, name: str, migrations_dir: Path) -> None:
    @app.command("migrate", help="Bring the database's schema up to date; needs only the database's settings.")
    @needs(DatabaseSettings)
    def command(
        check: Annotated[  # noqa: FBT002 - a flag of the command line
            bool, typer.Option("--check", help="Change nothing; status 1 if there is something to apply.")
        ] = False,
        wait: Annotated[
            float, typer.Option(min=0, max=WAIT_SECONDS_MAX, help="With --check: so many seconds until it was applied.")
        ] = 0,
    ) -> None:
        if wait and not check:
            raise typer.BadParameter("goes with --check", param_hint="--wait")
        # Only here: Alembic takes as long to load as all the rest, and every start of a service would wait for it.
        from kit import migrate as migrations  # noqa: PLC0415

        def run(settings: DatabaseSettings) -> int:
            if check:
                waiting = _pending(settings, migrations_dir, wait)
                typer.echo("\n".join(f"pending {revision}" for revision in waiting) or "up to date")
                return EXIT_FAILED if waiting else 0
            applied = migrations.migrate(settings.database_url, migrations_dir)
            typer.echo("\n".join(f"applied {revision}" for revision in applied) or "up to date")
            return 0

        raise typer.Exit(done(name, Task(DatabaseSettings, run)))


def _pending(settings: DatabaseSettings, migrations_dir: Path, wait_seconds: float) -> Sequence[str]:
    from kit import migrate as migrations  # noqa: PLC0415 - see above
    from kit.migrate_waiting import until_applied  # noqa: PLC0415

    if wait_seconds:  # the kernel ends the first process of a container by no signal that it does not handle itself
        signal.signal(signal.SIGTERM, _ended)
    return until_applied(
        lambda: migrations.pending(settings.database_url, migrations_dir),
        # A fault of the migrations themselves is not waited for.
        lambda error: None if isinstance(error, OperatorError) else sentence_of(error, settings),
        typer.echo,
        wait_seconds,
    )


def _ended(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _add_config(app: typer.Typer, settings_cls: type[S], around: Surroundings) -> None:
    @app.command("config", help="Print the effective settings, secrets masked; or --check what they name.")
    @needs(settings_cls)
    def command(
        *,
        check: Annotated[
            bool, typer.Option("--check", help="Look at files, certificates, PostgreSQL and Kafka; 1 if one is wrong.")
        ] = False,
        offline: Annotated[bool, typer.Option("--offline", help="Check what is on this computer alone.")] = False,
    ) -> None:
        if offline and not check:
            raise typer.BadParameter("goes with --check", param_hint="--offline")

        def run(settings: S) -> int:
            if not check:
                typer.echo(describe(settings))
                return 0
            # Only here: what is looked at takes long to load, and every start of a service would wait for it.
            from kit.checking import look  # noqa: PLC0415

            wrong = False
            for finding in look(settings, around, known_to(app), offline=offline):
                typer.echo(str(finding))
                wrong = wrong or bool(finding.fault)
            return EXIT_FAILED if wrong else 0

        raise typer.Exit(done(around.service, Task(settings_cls, run)))


def _add_dlq(app: typer.Typer, name: str, tools: "DeadLetterTools[Any]") -> None:
    # Only here: whoever has no such commands need not load Kafka's client for them.
    from kit.dlq_cli import dlq_app  # noqa: PLC0415

    app.add_typer(dlq_app(name, tools, lambda settings_cls, run: done(name, Task(settings_cls, run))), name="dlq")


def done(service: str, task: Task[C]) -> int:
    """The exit status of a command, also of one that a service adds with arguments of its own.

    A failure of its surroundings is one sentence, a fault of the program passes on.
    """
    settings = load_or_exit(task.settings_cls, service)
    configure_logging(service, settings.log_level)
    try:
        return task.run(settings)
    except Exception as error:
        sentence = sentence_of(error, settings)
        if sentence is None:
            raise
        typer.echo(f"✗ {sentence}", err=True)
        return EXIT_FAILED


def load_or_exit(settings_cls: type[C], service: str) -> C:
    """The settings, or the end of the process with status 2 and every problem on standard error."""
    try:
        return load(settings_cls, service=service)
    except ConfigurationError as error:
        typer.echo(f"✗ {error}", err=True)
        typer.echo(f'  On the local stack: eval "$(gongji-local env {service})"', err=True)
        raise typer.Exit(EXIT_MISCONFIGURED) from None


def main(app: typer.Typer) -> None:
    """Run the command line; what fails unforeseen is one line of the log and status 1, not a page of traceback."""
    try:
        app()
    except Exception as error:  # noqa: BLE001 - the outermost place; the log has the traceback
        get_logger().error("failed", why=str(error), exc_info=error)
        sys.exit(EXIT_FAILED)
