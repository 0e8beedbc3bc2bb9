"""What couriers do with what is queued, on the fake and on PostgreSQL: once, in time, and told of."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from gongji.notify.events.v1 import delivery_events_pb2 as events
from gongji.notify.v1 import delivery_pb2, notice_pb2
from kit.db import Database, Work
from kit.testing import MemoryWork, eventually
from notify.channels.guarded import LeftAloneError
from notify.channels.policy import DEFAULTS
from notify.channels.port import UndeliveredError
from notify.couriers import Couriers
from notify.domain.channels import OUTSIDE, Channel
from notify.domain.deliveries import Delivery, State
from notify.memory import MemoryRepository
from notify.postgres import deliveries
from notify.repository import Repository
from notify.repository.deliveries import DeliveryFilter, DeliveryPlace, NewDelivery
from notify.testing import AT
from notify.testing_deliveries import BUSY, FULL, PAYLOAD, POLICY, World


@pytest.fixture
async def world(backend: Work[Repository]) -> World:
    made = World(backend)
    await made.known()
    return made


async def test_a_delivery_comes_back_as_it_was_queued(world: World) -> None:
    assert await world.queue() == await world.all()


async def test_an_event_is_queued_for_a_person_and_channel_once(world: World) -> None:
    (first,) = await world.queue()
    again = world.delivery(event_id=first.event_id)
    async with world.backend() as repository:
        assert await repository.queue_deliveries([NewDelivery(again, PAYLOAD)]) == 0
    assert await world.all() == [first]


async def test_what_is_due_goes_out_with_all_that_it_says(world: World) -> None:
    (queued,) = await world.queue()
    assert await world.courier.round() == 1
    (sent,) = world.gateways.sent
    assert (sent.delivery_id, sent.address, sent.template) == (queued.delivery_id, "13800000001", "debit-own")
    assert (sent.title, sent.body, list(sent.params)) == (PAYLOAD.title, PAYLOAD.body, ["at", "amount"])
    after = await world.only()
    assert (after.state, after.attempts, after.sent_at) == (State.SENT, 1, AT)
    assert after.provider_id == f"p-{queued.delivery_id}"
    assert await world.courier.round() == 0


async def test_nothing_goes_out_before_its_time(world: World) -> None:
    await world.queue(next_attempt_at=AT + timedelta(hours=1))
    assert await world.courier.round() == 0
    world.at(3600)
    assert await world.courier.round() == 1


async def test_another_channel_is_left_to_its_own_courier(world: World) -> None:
    await world.queue(channel=Channel.EMAIL)
    assert await world.courier.round() == 0


async def test_a_failed_attempt_is_made_again_after_a_wait_with_the_same_key(world: World) -> None:
    await world.queue()
    world.gateways.failure = BUSY
    await world.courier.round()
    waiting = await world.only()
    assert (waiting.state, waiting.attempts, waiting.last_error) == (State.QUEUED, 1, "it said 503")
    assert timedelta(seconds=5) <= waiting.next_attempt_at - AT <= timedelta(seconds=10)
    assert await world.courier.round() == 0
    world.gateways.failure = None
    world.at(10)
    assert await world.courier.round() == 1
    first, second = world.gateways.sent
    assert first.delivery_id == second.delivery_id
    assert (await world.only()).state is State.SENT


async def test_the_other_side_is_left_alone_for_as_long_as_it_asks(world: World) -> None:
    await world.queue()
    world.gateways.failure = UndeliveredError("429", is_final=False, retry_after_seconds=3 * POLICY.most_wait_seconds)
    await world.courier.round()
    assert (await world.only()).next_attempt_at == AT + timedelta(seconds=3 * POLICY.most_wait_seconds)


async def test_after_its_last_attempt_it_is_given_up_and_told(world: World) -> None:
    await world.queue()
    world.gateways.failure = FULL
    for attempt in range(4):
        world.at(attempt * 1000)
        await world.courier.round()
    done = await world.only()
    assert (done.state, done.attempts, len(world.gateways.sent)) == (State.GIVEN_UP, 3, 3)


@pytest.mark.parametrize("channel", sorted(OUTSIDE, key=str))
async def test_an_outage_of_hours_loses_nothing_by_any_channels_defaults(channel: Channel) -> None:
    world = World(MemoryWork(MemoryRepository()), DEFAULTS[channel])
    await world.known()
    await world.queue()
    world.gateways.failure = BUSY
    for minute in range(20 * 60):
        world.at(minute * 60)
        await world.courier.round()
    world.gateways.failure = None
    world.at(21 * 3600)
    await world.courier.round()
    assert (await world.only()).state is State.SENT


async def test_an_outage_of_more_than_a_day_ends_what_waits() -> None:
    world = World(MemoryWork(MemoryRepository()), DEFAULTS[Channel.SMS])
    await world.known()
    await world.queue()
    world.gateways.failure = BUSY
    for hour in range(27):
        world.at(hour * 3600)
        await world.courier.round()
    assert (await world.only()).state is State.GIVEN_UP


async def test_a_refusal_for_good_is_not_tried_again(world: World) -> None:
    await world.queue()
    world.gateways.failure = UndeliveredError("no such number", is_final=True)
    await world.courier.round()
    assert (await world.only()).state is State.FAILED


async def test_a_fault_of_an_adapter_is_an_attempt_that_failed_and_its_words_are_not_kept(world: World) -> None:
    await world.queue()
    world.gateways.failure = ZeroDivisionError("13800000001")
    await world.courier.round()
    assert (await world.only()).last_error == "ZeroDivisionError"


async def test_while_the_other_side_rests_nothing_is_tried_and_nothing_counted(world: World) -> None:
    await world.queue()
    world.gateways.failure = LeftAloneError("resting", is_final=False, retry_after_seconds=30)
    await world.courier.round()
    left = await world.only()
    assert (left.state, left.attempts, left.next_attempt_at) == (State.QUEUED, 0, AT)


@pytest.mark.parametrize("state", [State.FAILED, State.GIVEN_UP])
async def test_the_few_that_went_wrong_are_found_without_reading_the_many(database: Database, state: State) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute("""
            INSERT INTO delivery (delivery_id, event_id, psn_no, channel, contact_id, kind, state, next_attempt_at,
                                  created_at, sent_at, ended_at)
            SELECT gen_random_uuid(), gen_random_uuid(), 'P' || n, 'SMS', gen_random_uuid(), 'DEBIT',
                   CASE WHEN n % 1000 = 0 THEN 'FAILED' WHEN n % 1000 = 1 THEN 'GIVEN_UP' ELSE 'DELIVERED' END,
                   now(), now() + make_interval(secs => n), now(), now()
            FROM generate_series(1, 20000) AS n""")
        await transaction.raw.execute("ANALYZE delivery")
        asked = (None, None, state.value, None, None, None, 50)
        plan = await transaction.raw.fetch("EXPLAIN " + deliveries.LIST, *asked)
    assert "delivery_went_wrong" in str(plan)
    assert "Sort" not in str(plan)


async def test_who_asks_gets_what_fits_newest_first_in_pages(world: World) -> None:
    made = [(await world.queue(created_at=AT + timedelta(seconds=number // 2)))[0] for number in range(5)]
    await world.queue(psn_no="1002", channel=Channel.EMAIL)
    found: list[Delivery] = []
    async with world.backend() as repository:
        page = await repository.list_deliveries(DeliveryFilter(psn_no="1001"), 2)
        while page:
            found += page
            place = DeliveryPlace(page[-1].created_at, page[-1].delivery_id)
            page = await repository.list_deliveries(DeliveryFilter(psn_no="1001"), 2, place)
    assert found == sorted(made, key=lambda one: (one.created_at, one.delivery_id), reverse=True)
    assert len(await world.all(channel=Channel.EMAIL)) == 1
    assert len(await world.all(state=State.SENT)) == 0
    assert await world.all(event_id=made[0].event_id) == [made[0]]
    async with world.backend() as repository:
        assert await repository.count_waiting() == {Channel.SMS: 5, Channel.EMAIL: 1}


async def ended(number: int, changes: Sequence[object] = ()) -> list[events.DeliveryEnded]:
    """What is told of deliveries that end in a world in memory."""
    repository = MemoryRepository()
    world = World(MemoryWork(repository))
    await world.known()
    for change in changes:
        change(world)  # type: ignore[operator]
    await world.queue(number)
    for attempt in range(4):
        world.at(attempt * 1000)
        await world.courier.round()
        await world.courier.round()
    return [message for message in repository.outbox.messages if isinstance(message, events.DeliveryEnded)]


async def test_what_ended_is_told_once_without_address_or_text() -> None:
    def knows_no_receipts(world: World) -> None:
        world.gateways.awaits_receipt = False

    (told,) = await ended(1, [knows_no_receipts])
    assert (told.state, told.attempts, told.why) == (delivery_pb2.DELIVERY_STATE_SENT, 1, "")
    assert (told.channel, told.kind) == (notice_pb2.CHANNEL_SMS, notice_pb2.NOTICE_KIND_DEBIT)
    assert "13800000001" not in str(told)
    assert PAYLOAD.body not in str(told)


async def test_what_waits_for_a_receipt_is_not_told_yet() -> None:
    assert await ended(1) == []


async def test_what_was_given_up_is_told_with_the_reason() -> None:
    def breaks(world: World) -> None:
        world.gateways.failure = FULL

    (told,) = await ended(1, [breaks])
    assert (told.state, told.attempts, told.why) == (delivery_pb2.DELIVERY_STATE_GIVEN_UP, 3, "the mailbox is full")


async def test_what_a_process_that_died_had_claimed_goes_out_again_with_the_same_key() -> None:
    repository = MemoryRepository()
    backend = MemoryWork(repository)
    world = World(backend)
    await world.known()
    await world.queue()
    backend_records = world.courier._records
    world.courier._records = None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        await world.courier.round()
    world.courier._records = backend_records
    assert await world.courier.round() == 0
    repository.expire_leases()
    assert await world.courier.round() == 1
    first, second = world.gateways.sent
    assert first.delivery_id == second.delivery_id


async def test_a_running_courier_is_woken_and_stops_without_losing_what_it_sends() -> None:
    world = World(MemoryWork(MemoryRepository()))
    await world.known()
    couriers = Couriers(world.backend, world.gateways, world.clock)
    running = asyncio.create_task(couriers.run())
    await world.queue(2)
    couriers.wake([Channel.SMS, Channel.EMAIL])
    await eventually(lambda: len(world.gateways.sent) == 2)
    world.gateways.held = asyncio.Event()
    await world.queue()
    couriers.wake([Channel.SMS])
    await eventually(lambda: len(world.gateways.sent) == 3)
    running.cancel()
    asyncio.get_running_loop().call_later(0.05, world.gateways.held.set)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert {one.state for one in await world.all()} == {State.SENT}


async def test_what_was_claimed_and_had_no_room_yet_is_put_back_at_the_end() -> None:
    repository = MemoryRepository()
    world = World(MemoryWork(repository), POLICY.model_copy(update={"concurrency": 1, "most_a_day": 10}))
    await world.known()
    world.gateways.held = asyncio.Event()
    running = asyncio.create_task(world.courier.run())
    await world.queue(5)
    world.courier.wake()
    # One is under way, one in the queue, and one of the second claim waits for room in it.
    await eventually(lambda: len(repository.leased) == 4)
    running.cancel()
    asyncio.get_running_loop().call_later(0.05, world.gateways.held.set)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted((one.state.value, one.attempts) for one in await world.all()) == [("QUEUED", 0)] * 4 + [("SENT", 1)]


async def test_what_is_claimed_but_not_sent_is_put_back_at_the_end() -> None:
    world = World(MemoryWork(MemoryRepository()), POLICY.model_copy(update={"concurrency": 1, "most_a_day": 10}))
    await world.known()
    world.gateways.held = asyncio.Event()
    running = asyncio.create_task(world.courier.run())
    await world.queue(2)
    world.courier.wake()
    await eventually(lambda: len(world.gateways.sent) == 1)
    running.cancel()
    asyncio.get_running_loop().call_later(0.05, world.gateways.held.set)
    with pytest.raises(asyncio.CancelledError):
        await running
    states = {one.state: one.attempts for one in await world.all()}
    assert states == {State.SENT: 1, State.QUEUED: 0}
    assert await world.courier.round() == 1
