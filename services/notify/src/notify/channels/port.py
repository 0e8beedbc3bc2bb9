"""The port to everything outside of the inbox."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from notify.domain.channels import Channel


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to one address. Neither is ever printed."""

    delivery_id: UUID
    """The provider's key against doubles: the same at every attempt."""
    channel: Channel
    template: str
    """The name of the text, which a gateway knows under a template id of its own."""
    language: str
    """zh-CN or another that there is a catalogue of."""
    address: str = field(repr=False)
    """A telephone, a device's token, an e-mail address or a messenger's address."""
    title: str = field(repr=False)
    body: str = field(repr=False)
    params: Mapping[str, str] = field(repr=False)
    """What a gateway fills into its template, by name, in the order that the template takes."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the other side said when it took a message."""

    provider_id: str | None
    """Its own name for it, under which a receipt may come."""
    awaits_receipt: bool
    """Whether a receipt will tell what became of it; without one, taken is all that is ever known."""


class UndeliveredError(Exception):
    """The message was not taken; says why, and never what it says or to whom.

    Args:
        why: for operators, in a few words.
        is_final: whether trying again is of no use.
        retry_after_seconds: how long the other side wants to be left alone; None if it did not say.
    """

    def __init__(self, why: str, *, is_final: bool, retry_after_seconds: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.is_final = is_final
        self.retry_after_seconds = retry_after_seconds


class AddressBusyError(UndeliveredError):
    """This address takes nothing just now, such as a full mailbox; the other side is well and takes other messages."""

    def __init__(self, why: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(why, is_final=False, retry_after_seconds=retry_after_seconds)


class Adapter(Protocol):
    """One way to reach people."""

    async def send(self, outgoing: Outgoing) -> Accepted:
        """Hand it over, within the channel's time-out.

        Raises:
            UndeliveredError: it was not taken, or nobody knows whether it was.
        """
        ...
