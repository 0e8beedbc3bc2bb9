"""Notify reads its topics again from the beginning: no code goes out a second time, and none that has run out."""

import asyncio
from datetime import timedelta
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]
from support.newcomers import newcomer, start

from gongji_local.client import Connections, Portal
from gongji_local.stack import Stack
from kit.topics import catalogue

TOPIC = "identity-events-v1"
GROUP = "notify"


async def sent(stack: Stack, connections: Connections) -> Path:
    """The file of a code that went out, gone again: only a second delivery would bring it back."""
    person, portal = await newcomer(connections), Portal(connections)
    verification_id = (await start(portal, person)).verification_id
    await asyncio.to_thread(stack.code_of, verification_id)
    path = stack.folder.sms / f"{verification_id}.json"
    await asyncio.to_thread(path.unlink)
    return path


async def read_again_from_the_beginning(stack: Stack) -> None:
    """What an operator does with the group's offsets while notify is stopped."""
    partitions = [TopicPartition(TOPIC, number) for number in range(catalogue().topic(TOPIC).partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.info.kafka_bootstrap, group_id=GROUP, enable_auto_commit=False)
    consumer.assign(partitions)
    async with consumer:
        await consumer.commit(dict.fromkeys(partitions, 0))


async def replay(stack: Stack) -> None:
    await asyncio.to_thread(stack.start_service, GROUP)
    await asyncio.to_thread(stack.quiesce, 120.0)


async def test_a_code_that_is_still_good_is_not_sent_again(stack: Stack, connections: Connections) -> None:
    path = await sent(stack, connections)
    await asyncio.to_thread(stack.stop_service, GROUP)
    await read_again_from_the_beginning(stack)
    await replay(stack)
    assert not await asyncio.to_thread(path.exists)


async def test_a_code_that_ran_out_is_not_sent_even_if_nobody_remembers_it(
    stack: Stack, connections: Connections
) -> None:
    path = await sent(stack, connections)
    await asyncio.to_thread(stack.stop_service, GROUP)
    database = await asyncpg.connect(stack.info.database_url(GROUP))
    try:
        await database.execute("DELETE FROM inbox WHERE received_at > clock_timestamp() - interval '10 minutes'")
    finally:
        await database.close()
    await read_again_from_the_beginning(stack)
    stack.move_clock(stack.now() + timedelta(minutes=5))
    await replay(stack)
    assert not await asyncio.to_thread(path.exists)
