"""The command line: `python -m notify serve|migrate|config|replay-dlq`."""

import asyncio

from kit.cli import service_cli
from notify.config import MIGRATIONS, Settings
from notify.main import NAME, build, replay


def _serve(settings: Settings) -> int:
    return build(settings).run()


def _replay(settings: Settings, topic: str, limit: int) -> int:
    return asyncio.run(replay(settings, topic, limit)).replayed


app = service_cli(NAME, Settings, _serve, MIGRATIONS, replay_dlq=_replay)
