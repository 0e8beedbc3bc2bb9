"""The command line: `python -m identity serve|migrate|import|config`, installed as `identity` too."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from identity.config import MIGRATIONS, ImportSettings, Settings
from identity.kept import KEPT
from identity.main import SERVICE, build
from identity.retention import IdentityRetention
from kit.cli import load_or_exit, main, service_cli
from kit.demands import needs
from kit.observability import configure_logging
from kit.purge_cli import Retention

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kit.reencrypt import SealedTable

BATCH_ID: Final = r"^[0-9A-Za-z._-]{1,64}$"


def serve(settings: Settings) -> int:
    """Serve until told to stop."""
    return build(settings).application.run()


RETENTION: Final = Retention(IdentityRetention, KEPT, {"counted attempts": "1 day"})


def _sealed() -> "Sequence[SealedTable]":
    from identity.sealed import TABLES  # noqa: PLC0415 - other commands need none of it

    return TABLES


app = service_cli(SERVICE, Settings, serve, MIGRATIONS, sealed=_sealed, retention=RETENTION)


def _batch_id(value: str) -> str:
    import re  # noqa: PLC0415

    if value and not re.fullmatch(BATCH_ID, value):
        raise typer.BadParameter("1 to 64 letters, digits, dots, underscores and hyphens")
    return value


@app.command("import")
@needs(ImportSettings)
def import_register(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="FILE.csv or FILE.csv.gz.")],
    batch: Annotated[
        str, typer.Option(callback=_batch_id, help="The batch's id; by default named after the file's content.")
    ] = "",
    encoding: Annotated[Literal["utf-8", "gb18030"], typer.Option(help="How the file is written.")] = "utf-8",
    refused: Annotated[
        Path | None, typer.Option(dir_okay=False, writable=True, help="Where to write the refused rows, as CSV.")
    ] = None,
    chunk_rows: Annotated[int, typer.Option(min=1, max=10_000, help="Rows that are taken in one transaction.")] = 4000,
) -> None:
    """Load the register of insured persons from a file; run again, it goes on where it ended.

    Needs GONGJI_ENVIRONMENT, GONGJI_DATABASE_URL and GONGJI_KEYRING_FILE. Status 0: all rows were taken; 3: but for
    some that were refused; 130: stopped; 1: the sentence says why; 2: settings or options are wrong.
    """
    # Only here: a server needs no terminal.
    from rich.console import Console  # noqa: PLC0415

    from identity.importing.command import ImportOrder, run_import  # noqa: PLC0415

    if refused is not None and refused.resolve() == file.resolve():
        raise typer.BadParameter("would overwrite the register", param_hint="--refused")
    settings = load_or_exit(ImportSettings, SERVICE)
    configure_logging(SERVICE, settings.log_level)
    order = ImportOrder(file, batch, encoding, refused, chunk_rows)
    raise typer.Exit(run_import(settings, order, Console(stderr=True, soft_wrap=True)))


def run() -> None:
    """The console script `identity`."""
    main(app)
