"""The command line of binding."""

from pathlib import Path

from binding.config import Settings
from binding.main import replay, serve
from kit.cli import service_cli

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"

app = service_cli("binding", Settings, serve, MIGRATIONS, replay_dlq=replay)
