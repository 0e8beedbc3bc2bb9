"""`python -m <service> reencrypt [--check]`: moves what is sealed to the ring's active key, or counts what is not."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from kit.config import SealingSettings
from kit.demands import needs

if TYPE_CHECKING:
    from kit.reencrypt import SealedTable

Run = Callable[[type[Any], Callable[[Any], int]], int]
"""Runs a command that demands settings of a class, and gives the status to end with."""

_CONNECTIONS: Final = 2
_BATCH: Final = 500


def add_reencrypt_command(
    app: typer.Typer, service: str, tables: Callable[[], "Sequence[SealedTable]"], run: Run
) -> None:
    """The command."""

    @app.command(
        "reencrypt",
        help="Move every sealed row to the key that is active in the ring, beside running services; may be stopped, and"
        " goes on where it was. Status 0: nothing is left under another key; 1: the sentence says what is.",
    )
    @needs(SealingSettings)
    def command(
        *,
        batch: Annotated[int, typer.Option(min=1, max=10_000, help="Rows of one transaction, at most.")] = _BATCH,
        check: Annotated[
            bool, typer.Option("--check", help="Change nothing: count what each key seals; 1 if not all is one's.")
        ] = False,
    ) -> None:
        def work(settings: SealingSettings) -> int:
            asyncio.run(_work(settings, service, tables(), None if check else batch))
            return 0

        raise typer.Exit(run(SealingSettings, work))


async def _work(settings: SealingSettings, service: str, tables: "Sequence[SealedTable]", batch: int | None) -> None:
    # Only here: other commands need none of it.
    from kit.crypto import KeyRing  # noqa: PLC0415
    from kit.db import Database  # noqa: PLC0415
    from kit.reencrypt import Pace, check, reencrypt  # noqa: PLC0415
    from kit.terminal import stop_when_told  # noqa: PLC0415

    ring = KeyRing.load(settings.keyring_file)
    database = Database(settings.database_url, _CONNECTIONS, f"{service}-reencrypt")
    try:
        with stop_when_told() as stopping:
            if batch is None:
                await check(database, tables, ring, typer.echo)
            else:
                await reencrypt(database, tables, ring, Pace(batch, typer.echo, stopping.is_set))
    finally:
        await database.close()
