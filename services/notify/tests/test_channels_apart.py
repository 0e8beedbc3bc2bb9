"""What one channel suffers is its own: each has its circuit, its time-out, its attempts and its bounds."""

import asyncio
from datetime import datetime

import pytest

from kit.db import Work
from kit.ids import uuid7
from kit.testing import MemoryWork
from notify.channels.guarded import LeftAloneError
from notify.channels.policy import Policy
from notify.channels.port import Accepted, AddressBusyError, Outgoing, UndeliveredError
from notify.channels.registry import Channels
from notify.couriers import Couriers
from notify.domain.channels import OUTSIDE, Channel
from notify.domain.contacts import Contact, ContactState
from notify.domain.deliveries import State
from notify.memory import MemoryRepository
from notify.repository import Repository
from notify.testing import AT, Postbox
from notify.testing_deliveries import World

AWAY = UndeliveredError("answered 503", is_final=False)
BUSY = AddressBusyError("it takes nothing now")


class Silent:
    """An adapter whose other side never answers."""

    async def send(self, _outgoing: Outgoing) -> Accepted:
        await asyncio.Event().wait()
        return Accepted(None, awaits_receipt=False)


def outgoing(channel: Channel) -> Outgoing:
    return Outgoing(uuid7(), channel, "debit-own", "zh-CN", "13800000001", "标题", "正文", {})


def by_telephone_and_mail(sms: Policy, mail: Policy) -> tuple[Channels, dict[Channel, Postbox]]:
    """All channels with a box each; every policy but that of SMS is that of mail."""
    boxes = {channel: Postbox() for channel in OUTSIDE}
    return Channels(boxes, dict.fromkeys(OUTSIDE, mail) | {Channel.SMS: sms}), boxes


class Carried(World):
    """A person's telephone and mailbox, with couriers of all channels."""

    def __init__(self, backend: Work[Repository], channels: Channels) -> None:
        super().__init__(backend)
        self.couriers = Couriers(backend, channels, self.clock)

    async def on_both(self, number: int = 1, at: datetime = AT) -> None:
        """So many deliveries for the telephone, and as many for the mailbox."""
        mailbox = Contact(uuid7(), "1001", Channel.EMAIL, "zhang@example.com", ContactState.VERIFIED, at, at)
        await self.known()
        async with self.backend() as repository:
            await repository.save_contacts([mailbox])
        for channel in (Channel.SMS, Channel.EMAIL):
            await self.queue(number, channel=channel)

    async def states(self, channel: Channel) -> list[tuple[State, int]]:
        """How those of a channel stand, with their attempts."""
        return [(one.state, one.attempts) for one in await self.all(channel=channel)]


async def test_while_one_channels_circuit_is_open_every_other_sends() -> None:
    policy = Policy(breaker_failures=1)
    channels, boxes = by_telephone_and_mail(policy, policy)
    boxes[Channel.SMS].failure = AWAY
    with pytest.raises(UndeliveredError, match="answered 503"):
        await channels.send(outgoing(Channel.SMS))
    with pytest.raises(LeftAloneError):
        await channels.send(outgoing(Channel.SMS))
    for channel in OUTSIDE - {Channel.SMS}:
        await channels.send(outgoing(channel))
        assert len(boxes[channel].sent) == 1


async def test_each_channel_has_its_own_time_out() -> None:
    policies = dict.fromkeys(OUTSIDE, Policy(timeout_seconds=60.0)) | {Channel.PUSH: Policy(timeout_seconds=0.05)}
    channels = Channels(dict.fromkeys(OUTSIDE, Silent()), policies)
    slow = asyncio.create_task(channels.send(outgoing(Channel.SMS)))
    with pytest.raises(UndeliveredError, match=r"no answer within 0\.05 s"):
        await channels.send(outgoing(Channel.PUSH))
    assert not slow.done()
    slow.cancel()
    await asyncio.wait([slow])


async def test_each_channel_is_tried_as_often_and_as_soon_as_its_own_policy_says() -> None:
    sms = Policy(attempts=1)
    mail = Policy(attempts=3, first_wait_seconds=1000, most_wait_seconds=1000, breaker_failures=100)
    channels, boxes = by_telephone_and_mail(sms, mail)
    for box in boxes.values():
        box.failure = BUSY
    world = Carried(MemoryWork(MemoryRepository()), channels)
    await world.on_both()
    for seconds in (0, 499, 1000):
        world.at(seconds)
        await world.couriers.round()
    assert await world.states(Channel.SMS) == [(State.GIVEN_UP, 1)]
    assert await world.states(Channel.EMAIL) == [(State.QUEUED, 2)]
    world.at(2000)
    await world.couriers.round()
    assert await world.states(Channel.EMAIL) == [(State.GIVEN_UP, 3)]


async def test_a_person_has_a_daily_bound_on_each_channel(backend: Work[Repository]) -> None:
    channels, boxes = by_telephone_and_mail(Policy(most_a_day=1), Policy(most_a_day=2))
    world = Carried(backend, channels)
    await world.on_both(3)
    while await world.couriers.round():
        pass
    assert [len(boxes[channel].sent) for channel in (Channel.SMS, Channel.EMAIL)] == [1, 2]
    for channel, given_up in ((Channel.SMS, 2), (Channel.EMAIL, 1)):
        states = [state for state, _ in await world.states(channel)]
        assert states.count(State.GIVEN_UP) == given_up
