"""The command line: `python -m identity serve|migrate|config`."""

from pathlib import Path
from typing import Final

from identity.config import Settings
from identity.main import SERVICE, build
from kit.cli import service_cli

MIGRATIONS: Final = Path(__file__).resolve().parents[2] / "migrations"


def serve(settings: Settings) -> int:
    """Serve until told to stop."""
    return build(settings).application.run()


app = service_cli(SERVICE, Settings, serve, MIGRATIONS)
