"""What is claimed, what waits or ends instead, and what is kept: nights, choices, bounds, seals and leases."""

import asyncio
import base64
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from kit.clock import Elapsed, FixedClock
from kit.crypto import KeyRing
from kit.db import Database, Work
from kit.ids import uuid7
from kit.testing import MemoryWork, eventually
from notify.channels.guarded import LeftAloneError
from notify.channels.policy import DEFAULTS
from notify.channels.registry import Channels
from notify.claiming import NO_KEY_WAIT, Due
from notify.couriers import IDLE_AFTER, Courier, Couriers
from notify.domain import deliveries as rules
from notify.domain.channels import Channel
from notify.domain.contacts import ContactState
from notify.domain.deliveries import Delivery, State
from notify.domain.kinds import Kind
from notify.domain.preferences import Preference
from notify.main import work
from notify.memory import MemoryRepository
from notify.postgres.deliveries import DeliveriesKept
from notify.repository import Repository
from notify.repository.opening import Unopened
from notify.testing import AT, keyring
from notify.testing_deliveries import BUSY, MORNING, NIGHT, PAYLOAD, POLICY, World

KEEP = timedelta(days=90)


@pytest.fixture
async def world(backend: Work[Repository]) -> World:
    made = World(backend)
    await made.known()
    return made


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


def waited(due: Due, seconds: float) -> Due:
    """As it is so long after it was claimed."""
    ticks = iter([0.0])
    return replace(due, since=Elapsed(lambda: next(ticks, seconds)))


# The lease is 40 s of time-outs, 20 s for each lot, and 10 s of margin.
@pytest.mark.parametrize(("seconds", "is_sent"), [(20.0, True), (24.9, True), (25.1, False), (1000.0, False)])
async def test_what_is_begun_has_ended_and_is_recorded_before_its_lease_is_over(
    world: World, seconds: float, *, is_sent: bool
) -> None:
    await world.queue()
    for one in await world.courier._claim():
        await world.courier._carry(waited(one, seconds))
    assert len(world.gateways.sent) == is_sent
    after = await world.only()
    assert (after.state, after.attempts) == ((State.SENT, 1) if is_sent else (State.QUEUED, 0))
    assert await world.courier.round() == (not is_sent)


async def test_what_is_claimed_is_not_claimed_again(world: World) -> None:
    await world.queue()
    world.gateways.held = asyncio.Event()
    under_way = asyncio.create_task(world.courier.round())
    await eventually(lambda: len(world.gateways.sent) == 1)
    assert await Courier(Channel.SMS, world.backend, world.gateways, world.clock).round() == 0
    world.gateways.held.set()
    await under_way
    assert len(world.gateways.sent) == 1


async def test_a_channel_that_has_no_adapter_any_more_ends_what_waits_on_it_after_an_hour() -> None:
    world = World(MemoryWork(MemoryRepository()))
    await world.known()
    await world.queue()
    nothing = Couriers(world.backend, Channels({}, DEFAULTS), world.clock)
    assert (nothing.usable, await nothing.round()) == (frozenset(), 0)
    world.at(IDLE_AFTER.total_seconds())
    assert await nothing.round() == 1
    ended = await world.only()
    assert (ended.state, ended.last_error) == (State.FAILED, "no adapter is configured for SMS")


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
    backend, keeper = work(database, keyring()), DeliveriesKept(database, FixedClock(AT), KEEP)
    today = rules.day_of(AT)
    async with backend() as repository:
        for days in (0, 7, 8, 9):
            await repository.count_deliveries(Channel.SMS, today - timedelta(days=days), {"1001": 1})
    assert [await keeper.forget_counts(1) for _ in range(3)] == [1, 1, 0]
    async with backend() as repository:
        assert await repository.count_deliveries(Channel.SMS, today, {"1001": 1}) == {"1001": 2}
        assert await repository.count_deliveries(Channel.SMS, today - timedelta(days=7), {"1001": 1}) == {"1001": 2}


async def test_what_ended_is_forgotten_when_it_was_kept_for_long_enough_and_never_before(
    database: Database,
) -> None:
    world, keeper = World(work(database, keyring())), DeliveriesKept(database, clock := FixedClock(AT), KEEP)
    await world.known()
    world.gateways.awaits_receipt = False
    await world.queue(2)
    await world.courier.round()
    (waiting,) = await world.queue()
    clock.advance(KEEP)
    assert await keeper.forget_ended(10) == 0
    clock.advance(timedelta(seconds=1))
    assert [await keeper.forget_ended(1) for _ in range(3)] == [1, 1, 0]
    assert await world.all() == [waiting]


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
    await world.courier.round()
    assert not (await world.only()).has_ended  # a receipt may come, and the words are gone already
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
