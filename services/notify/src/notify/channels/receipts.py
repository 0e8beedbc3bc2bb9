"""The port to whoever keeps deliveries: a gateway tells later what became of what it took."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol
from uuid import UUID


class Fate(Enum):
    """What became of a message that a gateway took."""

    DELIVERED = "DELIVERED"
    """It reached the telephone or device."""
    FAILED = "FAILED"
    """It did not, and will not."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a gateway says of one message."""

    delivery_id: UUID
    """The key that the message was handed over with. It is ours, so it is known however early a receipt comes."""
    fate: Fate
    code: str
    """The provider's word for why it failed; empty if it did not say. At most 64 characters of A–Z, 0–9, `_`."""


class ReceiptDesk(Protocol):
    """Takes receipts in."""

    async def take(self, receipts: Sequence[Receipt]) -> Collection[UUID]:
        """Record these and return the deliveries that are known; the same receipt again changes nothing.

        A receipt may come before the answer to the hand-over is recorded, and a delivery's first one counts.
        """
        ...
