"""`gongji-local cluster-secrets`."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gongji_local.cluster_secrets import Cluster, write_cluster_secrets

DEFAULTS: Final = Cluster()


def add_cluster_command(app: typer.Typer, or_end: Any, out: Any) -> None:
    """The command."""

    @app.command("cluster-secrets")
    def cluster_secrets(
        folder: Annotated[
            Path, typer.Argument(help="Such as deploy/k8s/components/plain-secrets/files.", show_default=False)
        ],
        postgres: Annotated[
            str, typer.Option(help="The PostgreSQL server's host, as pods call it.")
        ] = DEFAULTS.postgres,
        kafka: Annotated[str, typer.Option(help="The broker's host, as pods call it.")] = DEFAULTS.kafka,
        trust_domain: Annotated[str, typer.Option(help="As the overlay has it; never production's.")] = (
            DEFAULTS.trust_domain
        ),
        namespace: Annotated[str, typer.Option(help="Where the services will run.")] = DEFAULTS.namespace,
    ) -> None:
        """Write throw-away Secrets for a development cluster: keys, certificates, passwords. Not for production."""
        or_end(lambda: write_cluster_secrets(folder.absolute(), Cluster(postgres, kafka, trust_domain, namespace)))
        out.print(
            f"Written to {folder}, for a development cluster only; THROW-AWAY.txt says what is what.", soft_wrap=True
        )
