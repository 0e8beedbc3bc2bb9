"""`gongji-local`: the local stack from the command line."""

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer
from rich.console import Console

from gongji_local.backup.commands import add_backup_commands
from gongji_local.choice import Named
from gongji_local.cluster_command import add_cluster_command
from gongji_local.console import ConsoleProgress, addresses, print_error, reasons, states
from gongji_local.errors import StackError, from_os_error
from gongji_local.logs import follow, last_lines
from gongji_local.stack import Stack
from kit.clock import SHANGHAI

if TYPE_CHECKING:
    from kit.grpc_client import TlsFiles

R = TypeVar("R")

EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130

app = typer.Typer(
    name="gongji-local",
    help="PostgreSQL, Kafka, certificates and the four services on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Context:
    """What the options before the command's name say."""

    state: Path | None


@app.callback()
def _options(
    context: typer.Context,
    state: Annotated[
        Path | None, typer.Option(envvar="GONGJI_STATE", help="State folder; default .local/ of the checkout.")
    ] = None,
) -> None:
    context.obj = Context(state)


@app.command()
def up(
    context: typer.Context,
    *,
    postgres_url: Annotated[
        str | None, typer.Option(help="A PostgreSQL that is already there; default DATABASE_URL, else an own one.")
    ] = None,
    kafka: Annotated[
        str | None, typer.Option(help="A Kafka that is already there; default KAFKA_BOOTSTRAP, else an own one.")
    ] = None,
    secured_kafka: Annotated[
        bool,
        typer.Option(
            "--secured-kafka", help="An own Kafka as in production: TLS, certificates, and ACLs for the services."
        ),
    ] = False,
) -> None:
    """Start everything that does not run yet and print the addresses."""
    stack = _stack(context, Named(postgres_url, kafka, secured_kafka))
    progress = ConsoleProgress(out)
    info = _or_end(lambda: stack.up(progress), progress)
    out.print()
    out.print(addresses(info))


@app.command()
def demo(context: typer.Context) -> None:
    """Play the main job on this stack, from registration to the payer's notice; starts what does not run."""
    from gongji_local.demo import play  # noqa: PLC0415 - the other commands call no service

    stack = _stack(context)
    progress = ConsoleProgress(out)
    _or_end(lambda: stack.up(progress), progress)
    _or_end(lambda: play(stack, out))


@app.command()
def down(
    context: typer.Context,
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete data, keys and logs too.")] = False,  # noqa: FBT002
) -> None:
    """End what this state folder started, and nothing else."""
    stack = _stack(context)
    progress = ConsoleProgress(out)
    if wipe:
        _or_end(lambda: stack.wipe(progress), progress)
    elif not _or_end(lambda: stack.down(progress), progress):
        out.print("Nothing was running.")


@app.command()
def status(context: typer.Context) -> None:
    """Tell what each process is doing; exit status 1 when something is not well."""
    processes = _or_end(_stack(context).status)
    out.print(states(processes))
    for line in reasons(processes):
        out.print(line, markup=False, soft_wrap=True)
    if not all(process.well for process in processes):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def logs(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A service, postgres or kafka.", metavar="SERVICE")],
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many lines to show.")] = 50,
    following: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,  # noqa: FBT002
) -> None:
    """Show a process's log."""
    path = _or_end(lambda: _stack(context).log_file(name))
    for line in last_lines(path, lines):
        out.print(line, markup=False, soft_wrap=True)
    if following:
        for line in follow(path):
            out.print(line, markup=False, soft_wrap=True)


@app.command()
def assertion(
    context: typer.Context,
    subject: Annotated[str, typer.Option("--as", help="clerk:wang or psn:<psn_no>.")],
    audience: Annotated[str, typer.Option(help="The service it is shown to.")],
    role: Annotated[
        list[str] | None, typer.Option(help="May be repeated; default: citizen for psn:, handler for clerk:.")
    ] = None,
    consent: Annotated[
        tuple[str, str] | None,
        typer.Option(help="What the person agrees to: an application_id and its pledge_sha256.", metavar="ID SHA256"),
    ] = None,
) -> None:
    """Print a signed assertion for the metadata x-gongji-assertion, good for five minutes."""
    stack = _stack(context)
    agreed = dict(zip(("application_id", "pledge_sha256"), consent, strict=True)) if consent else None
    print(_or_end(lambda: stack.assertion(subject, audience=audience, roles=tuple(role or ()), consent=agreed)))


@app.command()
def env(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="A service.", metavar="SERVICE")],
) -> None:
    """Print a service's settings for a shell: eval "$(gongji-local env settlement)"; python -m settlement audit."""
    stack = _stack(context)
    for name, value in sorted(_or_end(lambda: stack.environment(service)).items()):
        print(f"export {name}={shlex.quote(value)}")


@app.command()
def certificate(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="An institution's fixmedins_code, service/NAME, or kafka/USER.", metavar="INSTITUTION")
    ],
) -> None:
    """Make a client certificate and print where it, its key and the servers' CA are."""
    stack = _stack(context)
    files = _or_end(lambda: _tls_of(stack, name))
    print(f"cert={files.cert}\nkey={files.key}\nca={files.ca}")


@app.command()
def sms(
    context: typer.Context,
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="How many messages to show.")] = 1,
) -> None:
    """Show the newest messages to telephones, such as one-time codes, the newest first."""
    messages = _or_end(_stack(context).sms)[:lines]
    for message in messages:
        at = message.written_at.astimezone(SHANGHAI).isoformat(timespec="seconds")
        print(f"{at} {message.tel} {message.verification_id}\n{message.text}")
    if not messages:
        out.print("No message was sent yet.")


@app.command()
def clock(
    context: typer.Context,
    to: Annotated[
        datetime | None,
        typer.Option(help="Move the services' clock here (Asia/Shanghai).", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Back to the computer's time.")] = False,  # noqa: FBT002
) -> None:
    """Show the time that the services go by, or move it."""
    stack = _stack(context)
    if reset:
        _or_end(stack.reset_clock)
    if to is not None:
        _or_end(lambda: stack.move_clock(to.replace(tzinfo=SHANGHAI)))
    print(_or_end(stack.now).astimezone(SHANGHAI).isoformat(timespec="seconds"))


def _tls_of(stack: Stack, name: str) -> "TlsFiles":
    kind, _slash, rest = name.partition("/")
    if kind == "kafka":
        return stack.kafka_tls(rest)
    return stack.service_tls(rest) if kind == "service" else stack.institution_tls(name)


def _stack(context: typer.Context, named: Named | None = None) -> Stack:
    options: Context = context.obj
    return _or_end(lambda: Stack(options.state, named=named or Named(), environ=os.environ))


def _or_end(work: Callable[[], R], progress: ConsoleProgress | None = None) -> R:
    """The result of `work`, or the end of the command with one clear sentence and the next step."""
    try:
        return work()
    except (StackError, OSError) as error:
        _close(progress)
        print_error(err, error if isinstance(error, StackError) else from_os_error(error, Path()))
        raise typer.Exit(EXIT_FAILED) from None
    except KeyboardInterrupt:
        _close(progress)
        err.print("Interrupted. What was started goes on: `gongji-local down` ends it.")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _close(progress: ConsoleProgress | None) -> None:
    if progress is not None:
        progress.close()


add_backup_commands(app, _stack, _or_end, out)
add_cluster_command(app, _or_end, out)


def main() -> None:
    """The entry point."""
    app()
