"""The command line that every service has: `python -m <service> serve|migrate|config`, and what it adds."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from kit.config import ConfigurationError, DatabaseSettings, ServiceSettings, describe, load
from kit.observability import configure_logging, get_logger

C = TypeVar("C", bound=DatabaseSettings)
S = TypeVar("S", bound=ServiceSettings)

EXIT_FAILED = 1
EXIT_MISCONFIGURED = 2

Command = Callable[[S], int]
"""Gets the settings, returns the exit status; its docstring is its help."""
ReplayDlq = Callable[[S, str, int], object]
"""Gets the settings, a topic and the most events to take; returns what to print: how many were handled, and so on."""


def service_cli(
    name: str,
    settings_cls: type[S],
    serve: Command[S],
    migrations_dir: Path,
    extra: Mapping[str, Command[S]] | None = None,
    *,
    replay_dlq: ReplayDlq[S] | None = None,
) -> typer.Typer:
    """The command line of the service `name`.

    Args:
        name: as in the trust domain, such as `binding`.
        settings_cls: what `serve` and the other commands are given.
        serve: runs until it is told to stop.
        migrations_dir: the service's migrations, oldest first by name.
        extra: further commands by name.
        replay_dlq: given, there is a command `replay-dlq`; for services that consume.
    """
    app = typer.Typer(name=name, help=f"The {name} service of Gongji.", no_args_is_help=True, add_completion=False)
    _add(app, "serve", "Serve until SIGTERM or SIGINT.", _prepared(name, settings_cls, serve))
    _add_migrate(app, name, migrations_dir)
    _add(app, "config", "Print the effective settings, secrets masked.", _prepared(name, settings_cls, _print_settings))
    for command_name, command in (extra or {}).items():
        _add(app, command_name, command.__doc__ or "", _prepared(name, settings_cls, command))
    if replay_dlq is not None:
        _add_replay(app, name, settings_cls, replay_dlq)
    return app


def _add(app: typer.Typer, name: str, help_text: str, run: Callable[[], int]) -> None:
    @app.command(name, help=f"{help_text}\n\nSettings come from the environment; wrong ones end it with status 2.")
    def command() -> None:
        raise typer.Exit(run())


def _add_migrate(app: typer.Typer, name: str, migrations_dir: Path) -> None:
    @app.command("migrate", help="Bring the database's schema up to date; needs only the database's settings.")
    def command(
        check: Annotated[  # noqa: FBT002 - a flag of the command line
            bool, typer.Option("--check", help="Change nothing; status 1 if there is something to apply.")
        ] = False,
    ) -> None:
        # Only here: Alembic takes as long to load as all the rest, and every start of a service would wait for it.
        from kit import migrate as migrations  # noqa: PLC0415

        settings = load_or_exit(DatabaseSettings)
        configure_logging(name, settings.log_level)
        if check:
            waiting = migrations.pending(settings.database_url, migrations_dir)
            typer.echo("\n".join(f"pending {revision}" for revision in waiting) or "up to date")
            raise typer.Exit(EXIT_FAILED if waiting else 0)
        applied = migrations.migrate(settings.database_url, migrations_dir)
        typer.echo("\n".join(f"applied {revision}" for revision in applied) or "up to date")


def _add_replay(app: typer.Typer, name: str, settings_cls: type[S], replay_dlq: ReplayDlq[S]) -> None:
    @app.command("replay-dlq", help="Handle the events that had failed, once what made them fail is mended.")
    def command(
        topic: Annotated[str, typer.Argument(help="The topic that they failed on, such as settlement-events-v1.")],
        limit: Annotated[int, typer.Option(min=1, help="The most events to take.")] = 1000,
    ) -> None:
        def run(settings: S) -> int:
            typer.echo(f"{topic}: {replay_dlq(settings, topic, limit)}")
            return 0

        raise typer.Exit(_prepared(name, settings_cls, run)())


def _prepared(name: str, settings_cls: type[S], command: Command[S]) -> Callable[[], int]:
    def run() -> int:
        settings = load_or_exit(settings_cls)
        configure_logging(name, settings.log_level)
        return command(settings)

    return run


def load_or_exit(settings_cls: type[C]) -> C:
    """The settings, or the end of the process with status 2 and every problem on standard error."""
    try:
        return load(settings_cls)
    except ConfigurationError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_MISCONFIGURED) from None


def _print_settings(settings: ServiceSettings) -> int:
    typer.echo(describe(settings))
    return 0


def main(app: typer.Typer) -> None:
    """Run the command line; what fails unforeseen is one line of the log and status 1, not a page of traceback."""
    try:
        app()
    except Exception as error:  # noqa: BLE001 - the outermost place; the log has the traceback
        get_logger().error("failed", why=str(error), exc_info=error)
        sys.exit(EXIT_FAILED)
