"""The command line of binding."""

from pathlib import Path

from binding.config import ReplaySettings, Settings
from binding.main import audit_limits, replay, serve
from binding.subscriber import TOPICS
from kit.cli import ReplayDlq, Task, service_cli
from kit.config import DatabaseSettings

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"

app = service_cli(
    "binding",
    Settings,
    serve,
    MIGRATIONS,
    {"audit": Task(DatabaseSettings, audit_limits)},
    replay_dlq=ReplayDlq(ReplaySettings, TOPICS, replay),
)
