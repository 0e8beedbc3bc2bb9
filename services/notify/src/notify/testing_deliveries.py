"""A world of deliveries for tests: one person's telephone, and all adapters as one that fails as it is told to."""

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from kit.clock import FixedClock
from kit.db import Work
from kit.ids import uuid7
from notify.channels.policy import Policy
from notify.channels.port import Accepted, AddressBusyError, Outgoing, UndeliveredError
from notify.couriers import Courier, DeliveryDesk
from notify.domain.channels import Channel
from notify.domain.contacts import Contact, ContactState
from notify.domain.deliveries import Delivery, Payload, State
from notify.domain.kinds import Kind
from notify.repository import Repository
from notify.repository.deliveries import DeliveryFilter, NewDelivery
from notify.testing import AT

if TYPE_CHECKING:
    import asyncio

PAYLOAD = Payload("debit-own", "zh-CN", "个人账户支出提醒", "正文。", {"at": "10:00", "amount": "¥1.00"})
POLICY = Policy(attempts=3, first_wait_seconds=10, most_wait_seconds=100, concurrency=2, most_a_day=3)
NIGHT = AT + timedelta(hours=13)
"""23:00 in Shanghai."""
MORNING = AT + timedelta(hours=22)
"""08:00 there."""
FULL = AddressBusyError("the mailbox is full")
BUSY = UndeliveredError("it said 503", is_final=False)


class Gateways:
    """All adapters: keep what they are given, or fail as they are told to."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.sent: list[Outgoing] = []
        self.failure: Exception | None = None
        self.awaits_receipt = True
        self.usable = frozenset({Channel.SMS})
        self.held: asyncio.Event | None = None
        self._policy = policy

    def policy(self, channel: Channel) -> Policy:
        """The same for every channel."""
        del channel
        return self._policy

    async def send(self, outgoing: Outgoing) -> Accepted:
        """See `Adapter.send`."""
        self.sent.append(outgoing)
        if self.held is not None:
            await self.held.wait()
        if self.failure is not None:
            raise self.failure
        return Accepted(f"p-{outgoing.delivery_id}", self.awaits_receipt)


class World:
    """A backend with one person's verified telephone."""

    def __init__(self, backend: Work[Repository], policy: Policy = POLICY) -> None:
        self.backend = backend
        self.gateways = Gateways(policy)
        self.clock = FixedClock(AT)
        self.courier = Courier(Channel.SMS, backend, self.gateways, self.clock)
        self.desk = DeliveryDesk(backend, self.clock)
        self.contact_id = uuid7()

    async def known(self, state: ContactState = ContactState.VERIFIED, psn_no: str = "1001") -> None:
        """Keep the contact of a person, or remove it."""
        contact = Contact(self.contact_id, psn_no, Channel.SMS, "13800000001", state, AT, AT)
        async with self.backend() as repository:
            await repository.save_contacts([contact if state is ContactState.VERIFIED else contact.removed()])

    async def queue(self, number: int = 1, **fields: object) -> list[Delivery]:
        """So many new deliveries, like `delivery`."""
        new = [self.delivery(**fields) for _ in range(number)]
        async with self.backend() as repository:
            await repository.queue_deliveries([NewDelivery(one, PAYLOAD) for one in new])
        return new

    def delivery(self, **fields: object) -> Delivery:
        """A debit that is due at AT, but for these fields."""
        made = Delivery(
            *(uuid7(), uuid4(), "1001", Channel.SMS, self.contact_id, uuid4(), Kind.DEBIT, State.QUEUED, 0, AT, AT)
        )
        return replace(made, **fields)  # type: ignore[arg-type]

    async def all(self, **wanted: object) -> list[Delivery]:
        """Those that fit, newest first."""
        async with self.backend() as repository:
            return await repository.list_deliveries(DeliveryFilter(**wanted), 100)  # type: ignore[arg-type]

    async def only(self) -> Delivery:
        """The only one there is."""
        (one,) = await self.all()
        return one

    def at(self, seconds: float) -> None:
        """Move the clock to so many seconds after AT."""
        self.clock.set(AT + timedelta(seconds=seconds))
