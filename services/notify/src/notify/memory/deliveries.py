"""Deliveries as dictionaries."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from notify.domain.channels import Channel
from notify.domain.deliveries import Delivery, Payload, State
from notify.repository.deliveries import Claimed, DeliveryFilter, DeliveryPlace, NewDelivery

if TYPE_CHECKING:
    from notify.repository.opening import Unopened


class MemoryDeliveries:
    """See `notify.repository.deliveries`. A lease lasts until the delivery is updated, or `expire_leases` ends it."""

    def __init__(self) -> None:
        super().__init__()
        self.deliveries: dict[UUID, Delivery] = {}
        self.payloads: dict[UUID, Payload | Unopened] = {}
        self.leased: set[UUID] = set()
        self.counted: set[UUID] = set()
        self.daily: dict[tuple[str, Channel, date], int] = {}

    def expire_leases(self) -> None:
        """As if so much time had passed."""
        self.leased.clear()

    async def queue_deliveries(self, deliveries: Sequence[NewDelivery]) -> int:
        """See the protocol."""
        before = len(self.deliveries)
        for new in deliveries:
            one = new.delivery
            known = {(kept.event_id, kept.psn_no, kept.channel) for kept in self.deliveries.values()}
            if (one.event_id, one.psn_no, one.channel) not in known:
                self.deliveries[one.delivery_id] = one
                self.payloads[one.delivery_id] = new.payload
        return len(self.deliveries) - before

    async def claim_deliveries(
        self, channel: Channel, now: datetime, limit: int, lease_seconds: float
    ) -> list[Claimed]:
        """See the protocol."""
        del lease_seconds
        due = [
            one
            for one in self.deliveries.values()
            if one.channel is channel
            and one.state is State.QUEUED
            and one.next_attempt_at <= now
            and one.delivery_id not in self.leased
        ]
        due.sort(key=lambda one: (one.next_attempt_at, one.delivery_id))
        claimed = [replace(one, attempts=one.attempts + 1) for one in due[:limit]]
        self.deliveries.update({one.delivery_id: one for one in claimed})
        self.leased |= {one.delivery_id for one in claimed}
        first = {one.delivery_id for one in claimed} - self.counted
        self.counted |= first
        return [Claimed(one, self.payloads[one.delivery_id], one.delivery_id in first) for one in claimed]

    async def count_deliveries(self, channel: Channel, day: date, wanted: Mapping[str, int]) -> dict[str, int]:
        """See the protocol."""
        for psn_no, number in wanted.items():
            self.daily[psn_no, channel, day] = self.daily.get((psn_no, channel, day), 0) + number
        return {psn_no: self.daily[psn_no, channel, day] for psn_no in wanted}

    async def uncount_deliveries(self, delivery_ids: Collection[UUID]) -> None:
        """See the protocol."""
        self.counted -= set(delivery_ids)

    async def lock_deliveries(self, delivery_ids: Collection[UUID]) -> dict[UUID, Delivery]:
        """See the protocol."""
        return {known: self.deliveries[known] for known in delivery_ids if known in self.deliveries}

    async def lock_unheard(self, before: datetime, limit: int) -> list[Delivery]:
        """See the protocol."""
        waiting = (one for one in self.deliveries.values() if one.state is State.SENT and not one.has_ended)
        return [one for one in waiting if one.sent_at is not None and one.sent_at < before][:limit]

    async def update_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """See the protocol."""
        for one in deliveries:
            self.deliveries[one.delivery_id] = one
            self.leased.discard(one.delivery_id)
            if one.state is not State.QUEUED:
                self.payloads.pop(one.delivery_id, None)

    async def list_deliveries(
        self, wanted: DeliveryFilter, limit: int, before: DeliveryPlace | None = None
    ) -> list[Delivery]:
        """See the protocol."""
        found = [one for one in self.deliveries.values() if _fits(one, wanted)]
        found.sort(key=_place, reverse=True)
        if before is not None:
            found = [one for one in found if _place(one) < (before.created_at, before.delivery_id)]
        return found[:limit]

    async def count_waiting(self) -> dict[Channel, int]:
        """See the protocol."""
        return dict(Counter(one.channel for one in self.deliveries.values() if one.state is State.QUEUED))


def _place(one: Delivery) -> tuple[datetime, UUID]:
    return one.created_at, one.delivery_id


def _fits(one: Delivery, wanted: DeliveryFilter) -> bool:
    return (
        wanted.psn_no in {None, one.psn_no}
        and wanted.channel in {None, one.channel}
        and wanted.state in {None, one.state}
        and wanted.event_id in {None, one.event_id}
    )
