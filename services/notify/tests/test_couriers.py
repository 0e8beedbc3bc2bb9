"""What couriers do with what is queued, on the fake and on PostgreSQL: once, in time, within bounds, and told of."""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from gongji.notify.events.v1 import delivery_events_pb2 as events
from gongji.notify.v1 import delivery_pb2, notice_pb2
from kit.clock import Elapsed, FixedClock
from kit.crypto import KeyRing
from kit.db import Database, Work
from kit.ids import uuid7
from kit.testing import MemoryWork, eventually
from notify.channels.guarded import LeftAloneError
from notify.channels.policy import DEFAULTS, Policy
from notify.channels.port import Accepted, AddressBusyError, Outgoing, UndeliveredError
from notify.channels.receipts import Fate, Receipt
from notify.claiming import NO_KEY_WAIT
from notify.couriers import Courier, Couriers, DeliveryDesk
from notify.domain import deliveries as rules
from notify.domain.channels import OUTSIDE, Channel
from notify.domain.contacts import Contact, ContactState
from notify.domain.deliveries import Delivery, Payload, State
from notify.domain.kinds import Kind
from notify.domain.preferences import Preference
from notify.main import work
from notify.memory import MemoryRepository
from notify.postgres.deliveries import DailyCountsKept
from notify.repository import Repository
from notify.repository.deliveries import DeliveryFilter, DeliveryPlace, NewDelivery
from notify.repository.opening import Unopened
from notify.testing import AT, keyring

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
        del channel
        return self._policy

    async def send(self, outgoing: Outgoing) -> Accepted:
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
        contact = Contact(self.contact_id, psn_no, Channel.SMS, "13800000001", state, AT, AT)
        async with self.backend() as repository:
            await repository.save_contacts([contact if state is ContactState.VERIFIED else contact.removed()])

    async def queue(self, number: int = 1, **fields: object) -> list[Delivery]:
        new = [self.delivery(**fields) for _ in range(number)]
        async with self.backend() as repository:
            assert await repository.queue_deliveries([NewDelivery(one, PAYLOAD) for one in new]) == number
        return new

    def delivery(self, **fields: object) -> Delivery:
        made = Delivery(
            *(uuid7(), uuid4(), "1001", Channel.SMS, self.contact_id, uuid4(), Kind.DEBIT, State.QUEUED, 0, AT, AT)
        )
        return replace(made, **fields)  # type: ignore[arg-type]

    async def all(self, **wanted: object) -> list[Delivery]:
        async with self.backend() as repository:
            return await repository.list_deliveries(DeliveryFilter(**wanted), 100)  # type: ignore[arg-type]

    async def only(self) -> Delivery:
        (one,) = await self.all()
        return one

    def at(self, seconds: float) -> None:
        self.clock.set(AT + timedelta(seconds=seconds))


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


async def test_being_left_alone_uses_the_daily_bound_once(world: World) -> None:
    await world.queue(3)
    world.gateways.failure = LeftAloneError("resting", is_final=False, retry_after_seconds=30)
    for _ in range(5):
        await world.courier.round()
    world.gateways.failure = None
    while await world.courier.round():
        pass
    assert {one.state for one in await world.all()} == {State.SENT}


async def test_beyond_the_daily_bound_nobody_gets_more_until_tomorrow(world: World) -> None:
    await world.queue(5)
    other = (await world.queue(psn_no="1002"))[0]
    world.contact_id = uuid7()
    await world.known(psn_no="1002")
    while await world.courier.round():
        pass
    mine = await world.all(psn_no="1001")
    assert sorted(one.state.value for one in mine) == ["GIVEN_UP", "GIVEN_UP", "SENT", "SENT", "SENT"]
    assert {one.last_error for one in mine if one.state is State.GIVEN_UP} == {rules.DAILY_BOUND}
    assert {one.attempts for one in mine if one.state is State.GIVEN_UP} == {0}
    assert [one.state for one in await world.all(event_id=other.event_id)] == [State.SENT]
    world.at(24 * 3600)
    await world.queue(next_attempt_at=AT)
    assert await world.courier.round() == 1


async def test_trying_again_does_not_use_the_daily_bound(world: World) -> None:
    await world.queue(3)
    world.gateways.failure = BUSY
    await world.courier.round()
    await world.courier.round()
    world.gateways.failure = None
    world.at(1000)
    while await world.courier.round():
        pass
    assert {one.state for one in await world.all()} == {State.SENT}


async def test_a_contact_that_was_removed_is_told_nothing(world: World) -> None:
    await world.queue()
    await world.known(ContactState.REMOVED)
    assert await world.courier.round() == 0
    gone = await world.only()
    assert (gone.state, gone.last_error, gone.attempts) == (State.FAILED, rules.NO_CONTACT, 0)
    assert world.gateways.sent == []


async def test_a_contact_that_another_has_replaced_is_told_under_the_new_one(world: World) -> None:
    await world.queue()
    await world.known(ContactState.REMOVED)
    world.contact_id = uuid7()
    await world.known()
    assert await world.courier.round() == 1
    assert (await world.only()).state is State.SENT


def unreadable(repository: MemoryRepository, delivery: Delivery, why: Unopened) -> None:
    repository.payloads[delivery.delivery_id] = why


async def test_what_cannot_be_read_fails_alone() -> None:
    repository = MemoryRepository()
    world = World(MemoryWork(repository))
    await world.known()
    broken, _ = await world.queue(2)
    unreadable(repository, broken, Unopened.BROKEN)
    assert await world.courier.round() == 1
    (failed,) = await world.all(event_id=broken.event_id)
    assert (failed.state, failed.last_error, failed.attempts) == (State.FAILED, rules.UNREADABLE, 0)


async def test_what_has_no_key_waits_for_a_process_that_has_it_and_for_a_day_at_most() -> None:
    repository = MemoryRepository()
    world = World(MemoryWork(repository), POLICY.model_copy(update={"most_a_day": 1}))
    await world.known()
    (sealed,) = await world.queue()
    unreadable(repository, sealed, Unopened.NO_KEY)
    for minute in range(3):
        world.at(minute * 60)
        assert await world.courier.round() == 0
    assert (await world.only()).attempts == 0
    repository.payloads[sealed.delivery_id] = PAYLOAD
    world.at(180)
    assert await world.courier.round() == 1
    (sealed,) = await world.queue()
    unreadable(repository, sealed, Unopened.NO_KEY)
    world.at(180 + 24 * 3600)
    assert await world.courier.round() == 0
    (gone,) = await world.all(event_id=sealed.event_id)
    assert (gone.state, gone.last_error) == (State.GIVEN_UP, rules.NO_KEY)


async def test_quiet_hours_that_began_meanwhile_are_kept_and_use_no_daily_bound(backend: Work[Repository]) -> None:
    world = World(backend, POLICY.model_copy(update={"most_a_day": 2}))
    await world.known()
    quiet = await world.queue(2, kind=Kind.REFUND)
    world.clock.set(NIGHT)
    assert await world.courier.round() == 0
    for one in await world.all():
        assert MORNING <= one.next_attempt_at < MORNING + timedelta(minutes=5)
        assert (one.state, one.attempts) == (State.QUEUED, 0)
    (debit,) = await world.queue(kind=Kind.DEBIT)
    assert await world.courier.round() == 1
    assert [one.delivery_id for one in world.gateways.sent] == [debit.delivery_id]
    world.clock.set(MORNING + timedelta(minutes=5))
    assert await world.courier.round() == 2
    assert {one.delivery_id for one in world.gateways.sent[1:]} == {one.delivery_id for one in quiet}
    (more,) = await world.queue(kind=Kind.REFUND)
    await world.courier.round()
    assert [one.last_error for one in await world.all(event_id=more.event_id)] == [rules.DAILY_BOUND]


async def test_what_was_switched_off_meanwhile_does_not_go_out(world: World) -> None:
    await world.queue(kind=Kind.LIMIT)
    async with world.backend() as repository:
        await repository.save_preference("1001", Preference(Kind.LIMIT, Channel.SMS, is_wanted=False))
    assert await world.courier.round() == 0
    ended = await world.only()
    assert (ended.state, ended.last_error, ended.attempts) == (State.GIVEN_UP, rules.UNWANTED, 0)


async def test_what_waited_in_the_process_until_its_lease_is_nearly_over_is_put_back(world: World) -> None:
    await world.queue()
    ticks = iter([0.0, *[1000.0] * 9])
    due = [replace(one, since=Elapsed(lambda: next(ticks))) for one in await world.courier._claim()]
    for one in due:
        await world.courier._carry(one)
    assert world.gateways.sent == []
    assert (await world.only()).attempts == 0
    assert await world.courier.round() == 1


async def test_what_is_claimed_is_not_claimed_again(world: World) -> None:
    await world.queue()
    world.gateways.held = asyncio.Event()
    under_way = asyncio.create_task(world.courier.round())
    await eventually(lambda: len(world.gateways.sent) == 1)
    assert await Courier(Channel.SMS, world.backend, world.gateways, world.clock).round() == 0
    world.gateways.held.set()
    await under_way
    assert len(world.gateways.sent) == 1


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


async def lease_ended(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute("UPDATE delivery SET leased_until = clock_timestamp() - interval '1 second'")


async def test_a_lease_that_ran_out_is_anybodys_whatever_the_moved_clock_says(database: Database) -> None:
    world = World(work(database, keyring()))
    await world.known()
    await world.queue()
    async with world.backend() as repository:
        assert len(await repository.claim_deliveries(Channel.SMS, AT, 10, 60.0)) == 1
    world.at(365 * 24 * 3600)
    assert await world.courier.round() == 0
    await lease_ended(database)
    assert await world.courier.round() == 1
    assert (await world.only()).attempts == 2


async def test_a_late_record_of_a_failure_does_not_touch_the_attempt_of_another(database: Database) -> None:
    world = World(work(database, keyring()))
    await world.known()
    await world.queue()
    world.gateways.failure, world.gateways.held = BUSY, asyncio.Event()
    late = asyncio.create_task(world.courier.round())
    await eventually(lambda: len(world.gateways.sent) == 1)
    await lease_ended(database)
    async with world.backend() as repository:
        (other,) = await repository.claim_deliveries(Channel.SMS, AT, 10, 60.0)
    world.gateways.held.set()
    await late
    assert await world.only() == other.delivery


async def test_many_claim_side_by_side_and_each_gets_others(database: Database) -> None:
    world = World(work(database, keyring()), POLICY.model_copy(update={"most_a_day": 1000}))
    await world.known()
    await world.queue(60)

    async def claimed() -> list[UUID]:
        async with world.backend() as repository:
            return [one.delivery.delivery_id for one in await repository.claim_deliveries(Channel.SMS, AT, 10, 60.0)]

    taken = [delivery_id for ids in await asyncio.gather(*(claimed() for _ in range(6))) for delivery_id in ids]
    assert len(set(taken)) == len(taken)


async def test_the_daily_bound_holds_whoever_counts(database: Database) -> None:
    world = World(work(database, keyring()))
    await world.known()
    await world.queue(12)
    couriers = [Courier(Channel.SMS, world.backend, world.gateways, world.clock) for _ in range(3)]
    while any(await asyncio.gather(*(courier.round() for courier in couriers))):
        pass
    assert len(world.gateways.sent) == POLICY.most_a_day


async def test_counts_are_forgotten_a_week_after_their_day_in_batches(database: Database) -> None:
    backend, keeper = work(database, keyring()), DailyCountsKept(database, FixedClock(AT))
    today = rules.day_of(AT)
    async with backend() as repository:
        for days in (0, 7, 8, 9):
            await repository.count_deliveries(Channel.SMS, today - timedelta(days=days), {"1001": 1})
    assert [await keeper.forget(1) for _ in range(3)] == [1, 1, 0]
    async with backend() as repository:
        assert await repository.count_deliveries(Channel.SMS, today, {"1001": 1}) == {"1001": 2}
        assert await repository.count_deliveries(Channel.SMS, today - timedelta(days=7), {"1001": 1}) == {"1001": 2}


async def test_what_it_says_is_unreadable_and_gone_when_it_has_ended(database: Database) -> None:
    world = World(work(database, keyring()))
    await world.known()
    await world.queue()
    async with database.transaction() as transaction:
        row = await transaction.raw.fetchrow("SELECT * FROM delivery")
    assert row is not None
    shown = b" ".join(value if isinstance(value, bytes) else str(value).encode() for value in row.values())
    assert "正文".encode() not in shown
    assert b"13800000001" not in shown
    world.gateways.awaits_receipt = False
    await world.courier.round()
    async with database.transaction() as transaction:
        assert await transaction.raw.fetchval("SELECT payload_ct FROM delivery") is None


async def test_what_does_not_open_has_failed_and_holds_up_nobody(database: Database) -> None:
    world = World(work(database, keyring()))
    await world.known()
    (broken,) = await world.queue()
    (good,) = await world.queue(next_attempt_at=AT + timedelta(seconds=1))
    async with database.transaction() as transaction:
        # As if the words of another had been put there.
        await transaction.raw.execute(
            "UPDATE delivery SET payload_ct = (SELECT payload_ct FROM delivery WHERE delivery_id = $1) "
            "WHERE delivery_id = $2",
            good.delivery_id,
            broken.delivery_id,
        )
    world.at(1)
    assert await world.courier.round() == 1
    assert [one.delivery_id for one in world.gateways.sent] == [good.delivery_id]
    (failed,) = await world.all(event_id=broken.event_id)
    assert (failed.state, failed.last_error, failed.attempts) == (State.FAILED, rules.UNREADABLE, 0)


async def test_an_address_that_does_not_open_is_no_contact(database: Database) -> None:
    world = World(work(database, keyring()))
    await world.known()
    await world.queue()
    async with database.transaction() as transaction:
        await transaction.raw.execute("UPDATE contact_point SET address_ct = address_ct || 'x'::bytea")
    assert await world.courier.round() == 0
    assert (await world.only()).last_error == rules.NO_CONTACT


async def test_a_process_without_the_key_leaves_it_to_others(database: Database) -> None:
    world = World(work(database, another_keyring()))
    await world.known()
    await world.queue()
    older = Courier(Channel.SMS, work(database, keyring()), world.gateways, world.clock)
    assert await older.round() == 0
    waiting = await world.only()
    assert (waiting.state, waiting.attempts, waiting.last_error) == (State.QUEUED, 0, rules.NO_KEY)
    world.at(NO_KEY_WAIT.total_seconds())
    assert await world.courier.round() == 1
    assert (await world.only()).state is State.SENT


def another_keyring() -> KeyRing:
    """After its key was changed."""
    key = base64.b64encode(b"n" * 32).decode()
    keys = {"k2": {"algorithm": "AES-256-GCM", "key": key}}
    return KeyRing.from_json({"active": "k2", "keys": keys, "blind_index_key": key})
