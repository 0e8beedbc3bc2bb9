"""The command line: `python -m notify serve|migrate|config|dlq|texts|catalogue|try-channel`."""

from typing import TYPE_CHECKING

from kit.cli import service_cli
from kit.dlq_cli import DeadLetterTools
from kit.purge_cli import Retention
from kit.retention import BusRetention
from notify.channel_commands import try_channel_command
from notify.config import MIGRATIONS, ReplaySettings, Settings
from notify.kept import KEPT
from notify.main import NAME, build, handlers
from notify.service import CONSUMER
from notify.subscriber import TOPICS
from notify.text_commands import catalogue_command, texts_command
from notify.webhooks.intake import CONSUMER as WEBHOOKS_CONSUMER
from notify.webhooks.intake import TOPICS as WEBHOOKS_TOPICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kit.reencrypt import SealedTable


def _serve(settings: Settings) -> int:
    return build(settings).run()


DEAD_LETTERS = DeadLetterTools(ReplaySettings, {CONSUMER: TOPICS, WEBHOOKS_CONSUMER: WEBHOOKS_TOPICS}, handlers)

FORGOTTEN = {
    "counts of a day": "7 days",
    "codes that were sent to contacts": "2 days",
    "deliveries that have ended": "the days of GONGJI_DELIVERY_KEEP_DAYS",
    "events of webhooks": "the days of GONGJI_WEBHOOK_KEEP_DAYS",
}
RETENTION = Retention(BusRetention, KEPT, FORGOTTEN)


def _sealed() -> "Sequence[SealedTable]":
    from notify.sealed import TABLES  # noqa: PLC0415 - other commands need none of it

    return TABLES


app = service_cli(NAME, Settings, _serve, MIGRATIONS, sealed=_sealed, dead_letters=DEAD_LETTERS, retention=RETENTION)
app.command("texts")(texts_command)
app.command("catalogue")(catalogue_command)
app.command("try-channel")(try_channel_command)
