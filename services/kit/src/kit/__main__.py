"""`python -m kit topics …`, `acls …` and `keyring …`: topics on the brokers, who may do what there, and key rings."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from kit.kafka_acls import PRINCIPAL, USER, AclError, Compared, check_acls, ensure_acls
from kit.kafka_client import KafkaAddress, KafkaError
from kit.keyring_cli import app as keyring
from kit.topic_admin import Comparison, Drift, TopicError, check_topics, ensure_topics
from kit.topics import Catalogue, CatalogueError, catalogue

R = TypeVar("R")

EXIT_DRIFT: Final = 1
EXIT_FAILED: Final = 2

Bootstrap = Annotated[str, typer.Option(envvar="GONGJI_KAFKA_BOOTSTRAP", help="host:port of a broker.")]
Replication = Annotated[
    int | None,
    typer.Option(min=1, help="Copies of each partition, not what the files state; 1 on a developer's machine."),
]
TopicsDir = Annotated[Path | None, typer.Option(envvar="GONGJI_TOPICS_DIR", help="The folder with the files.")]
CaFile = Annotated[Path | None, typer.Option(envvar="GONGJI_KAFKA_CA_FILE")]
CertFile = Annotated[Path | None, typer.Option(envvar="GONGJI_KAFKA_CERT_FILE")]
KeyFile = Annotated[Path | None, typer.Option(envvar="GONGJI_KAFKA_KEY_FILE")]
Principal = Annotated[
    str,
    typer.Option(help="How the brokers call the user of a certificate, such as 'User:CN={user}'.", metavar="PATTERN"),
]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
topics = typer.Typer(no_args_is_help=True)
app.add_typer(topics, name="topics", help="The topics of protos/topics on the brokers; nothing here deletes one.")
app.add_typer(keyring, name="keyring", help="Key rings, edited without anybody seeing a key.")

acls = typer.Typer(no_args_is_help=True)
app.add_typer(acls, name="acls", help="Who may do what on the brokers, by protos/topics; nothing here takes a right.")


@app.callback()
def _commands() -> None:
    """What belongs to no single service."""


@topics.command()
def create(
    *,
    bootstrap: Bootstrap,
    replication: Replication = None,
    topics_dir: TopicsDir = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
) -> None:
    """Create the topics that the brokers do not have; change none."""
    kafka = KafkaAddress(bootstrap, ca_file, cert_file, key_file)
    created = _run(topics_dir, lambda stated: ensure_topics(kafka, replication, stated))
    typer.echo("\n".join(f"created {name}" for name in created) or "all topics are there")


@topics.command()
def check(
    *,
    bootstrap: Bootstrap,
    replication: Replication = None,
    topics_dir: TopicsDir = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
) -> None:
    """Show where the topics on the brokers are not as stated (exit code 1); change nothing."""
    kafka = KafkaAddress(bootstrap, ca_file, cert_file, key_file)
    compared = _run(topics_dir, lambda stated: check_topics(kafka, replication, stated))
    typer.echo("\n".join(_told(compared)))
    if compared.drifts:
        raise typer.Exit(EXIT_DRIFT)


@acls.command(name="create")
def create_acls(
    *,
    bootstrap: Bootstrap,
    principal: Principal = PRINCIPAL,
    topics_dir: TopicsDir = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
) -> None:
    """Give the services, and who checks, the rights that the brokers do not have; take none."""
    kafka = KafkaAddress(bootstrap, ca_file, cert_file, key_file)
    _require_user_in(principal)
    created = _run(topics_dir, lambda stated: ensure_acls(kafka, principal, stated))
    typer.echo("\n".join(f"created {acl}" for acl in created) or "all ACLs are there")


@acls.command(name="check")
def show_acls(
    *,
    bootstrap: Bootstrap,
    principal: Principal = PRINCIPAL,
    topics_dir: TopicsDir = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
) -> None:
    """Show where the rights of these principals are not as stated (exit code 1); change nothing."""
    kafka = KafkaAddress(bootstrap, ca_file, cert_file, key_file)
    _require_user_in(principal)
    compared = _run(topics_dir, lambda stated: check_acls(kafka, principal, stated))
    typer.echo("\n".join(_rights_told(compared)) or "all ACLs are as stated")
    if compared != Compared((), ()):
        raise typer.Exit(EXIT_DRIFT)


def _require_user_in(principal: str) -> None:
    if USER not in principal:
        raise typer.BadParameter(f"{principal} has no {USER} in it, so that all would be one principal")


def _rights_told(compared: Compared) -> list[str]:
    missing = [f"missing   {acl}" for acl in compared.missing]
    return missing + [f"unstated  {acl}" for acl in compared.unstated]


def _run(topics_dir: Path | None, work: Callable[[Catalogue], Coroutine[Any, Any, R]]) -> R:
    try:
        return asyncio.run(work(catalogue(topics_dir)))
    except (CatalogueError, TopicError, AclError, KafkaError) as error:
        typer.echo(f"{error}", err=True)
        raise typer.Exit(EXIT_FAILED) from error


def _told(compared: Comparison) -> list[str]:
    lines = _table(compared.drifts) if compared.drifts else ["all topics are as stated"]
    return lines + [f"{name} is there, but no file states it" for name in compared.unstated]


def _table(drifts: Sequence[Drift]) -> list[str]:
    rows = [
        ("topic", "what", "stated", "found"),
        *((drift.topic, drift.what, drift.stated, drift.found) for drift in drifts),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


if __name__ == "__main__":
    app()
