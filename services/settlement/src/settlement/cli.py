"""The command line of settlement."""

from pathlib import Path

from kit.cli import ReplayDlq, Task, service_cli
from kit.config import ConsumerSettings
from settlement.config import AuditSettings, Settings
from settlement.main import audit_books, replay, serve
from settlement.subscriber import TOPICS

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"

app = service_cli(
    "settlement",
    Settings,
    serve,
    MIGRATIONS,
    {"audit": Task(AuditSettings, audit_books)},
    replay_dlq=ReplayDlq(ConsumerSettings, TOPICS, replay),
)
