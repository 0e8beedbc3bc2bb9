"""Deliveries outside of the inbox, as they are kept."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from notify.domain.channels import Channel
from notify.domain.deliveries import Delivery, Payload, State
from notify.repository.opening import Unopened


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A delivery to be queued."""

    delivery: Delivery
    payload: Payload


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this process is to send, for as long as its lease lasts."""

    delivery: Delivery
    payload: Payload | Unopened
    is_first: bool
    """Whether it was never claimed before, and so is in no day's count."""


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries are asked for; None means any."""

    psn_no: str | None = None
    channel: Channel | None = None
    state: State | None = None
    event_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class DeliveryPlace:
    """A place in the deliveries, newest first."""

    created_at: datetime
    delivery_id: UUID


class DeliveryRows(Protocol):
    """Deliveries and how many each person got."""

    async def queue_deliveries(self, deliveries: Sequence[NewDelivery]) -> int:
        """Queue these; one of an event, person and channel that is there already is left as it is. How many are new."""
        ...

    async def claim_deliveries(
        self, channel: Channel, now: datetime, limit: int, lease_seconds: float
    ) -> list[Claimed]:
        """Take what is due, the longest due first, for so long by the database's time; counts as an attempt.

        What another process has claimed is passed over, until its lease has run out.
        """
        ...

    async def count_deliveries(self, channel: Channel, day: date, wanted: Mapping[str, int]) -> dict[str, int]:
        """Add these numbers by psn_no to the day's; what each is then."""
        ...

    async def uncount_deliveries(self, delivery_ids: Collection[UUID]) -> None:
        """Let these be claimed for a first time once more: they were put off before a day counted them."""
        ...

    async def lock_deliveries(self, delivery_ids: Collection[UUID]) -> dict[UUID, Delivery]:
        """Those that there are, kept from changing until the unit of work ends."""
        ...

    async def lock_unheard(self, before: datetime, limit: int) -> list[Delivery]:
        """At most `limit` that were taken before this moment and still wait for a receipt, kept from changing."""
        ...

    async def update_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Keep how they stand now, without a lease; what one says that is no longer QUEUED is forgotten."""
        ...

    async def list_deliveries(
        self, wanted: DeliveryFilter, limit: int, before: DeliveryPlace | None = None
    ) -> list[Delivery]:
        """The newest, or those after the place `before`; at most `limit`."""
        ...

    async def count_waiting(self) -> dict[Channel, int]:
        """How many are QUEUED, by channel; channels without any are absent."""
        ...
