"""The command line: `python -m notify serve|migrate|config|dlq|texts|catalogue|try-channel`."""

from typing import TYPE_CHECKING

from kit.cli import service_cli
from kit.dlq_cli import DeadLetterTools
from notify.channel_commands import try_channel_command
from notify.config import MIGRATIONS, ReplaySettings, Settings
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


def _sealed() -> "Sequence[SealedTable]":
    from notify.sealed import TABLES  # noqa: PLC0415 - other commands need none of it

    return TABLES


app = service_cli(NAME, Settings, _serve, MIGRATIONS, sealed=_sealed, dead_letters=DEAD_LETTERS)
app.command("texts")(texts_command)
app.command("catalogue")(catalogue_command)
app.command("try-channel")(try_channel_command)
