"""Ways to reach people besides their inbox."""

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
    """Prints deliveries to the service's log: to which psn_no, with which title, about which event; never the body."""

    def __init__(self) -> None:
        self._log = get_logger().bind(channel="log")

    async def deliver(self, messages: Sequence[NewMessage]) -> None:
        """See `Channel.deliver`."""
        for message in messages:
            self._log.info(
                "message delivered",
                psn_no=message.notice.addressee,
                title=message.notice.title,
                message_id=str(message.message_id),
                event_id=str(message.event_id),
            )
