"""Kafka is gone for a while: hospitals go on settling, and afterwards nothing is lost and order is kept."""

import asyncio

import pytest
from support.bus import records
from support.families import Families

from gongji.settlement.events.v1 import account_events_pb2
from gongji_local.clock import wait_until
from gongji_local.info import ProcessStatus
from gongji_local.stack import Stack

BILLS = 6
DEGRADED_WITHIN_SECONDS = 120.0


def settlement_of(stack: Stack) -> ProcessStatus:
    """What `gongji-local status` shows of settlement."""
    return next(process for process in stack.status() if process.name == "settlement")


async def test_settling_goes_on_without_kafka_and_every_event_follows_in_order(
    families: Families, stack: Stack
) -> None:
    family = await families.make({"father": 100_000})
    await asyncio.to_thread(stack.stop_kafka)
    try:
        settled = [await family.settle("child", 1_000 + number) for number in range(BILLS)]
        told = await asyncio.to_thread(wait_until, lambda: bool(settlement_of(stack).warning), DEGRADED_WITHIN_SECONDS)
        assert told
        assert settlement_of(stack).ready
        with pytest.raises(Exception, match=r"."):
            await asyncio.to_thread(stack.quiesce, 1.0)
    finally:
        await asyncio.to_thread(stack.start_kafka)
    await asyncio.to_thread(stack.quiesce, 180.0)

    psn_no = family.psn_no("father")
    events = [
        account_events_pb2.AccountDebited.FromString(record.value)
        for record in await records(stack.info.kafka_bootstrap, "account-events-v1")
        if record.key == psn_no.encode() and dict(record.headers)["ce_type"].endswith(b"AccountDebited")
    ]
    assert [event.setl_id for event in events] == [settlement.setl_id for settlement in settled]
    assert [event.sequence for event in events] == list(range(events[0].sequence, events[0].sequence + BILLS))

    bodies = [message.body for message in await family.world.portal("father").messages() if message.category == 1]
    assert len(bodies) == BILLS + 1  # the opening contribution, too
    paid = sum(settlement.split.acct_mulaid_pay for settlement in settled)
    assert (await family.use("father", "child"))["YEAR"] == (paid, 0)
