"""The command line of settlement."""

from pathlib import Path

from kit.cli import service_cli
from settlement.config import Settings
from settlement.main import audit_books, replay, serve

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"

app = service_cli("settlement", Settings, serve, MIGRATIONS, {"audit": audit_books}, replay_dlq=replay)
