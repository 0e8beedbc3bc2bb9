"""What gateways say afterwards: the first receipt counts, and one that does not come is not waited for for ever."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from gongji.notify.events.v1 import delivery_events_pb2 as events
from gongji.notify.v1 import delivery_pb2
from kit.db import Work
from kit.testing import MemoryWork, eventually
from notify.channels.receipts import Fate, Receipt
from notify.couriers import Courier
from notify.domain import deliveries as rules
from notify.domain.channels import Channel
from notify.domain.deliveries import State
from notify.memory import MemoryRepository
from notify.repository import Repository
from notify.testing_deliveries import World


@pytest.fixture
async def world(backend: Work[Repository]) -> World:
    made = World(backend)
    await made.known()
    return made


@pytest.mark.parametrize(("fate", "state"), [(Fate.DELIVERED, State.DELIVERED), (Fate.FAILED, State.FAILED)])
async def test_a_receipt_says_what_became_of_it_and_the_first_one_counts(
    world: World, fate: Fate, state: State
) -> None:
    (queued,) = await world.queue()
    await world.courier.round()
    receipt = Receipt(queued.delivery_id, fate, "CODE")
    other = Receipt(queued.delivery_id, Fate.FAILED if fate is Fate.DELIVERED else Fate.DELIVERED, "OTHER")
    assert set(await world.desk.take([receipt, other])) == {queued.delivery_id}
    assert set(await world.desk.take([other, Receipt(uuid4(), fate, "")])) == {queued.delivery_id}
    assert (await world.only()).state is state


async def test_a_receipt_that_overtakes_the_answer_stands(world: World) -> None:
    (queued,) = await world.queue()
    world.gateways.held = asyncio.Event()
    under_way = asyncio.create_task(world.courier.round())
    await eventually(lambda: len(world.gateways.sent) == 1)
    await world.desk.take([Receipt(queued.delivery_id, Fate.DELIVERED, "")])
    world.gateways.held.set()
    await under_way
    assert (await world.only()).state is State.DELIVERED


async def test_a_receipt_of_what_no_gateway_was_given_is_unknown(world: World) -> None:
    (never_tried,) = await world.queue()
    (mail,) = await world.queue(channel=Channel.EMAIL, attempts=1)
    receipts = [Receipt(one.delivery_id, Fate.DELIVERED, "") for one in (never_tried, mail)]
    assert set(await world.desk.take(receipts)) == set()
    assert {one.state for one in await world.all()} == {State.QUEUED}


async def test_a_receipt_that_does_not_come_in_three_days_is_waited_for_no_longer(world: World) -> None:
    await world.queue(2)
    await world.courier.round()
    world.clock.advance(rules.HEARD_WITHIN)
    assert await world.desk.end_unheard(10) == 0
    world.clock.advance(timedelta(seconds=1))
    assert [await world.desk.end_unheard(1) for _ in range(3)] == [1, 1, 0]
    for one in await world.all():
        assert (one.state, one.last_error, one.ended_at) == (State.SENT, rules.NO_RECEIPT, world.clock.now())


async def test_what_no_receipt_came_for_is_told_once_as_taken() -> None:
    repository = MemoryRepository()
    world = World(MemoryWork(repository))
    await world.known()
    (queued,) = await world.queue()
    await world.courier.round()
    world.clock.advance(rules.HEARD_WITHIN * 2)
    await world.desk.end_unheard(10)
    await world.desk.take([Receipt(queued.delivery_id, Fate.DELIVERED, "")])
    (told,) = repository.outbox.messages
    assert isinstance(told, events.DeliveryEnded)
    assert (told.state, told.delivery_id) == (delivery_pb2.DELIVERY_STATE_SENT, str(queued.delivery_id))


async def test_where_no_receipt_can_come_none_is_waited_for() -> None:
    world = World(MemoryWork(MemoryRepository()))
    await world.known()
    await world.queue()
    await Courier(Channel.SMS, world.backend, world.gateways, world.clock, hears_receipts=False).round()
    assert (await world.only()).has_ended


async def test_a_receipt_is_told() -> None:
    repository = MemoryRepository()
    world = World(MemoryWork(repository))
    await world.known()
    (queued,) = await world.queue()
    await world.courier.round()
    receipt = Receipt(queued.delivery_id, Fate.FAILED, "UNREACHABLE")
    await world.desk.take([receipt])
    await world.desk.take([receipt])
    (told,) = repository.outbox.messages
    assert isinstance(told, events.DeliveryEnded)
    assert (told.state, told.why) == (delivery_pb2.DELIVERY_STATE_FAILED, "UNREACHABLE")
    assert repository.outbox.rows[0].key == "1001"


async def test_what_a_receipt_ended_is_not_told_again_when_the_answer_comes() -> None:
    repository = MemoryRepository()
    world = World(MemoryWork(repository))
    await world.known()
    (queued,) = await world.queue()
    world.gateways.held = asyncio.Event()
    under_way = asyncio.create_task(world.courier.round())
    await eventually(lambda: len(world.gateways.sent) == 1)
    await world.desk.take([Receipt(queued.delivery_id, Fate.DELIVERED, "")])
    world.gateways.held.set()
    await under_way
    assert len(repository.outbox.messages) == 1
