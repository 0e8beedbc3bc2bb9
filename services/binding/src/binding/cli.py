"""The command line of binding."""

from typing import TYPE_CHECKING

from binding.config import MIGRATIONS, ReplaySettings, Settings
from binding.kept import KEPT
from binding.main import audit_limits, handlers, serve
from binding.subscriber import GROUP, TOPICS
from kit.cli import Task, service_cli
from kit.config import DatabaseSettings
from kit.dlq_cli import DeadLetterTools
from kit.purge_cli import Retention
from kit.retention import BusRetention

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kit.reencrypt import SealedTable

DEAD_LETTERS = DeadLetterTools(ReplaySettings, {GROUP: TOPICS}, handlers)


def _sealed() -> "Sequence[SealedTable]":
    from binding.sealed import TABLES  # noqa: PLC0415 - other commands need none of it

    return TABLES


app = service_cli(
    "binding",
    Settings,
    serve,
    MIGRATIONS,
    {"audit": Task(DatabaseSettings, audit_limits)},
    sealed=_sealed,
    dead_letters=DEAD_LETTERS,
    retention=Retention(BusRetention, KEPT),
)
