"""A relation runs out while binding is down: afterwards it is recorded once, as of the day that counts."""

import asyncio
from datetime import date

import grpc
from support.families import Families, Family
from support.relations import ended, morning, titles, told

from gongji.binding.v1 import relation_pb2
from gongji.common.v1 import reason_pb2
from gongji.settlement.v1 import settlement_pb2
from gongji_local.cases.script import Relation
from gongji_local.client import reason_of
from gongji_local.stack import Stack


async def settled_at_last(family: Family) -> settlement_pb2.Settlement:
    """Settlement has just lost binding; what it gave up is sent again under a new msgid, as the contract says."""
    async with asyncio.timeout(120):
        while True:
            try:
                return await family.settle("child", 1_000)
            except grpc.aio.AioRpcError as error:
                assert reason_of(error) in {"ABANDONED", "UNAVAILABLE"}  # noqa: PT017 - anything else fails the scenario


async def test_what_ran_out_meanwhile_is_recorded_afterwards_and_told_once(families: Families, stack: Stack) -> None:
    family = await families.make(
        {"father": 10_000}, Relation("father", "child", {"year": 100_000}, valid_to="2025-06-30")
    )
    await told(family, "father", "共济关系即将到期")
    await asyncio.to_thread(stack.stop_service, "binding")
    stack.move_clock(morning(date(2025, 7, 5)))
    await asyncio.to_thread(stack.start_service, "binding")

    over = await ended(family, "father", "child")
    assert (over.end_cause, over.ended_from) == (relation_pb2.END_CAUSE_EXPIRED, "2025-07-01")
    for name in ("father", "child"):
        await told(family, name, "共济关系已终止")
        assert (await titles(family, name)).count("共济关系即将到期") == 1
    settled = await settled_at_last(family)
    assert [it.reason for it in settled.split.declines] == [reason_pb2.REASON_RELATION_EXPIRED]
    assert await family.balance("father") == 10_000
