"""`gongji-local backup` and `gongji-local restore`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from gongji_local.backup.archive import Archive
from gongji_local.backup.points import points_of
from gongji_local.backup.restoring import restore
from gongji_local.backup.taking import take
from gongji_local.console import ConsoleProgress
from gongji_local.services import SERVICES
from gongji_local.stack import Stack

FolderArgument = Annotated[Path, typer.Argument(help="The backup's folder.", show_default=False)]


def add_backup_commands(app: typer.Typer, stack_of: Callable[[typer.Context], Stack], or_end: Any, out: Any) -> None:
    """The two commands."""

    @app.command("backup")
    def backup(context: typer.Context, folder: FolderArgument) -> None:
        """Copy PostgreSQL's data to FOLDER while it runs, and archive its WAL there from now on; not the key rings."""
        stack, progress = stack_of(context), ConsoleProgress(out)
        base = or_end(lambda: take(stack, Archive(folder.absolute()), progress), progress)
        out.print(f"Complete at {base.ended_at.isoformat()}; any later point can be restored once its WAL is archived.")
        out.print(f"Not in it: the keys in {stack.folder.secrets}. Without them it cannot be read.", soft_wrap=True)

    @app.command("restore")
    def restoring(
        context: typer.Context,
        folder: FolderArgument,
        at: Annotated[str, typer.Option(help="The point, such as 2026-05-01T12:00:00+08:00; else the last.")] = "",
        service_at: Annotated[
            list[str] | None, typer.Option(metavar="SERVICE=TIME", help="Another point for one service; repeat it.")
        ] = None,
    ) -> None:
        """Bring the databases back to a point in time; ends the stack first, and starts PostgreSQL alone."""
        stack, progress = stack_of(context), ConsoleProgress(out)
        points = or_end(lambda: points_of(SERVICES, at, service_at or ()))
        done = or_end(lambda: restore(stack, Archive(folder.absolute()), points, progress), progress)
        if done.put_aside:
            out.print(f"The data of before are in {done.put_aside}.", soft_wrap=True)
        out.print("Next: raise-epoch, republish and reconcile-holds, as docs/operations/backup-and-restore.md says.")
