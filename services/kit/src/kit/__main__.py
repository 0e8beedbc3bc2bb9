"""`python -m kit topics`: create the platform's topics."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from kit.kafka_client import KafkaAddress
from kit.topics import catalogue, ensure_topics

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _commands() -> None:
    """What belongs to no single service."""


@app.command()
def topics(
    *,
    bootstrap: Annotated[str, typer.Option(envvar="GONGJI_KAFKA_BOOTSTRAP", help="host:port of a broker.")],
    replication: Annotated[int, typer.Option(min=1, help="Copies of each partition; 1 on a developer's machine.")] = 3,
    topics_dir: Annotated[
        Path | None, typer.Option(envvar="GONGJI_TOPICS_DIR", help="The folder with the files.")
    ] = None,
    ca_file: Annotated[Path | None, typer.Option(envvar="GONGJI_KAFKA_CA_FILE")] = None,
    cert_file: Annotated[Path | None, typer.Option(envvar="GONGJI_KAFKA_CERT_FILE")] = None,
    key_file: Annotated[Path | None, typer.Option(envvar="GONGJI_KAFKA_KEY_FILE")] = None,
) -> None:
    """Create the topics of the catalogue that the brokers do not have."""
    kafka = KafkaAddress(bootstrap, ca_file, cert_file, key_file)
    created = asyncio.run(ensure_topics(kafka, replication, catalogue(topics_dir)))
    typer.echo("\n".join(f"created {name}" for name in created) or "all topics are there")


if __name__ == "__main__":
    app()
