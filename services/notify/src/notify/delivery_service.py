"""Deliveries as operators look them up."""

from collections.abc import Sequence
from dataclasses import dataclass

from kit.db import Work
from notify.domain.deliveries import Delivery
from notify.repository import Repository
from notify.repository.deliveries import DeliveryFilter, DeliveryPlace


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Some deliveries."""

    deliveries: Sequence[Delivery]
    """Newest first."""
    next: DeliveryPlace | None
    """Where the next page begins; None at the end."""


class DeliveryService:
    """Looks deliveries up; what they say stays sealed."""

    def __init__(self, work: Work[Repository]) -> None:
        self._work = work

    async def list(self, wanted: DeliveryFilter, page_size: int, before: DeliveryPlace | None = None) -> DeliveryPage:
        """A page of deliveries, newest first."""
        async with self._work() as repository:
            found = await repository.list_deliveries(wanted, page_size + 1, before)
        shown = found[:page_size]
        if len(found) <= page_size:
            return DeliveryPage(shown, None)
        return DeliveryPage(shown, DeliveryPlace(shown[-1].created_at, shown[-1].delivery_id))
