"""The command line: `python -m notify serve|migrate|config|dlq`."""

from kit.cli import service_cli
from kit.dlq_cli import DeadLetterTools
from notify.config import MIGRATIONS, ReplaySettings, Settings
from notify.main import NAME, build, handlers
from notify.service import CONSUMER
from notify.subscriber import TOPICS


def _serve(settings: Settings) -> int:
    return build(settings).run()


DEAD_LETTERS = DeadLetterTools(ReplaySettings, {CONSUMER: TOPICS}, handlers)

app = service_cli(NAME, Settings, _serve, MIGRATIONS, dead_letters=DEAD_LETTERS)
