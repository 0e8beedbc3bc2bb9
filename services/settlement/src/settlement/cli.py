"""The command line of settlement."""

from typing import TYPE_CHECKING

from kit.cli import Task, service_cli
from kit.config import ConsumerSettings
from kit.dlq_cli import DeadLetterTools
from kit.purge_cli import Retention
from kit.retention import BusRetention
from settlement.books_config import AuditSettings, ReconcileSettings
from settlement.close_day_command import close_day
from settlement.config import MIGRATIONS, Settings
from settlement.contribution_command import import_contributions
from settlement.daily_file_command import daily_file_command
from settlement.kept import KEPT
from settlement.main import audit_books, handlers, reconcile_holds, serve, show_pending
from settlement.projection import GROUP
from settlement.statement_command import export_statement
from settlement.subscriber import TOPICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kit.reencrypt import SealedTable

DEAD_LETTERS = DeadLetterTools(ConsumerSettings, {GROUP: TOPICS}, handlers)


def _sealed() -> "Sequence[SealedTable]":
    from settlement.sealed import TABLES  # noqa: PLC0415 - other commands need none of it

    return TABLES


app = service_cli(
    "settlement",
    Settings,
    serve,
    MIGRATIONS,
    {
        "audit": Task(AuditSettings, audit_books),
        "pending": Task(AuditSettings, show_pending),
        "reconcile-holds": Task(ReconcileSettings, reconcile_holds),
    },
    sealed=_sealed,
    dead_letters=DEAD_LETTERS,
    retention=Retention(BusRetention, KEPT),
)
app.command("close-day")(close_day)
app.command("daily-file")(daily_file_command)
app.command("import-contributions")(import_contributions)
app.command("export-statement")(export_statement)
