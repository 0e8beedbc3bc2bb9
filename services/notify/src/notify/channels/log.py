"""Ways to reach people besides their inbox."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from kit.observability import get_logger
from notify.repository import NewMessage


class Channel(Protocol):
    """Delivers messages that are already safe in the inbox; what it loses is still there to be read."""

    async def deliver(self, messages: Sequence[NewMessage]) -> None:
        """Deliver these."""
        ...


class LogChannel:
    """Prints deliveries to the log, never a body: a line for each batch, at DEBUG also one for each message."""

    def __init__(self) -> None:
        self._log = get_logger().bind(channel="log")

    async def deliver(self, messages: Sequence[NewMessage]) -> None:
        """See `Channel.deliver`."""
        if not messages:
            return
        titles = Counter(message.notice.title for message in messages)
        self._log.info("messages delivered", messages=len(messages), titles=titles)
        if self._log.is_enabled_for(logging.DEBUG):
            for message in messages:
                self._tell(message)

    def _tell(self, message: NewMessage) -> None:
        self._log.debug(
            "message delivered",
            psn_no=message.notice.addressee,
            title=message.notice.title,
            message_id=str(message.message_id),
            event_id=str(message.event_id),
        )
