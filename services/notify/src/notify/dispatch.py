"""Queueing what goes out besides the inbox, in the transaction that keeps the messages; couriers carry it then."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from kit.clock import Clock
from kit.ids import uuid_of
from notify.domain.channels import OUTSIDE, Channel
from notify.domain.deliveries import Delivery, Payload, State, delivery_id_of
from notify.domain.notices import Notice
from notify.domain.planning import Addressed, Planned, Recipient, plan
from notify.rendering import Texts
from notify.repository import Repository
from notify.repository.deliveries import NewDelivery


class Carriers(Protocol):
    """Whoever carries what is queued; `notify.couriers.Couriers` is one."""

    @property
    def usable(self) -> frozenset[Channel]:
        """The channels that deliveries can be queued for."""
        ...

    def wake(self, channels: Iterable[Channel]) -> None:
        """Deliveries of these were queued."""
        ...


class Elsewhere:
    """Where nobody carries, such as a command: other processes do, by whichever channels they have."""

    usable = OUTSIDE

    def wake(self, channels: Iterable[Channel]) -> None:
        """They look by themselves."""


@dataclass(frozen=True, slots=True)
class Stated:
    """A notice, the event that it tells of, and its message."""

    event_id: UUID
    occurred_at: datetime
    notice: Notice
    message_id: UUID | None
    """None if the person keeps none of its kind."""


class Dispatch:
    """Queues deliveries."""

    def __init__(self, texts: Texts, clock: Clock, carriers: Carriers) -> None:
        self._texts = texts
        self._clock = clock
        self._carriers = carriers

    async def queue(
        self, repository: Repository, stated: Sequence[Stated], people: Mapping[str, Recipient]
    ) -> Collection[Channel]:
        """Queue what these people want to be told elsewhere; the channels that have got something."""
        if not people:  # nearly always, and this is on the way of every settlement
            return ()
        by_key = {(one.event_id, one.notice.addressee): one for one in stated}
        addressed = [Addressed(one.event_id, one.notice.addressee, one.notice.kind, one.occurred_at) for one in stated]
        now = self._clock.now()
        deliveries = [
            NewDelivery(
                self._delivery(planned, by_key[planned.event_id, planned.psn_no].message_id),
                self._payload(planned, by_key[planned.event_id, planned.psn_no].notice, people[planned.psn_no]),
            )
            for planned in plan(addressed, people, now)
            if planned.channel in self._carriers.usable
        ]
        await repository.queue_deliveries(deliveries)
        return {one.delivery.channel for one in deliveries}

    def wake(self, channels: Collection[Channel]) -> None:
        """What was queued for these is committed."""
        self._carriers.wake(channels)

    def _delivery(self, planned: Planned, message_id: UUID | None) -> Delivery:
        return Delivery(
            delivery_id=uuid_of(str(delivery_id_of(planned.event_id, planned.psn_no, planned.channel))),
            event_id=planned.event_id,
            psn_no=planned.psn_no,
            channel=planned.channel,
            contact_id=planned.contact_id,
            message_id=message_id,
            kind=planned.kind,
            state=State.QUEUED,
            attempts=0,
            next_attempt_at=planned.not_before,
            created_at=self._clock.now(),
        )

    def _payload(self, planned: Planned, notice: Notice, person: Recipient) -> Payload:
        said = self._texts.said(person.language, notice.template, notice.params, planned.channel)
        return Payload(said.template, said.language, said.title, said.body, said.params)
