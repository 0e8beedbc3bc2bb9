"""The command line of binding."""

from pathlib import Path

from binding.config import ReplaySettings, Settings
from binding.main import audit_limits, handlers, serve
from binding.subscriber import GROUP, TOPICS
from kit.cli import Task, service_cli
from kit.config import DatabaseSettings
from kit.dlq_cli import DeadLetterTools

MIGRATIONS = Path(__file__).parent / "migrations"
DEAD_LETTERS = DeadLetterTools(ReplaySettings, {GROUP: TOPICS}, handlers)

app = service_cli(
    "binding",
    Settings,
    serve,
    MIGRATIONS,
    {"audit": Task(DatabaseSettings, audit_limits)},
    dead_letters=DEAD_LETTERS,
)
