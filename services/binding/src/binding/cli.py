"""The command line of binding."""

from pathlib import Path

from binding.config import ReplaySettings, Settings
from binding.main import replay, serve
from binding.subscriber import TOPICS
from kit.cli import ReplayDlq, service_cli

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"

app = service_cli("binding", Settings, serve, MIGRATIONS, replay_dlq=ReplayDlq(ReplaySettings, TOPICS, replay))
