"""An event that cannot be handled goes to the dead letters, those behind it go on, and it is replayed once mended."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from google.protobuf.message import Message
from support.bus import publish, records, stored
from support.commands import in_this_process
from support.families import Families

from gongji.identity.events.v1 import events_pb2 as identity_events_pb2
from gongji.settlement.events.v1 import account_events_pb2
from gongji_local.stack import Stack
from kit.events import StoredEvent

TOPIC = "account-events-v1"

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


async def dlq(stack: Stack, *arguments: str, service: str = "notify", status: int = 0) -> str:
    """What a command of a service for dead letters prints; it has to end with this status."""
    done = await asyncio.to_thread(in_this_process, stack, service, "dlq", *arguments)
    assert done.returncode == status, done.stdout
    return done.stdout


async def dlq_of_notify(stack: Stack, *arguments: str) -> str:
    """The same of notify, as operators call it."""
    done = await asyncio.to_thread(stack.run_command, "notify", "dlq", *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


def open_ones(listed: str) -> list[str]:
    """The places that `dlq list` prints."""
    return [line.split()[0] for line in listed.splitlines()[2:]]


async def letters(stack: Stack, psn_no: str, group: str = "notify", topic: str = TOPIC) -> list[Any]:
    """The dead letters about a person that a consumer group failed on, oldest first."""
    found = await records(stack.info.kafka_bootstrap, f"{topic}-dlq")
    return [
        record
        for record in found
        if record.key == psn_no.encode() and dict(record.headers)["x-dlq-consumer"] == group.encode()
    ]


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
    dead = await letters(stack, family.psn_no("father"))
    shown = await dlq_of_notify(stack, "show", TOPIC, str(dead[0].offset))
    assert "AccountDebited" in shown
    assert "amount_fen: 1000" in shown
    assert family.psn_no("father") not in shown
    assert str(dead[0].offset) in open_ones(await dlq_of_notify(stack, "list", TOPIC))

    for handled, run in ((1, dlq_of_notify), (0, dlq)):  # the second time there is nothing left to do
        assert f"{TOPIC}: {handled} handled" in await run(stack, "replay", TOPIC, "--all", "--by", "Aliya")
        assert len(await father.messages()) == before + 1
    assert str(dead[0].offset) not in open_ones(await dlq(stack, "list", TOPIC))
    assert "was replayed by Aliya" in await dlq(stack, "show", TOPIC, str(dead[0].offset))


def torn(message: Message, key: str) -> StoredEvent:
    """An event whose payload is none."""
    return replace(stored(message, key), payload=b"\xff\xff\xff")


@pytest.mark.parametrize(
    ("service", "group"), [("binding", "binding"), ("settlement", "settlement"), ("notify", "notify-webhooks")]
)
async def test_every_group_of_a_topic_buries_what_it_cannot_read_and_its_service_gives_it_up(
    stack: Stack, service: str, group: str
) -> None:
    psn_no, topic = uuid4().hex[:30], "identity-events-v1"
    await publish(stack.info.kafka_bootstrap, torn(identity_events_pb2.PersonDied(psn_no=psn_no), psn_no))
    await asyncio.to_thread(stack.quiesce, 120.0)
    (dead,) = await letters(stack, psn_no, group, topic)
    place = str(dead.offset)
    replayed = await dlq(stack, "replay", topic, place, "--by", "Aliya", service=service, status=1)
    assert "0 handled, 1 failed again" in replayed
    (again,) = (await letters(stack, psn_no, group, topic))[1:]
    reason = ("--by", "Aliya", "--reason", "torn on its way")
    assert "dropped" in await dlq(stack, "drop", topic, str(again.offset), *reason, service=service)
    assert not {place, str(again.offset)}.intersection(open_ones(await dlq(stack, "list", topic, service=service)))


async def test_bytes_that_are_no_event_are_set_aside_at_once_and_stop_nobody(families: Families, stack: Stack) -> None:
    family = await families.make({"father": 10_000})
    psn_no = family.psn_no("father")
    await publish(stack.info.kafka_bootstrap, torn(account_events_pb2.AccountDebited(psn_no=psn_no), psn_no))
    await family.settle("child", 1_000)
    await asyncio.to_thread(stack.quiesce, 120.0)
    dead = await letters(stack, psn_no)
    assert [record.value for record in dead] == [b"\xff\xff\xff"]
    assert any(message.category == 1 for message in await family.world.portal("father").messages())

    place = str(dead[0].offset)
    assert "3 bytes that cannot be read" in await dlq(stack, "show", TOPIC, place)
    assert "0 handled, 1 failed again" in await dlq(stack, "replay", TOPIC, place, "--by", "Aliya", status=1)
    (again,) = (await letters(stack, psn_no))[1:]
    (of_webhooks,) = await letters(stack, psn_no, "notify-webhooks")
    reason = ("--by", "Aliya", "--reason", "torn on its way")
    for letter in (again, of_webhooks):
        assert "dropped" in await dlq(stack, "drop", TOPIC, str(letter.offset), *reason)
    assert not {place, str(again.offset)}.intersection(open_ones(await dlq(stack, "list", TOPIC)))
    assert f"{TOPIC}: 0 handled" in await dlq(stack, "replay", TOPIC, "--all", "--by", "Aliya")
    refused = await asyncio.to_thread(stack.run_command, "notify", "dlq", "drop", TOPIC, str(again.offset), *reason)
    assert (refused.returncode, "because: torn on its way" in refused.stdout) == (1, True)
