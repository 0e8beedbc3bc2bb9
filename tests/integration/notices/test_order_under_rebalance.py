"""Consumers come, go, die and stand still, relays do, and Kafka is killed: each key's events keep their order, none is
missing, and none has its effect twice."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from support.bus_process import RECORDED
from support.recorded_bus import KEYS, RecordedBus

from gongji_local.postgres.databases import execute
from gongji_local.stack import Stack
from gongji_local.templates import DatabaseTemplates
from kit import inbox, outbox
from kit.testing import patient_database
from kit.testing_events import SampleTopic
from kit.topic_admin import ensure_topics

CALM_SECONDS = 5.0
"""Most of the events take less where nothing happens, also on a machine that others use."""
LONGEST_SECONDS = 120.0
"""No event takes longer, whatever happens to whom."""


@pytest.fixture(scope="module")
def templates(stack: Stack) -> Iterator[DatabaseTemplates]:
    """Databases with what a bus needs."""
    made = DatabaseTemplates(
        stack.info.postgres_admin_url,
        lambda _name, url: execute(url, outbox.SCHEMA + outbox.RUNS + inbox.SCHEMA + RECORDED),
    )
    yield made
    made.drop_all()


@pytest.fixture
async def bus(stack: Stack, templates: DatabaseTemplates) -> AsyncIterator[RecordedBus]:
    """A topic of six partitions and nobody on it yet."""
    topic = SampleTopic(partitions=6)
    await ensure_topics(stack.info.kafka_bootstrap, 1, topic.catalogue)
    url = templates.fresh("bus")
    database = patient_database(url, 4)
    bus = RecordedBus(database, url, stack.info.kafka_bootstrap, topic)
    try:
        yield bus
    finally:
        bus.end()
        await database.close()
        templates.drop(url)


async def everything_came_in_order(bus: RecordedBus) -> None:
    """Nothing is missing, doubled or overtaken, and nothing took for ever."""
    await bus.all_taken_in()
    assert await bus.faults() == {}
    delays = await bus.delays()
    assert len(delays) == bus.told
    assert delays[-1] < LONGEST_SECONDS


async def test_consumers_come_go_die_and_stand_still(bus: RecordedBus) -> None:
    bus.start("relay", "relay")
    first = bus.start("consumer", "first")
    await bus.tell()
    await bus.all_taken_in()
    async with bus.traffic():
        await bus.more_firsts(20 * len(KEYS))
        calm = await bus.delays()
        second = bus.start("consumer", "second")
        await bus.works(second)
        third = bus.start("consumer", "third")
        await bus.works(third)
        await first.leave()
        await bus.more_firsts(5 * len(KEYS))
        await second.die()
        await third.die_with_work_in_hand()
        doubles_before = await bus.doubles()
        fourth = bus.start("consumer", "fourth")
        await bus.wait(lambda: _more_doubles(bus, doubles_before), "what a dead one had done and not acknowledged")
        fifth = bus.start("consumer", "fifth")
        await bus.works(fifth)
        await bus.works(fourth)
        await fourth.stand_still()
        await bus.all_told_by_now()
        doubles_before = await bus.doubles()
        fourth.go_on()
        await bus.wait(lambda: _more_doubles(bus, doubles_before), "what the one that stood still had in hand")
        await bus.works(fourth, 5 * len(KEYS))
    await everything_came_in_order(bus)
    assert calm[len(calm) // 2] < CALM_SECONDS


async def test_the_relay_is_killed_and_another_stands_still_until_its_lease_is_gone(bus: RecordedBus) -> None:
    first = bus.start("relay", "first")
    bus.start("consumer", "consumer")
    async with bus.traffic():
        await bus.more_firsts(2 * len(KEYS))
        await first.die()  # alone, so that it is the one that publishes, however slow the machine is
        second = bus.start("relay", "second")
        await bus.holds_the_lease(second)
        await bus.wait(lambda: _more_doubles(bus, 0), "what the dead one had published and not cleared")
        await second.stand_still()
        third = bus.start("relay", "third")
        await bus.holds_the_lease(third)
        await bus.all_told_by_now()
        doubles_before = await bus.doubles()
        second.go_on()
        await bus.wait(lambda: _more_doubles(bus, doubles_before), "what the one that stood still had in hand")
        await bus.more_firsts(5 * len(KEYS))
    await everything_came_in_order(bus)


async def test_kafka_is_killed_and_started_again(bus: RecordedBus, stack: Stack) -> None:
    bus.start("relay", "relay")
    consumers = [bus.start("consumer", name) for name in ("first", "second")]
    async with bus.traffic():
        for consumer in consumers:
            await bus.works(consumer)
        try:
            await asyncio.to_thread(stack.kill_service, "kafka")
            await bus.told_while_nobody_listens()
        finally:
            await asyncio.to_thread(stack.start_kafka)
        await bus.more_firsts(10 * len(KEYS))
    await everything_came_in_order(bus)
    await asyncio.to_thread(stack.quiesce, 180.0)  # the services have found it again, too


async def _more_doubles(bus: RecordedBus, than: int) -> bool:
    return await bus.doubles() > than
