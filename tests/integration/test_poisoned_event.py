"""An event that cannot be handled goes to the dead letters, those behind it go on, and it is replayed once mended."""

import asyncio

import asyncpg
from support.bus import publish, records, stored
from support.families import Families

from gongji.settlement.events.v1 import account_events_pb2
from gongji_local.stack import Stack

# What a faulty release would do: every write of a message for this person fails.
BREAK = """
CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.psn_no = '{psn_no}' THEN RAISE EXCEPTION 'a fault of this release'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER broken BEFORE INSERT ON message FOR EACH ROW EXECUTE FUNCTION broken();
"""
MEND = "DROP TRIGGER broken ON message; DROP FUNCTION broken();"


async def in_notify(stack: Stack, sql: str) -> None:
    connection = await asyncpg.connect(stack.info.database_url("notify"))
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def test_an_event_that_fails_is_set_aside_and_replayed_when_the_fault_is_mended(
    families: Families, stack: Stack
) -> None:
    family, neighbours = await families.make({"father": 10_000}), await families.make({"father": 10_000})
    father = family.world.portal("father")
    before = len(await father.messages())
    await in_notify(stack, BREAK.format(psn_no=family.psn_no("father")))
    try:
        await family.settle("child", 1_000)
        await neighbours.settle("child", 1_000)
        await asyncio.to_thread(stack.quiesce, 120.0)
    finally:
        await in_notify(stack, MEND)
    assert len(await father.messages()) == before
    assert any("1,000" in m.body or "10.00" in m.body for m in await neighbours.world.portal("father").messages())
    dead = await records(stack.info.kafka_bootstrap, "account-events-v1-dlq")
    assert any(record.key == family.psn_no("father").encode() for record in dead)

    replayed = await asyncio.to_thread(stack.run_command, "notify", "replay-dlq", "account-events-v1")
    assert replayed.returncode == 0, replayed.stdout
    assert len(await father.messages()) == before + 1
    again = await asyncio.to_thread(stack.run_command, "notify", "replay-dlq", "account-events-v1")
    assert again.returncode == 0, again.stdout
    assert len(await father.messages()) == before + 1


async def test_bytes_that_are_no_event_are_set_aside_at_once_and_stop_nobody(families: Families, stack: Stack) -> None:
    family = await families.make({"father": 10_000})
    psn_no = family.psn_no("father")
    poison = stored(account_events_pb2.AccountDebited(psn_no=psn_no), psn_no)
    torn = type(poison)(**{name: getattr(poison, name) for name in poison.__slots__} | {"payload": b"\xff\xff\xff"})
    await publish(stack.info.kafka_bootstrap, torn)
    await family.settle("child", 1_000)
    await asyncio.to_thread(stack.quiesce, 120.0)
    dead = await records(stack.info.kafka_bootstrap, "account-events-v1-dlq")
    assert any(record.value == b"\xff\xff\xff" and record.key == psn_no.encode() for record in dead)
    assert any(message.category == 1 for message in await family.world.portal("father").messages())
