"""A sandbox institution's HIS meets a lost reply over TLS, and finds out by itself what became of its bill."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from support.families import Families

from gongji.settlement.v1 import settlement_pb2
from gongji_local.client import reason_of
from gongji_local.stack import Stack

LOST_FEN = 9902
TIMED_OUT_FEN = 9901


async def restart(stack: Stack, **environment: str) -> None:
    await asyncio.to_thread(stack.stop_service, "settlement")
    await asyncio.to_thread(stack.start_service, "settlement", environment)


@pytest.fixture
async def _healthy_afterwards(stack: Stack) -> AsyncIterator[None]:
    yield
    await restart(stack)


@pytest.mark.usefixtures("_healthy_afterwards")
async def test_a_bill_whose_reply_is_lost_is_paid_once_and_one_that_times_out_is_fenced_off(
    families: Families, stack: Stack
) -> None:
    family = await families.make({"father": 50_000})
    lost, timed_out = await family.request("child", LOST_FEN), await family.request("child", TIMED_OUT_FEN)
    await restart(stack, GONGJI_SANDBOX_INSTITUTIONS=family.hospital.fixmedins_code)
    for request in (lost, timed_out):
        with pytest.raises(grpc.aio.AioRpcError) as nothing:
            await family.hospital.settle(request, timeout_seconds=2)
        assert nothing.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert (await family.hospital.settle(lost)).split.acct_mulaid_pay == LOST_FEN
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await family.hospital.settlement_by_msgid(timed_out.msgid)
    assert reason_of(unknown.value) == "NOT_FOUND"
    fence = await family.hospital.reverse_by_msgid(timed_out.msgid, at=stack.now())
    assert fence.state == settlement_pb2.SETTLEMENT_STATE_ABANDONED
    assert await family.balance("father") == 50_000 - LOST_FEN
