"""The command line: `python -m notify serve|migrate|config|replay-dlq`."""

import asyncio

from kit.cli import ReplayDlq, service_cli
from notify.config import MIGRATIONS, ReplaySettings, Settings
from notify.main import NAME, build, replay
from notify.subscriber import TOPICS


def _serve(settings: Settings) -> int:
    return build(settings).run()


def _replay(settings: ReplaySettings, topic: str, limit: int) -> int:
    return asyncio.run(replay(settings, topic, limit)).replayed


app = service_cli(NAME, Settings, _serve, MIGRATIONS, replay_dlq=ReplayDlq(ReplaySettings, TOPICS, _replay))
