"""`settlement import-contributions`, as the command line offers it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from kit.cli import load_or_exit
from kit.config import ClockSettings
from kit.demands import needs
from kit.observability import configure_logging

_SERVICE = "settlement"


@needs(ClockSettings)
def import_contributions(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="FILE.csv or FILE.csv.gz.")],
    refused: Annotated[
        Path | None, typer.Option(dir_okay=False, writable=True, help="Where to write the refused rows, as CSV.")
    ] = None,
    encoding: Annotated[Literal["utf-8", "gb18030"], typer.Option(help="How the file is written.")] = "utf-8",
) -> None:
    """Credit contributions and interest from a file; run again, it credits what is left.

    Columns: contribution_id, psn_no, amount (fen), kind (contribution or interest). Needs GONGJI_ENVIRONMENT and
    GONGJI_DATABASE_URL. Status 0: all rows were taken; 3: but for some that were refused; 130: stopped; 1: the sentence
    says why; 2: settings or options are wrong.
    """
    # Only here: a server needs no terminal.
    from rich.console import Console  # noqa: PLC0415

    from settlement.import_command import ImportOrder, run_import  # noqa: PLC0415

    if refused is not None and refused.resolve() == file.resolve():
        raise typer.BadParameter("would overwrite the contributions", param_hint="--refused")
    settings = load_or_exit(ClockSettings, _SERVICE)
    configure_logging(_SERVICE, settings.log_level)
    order = ImportOrder(file, refused, encoding)
    raise typer.Exit(run_import(settings, order, Console(stderr=True, soft_wrap=True)))
