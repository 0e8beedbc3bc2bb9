"""Settlement dies between its steps: after a restart nothing is half done, and the HIS gets a final answer."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import pytest
from support.books import books_are_clean
from support.families import Families, Family

from gongji.settlement.v1 import settlement_pb2
from gongji_local.client import reason_of
from gongji_local.stack import Stack
from kit.testing import eventually

BILL_FEN = 3_000
OPENING_FEN = 10_000
SHORTEST_SWEEP_AGE = {"GONGJI_SWEEP_AGE_SECONDS": "16"}


@dataclass(frozen=True)
class Cut:
    """A bill whose settlement was cut off."""

    boundary: str
    family: Family
    request: settlement_pb2.SettleRequest
    held_fen: int
    """Of the father's limit, after the death and before whoever sweeps comes by."""

    async def state(self) -> settlement_pb2.SettlementState.ValueType:
        return (await self.family.hospital.settlement_by_msgid(self.request.msgid)).state

    async def is_given_up(self) -> bool:
        return await self.state() == settlement_pb2.SETTLEMENT_STATE_ABANDONED


def is_alive(stack: Stack) -> bool:
    return next(process.alive for process in stack.status() if process.name == "settlement")


async def restart(stack: Stack, **environment: str) -> None:
    if await asyncio.to_thread(is_alive, stack):
        await asyncio.to_thread(stack.stop_service, "settlement")
    await asyncio.to_thread(stack.start_service, "settlement", environment)


@pytest.fixture
async def _healthy_afterwards(stack: Stack) -> AsyncIterator[None]:
    yield
    await restart(stack)


async def ill(families: Families) -> tuple[Family, settlement_pb2.SettleRequest]:
    """A family with a bill to be settled."""
    family = await families.make({"father": OPENING_FEN})
    return family, await family.request("child", BILL_FEN)


async def cut_off(family: Family, request: settlement_pb2.SettleRequest, stack: Stack, boundary: str) -> Cut:
    """A bill during whose settlement the process died at a boundary, as if by kill -9; it is left dead."""
    await restart(stack, GONGJI_FAILPOINTS=f"{boundary}=exit", **SHORTEST_SWEEP_AGE)
    with pytest.raises(grpc.aio.AioRpcError) as lost:
        await family.hospital.settle(request)
    assert reason_of(lost.value) is None  # no answer at all: the outcome is unknown to the HIS
    async with asyncio.timeout(120):
        while await asyncio.to_thread(is_alive, stack):
            continue
    _, held_fen = (await family.use("father", "child"))["YEAR"]
    return Cut(boundary, family, request, held_fen)


@pytest.mark.timeout(800)
@pytest.mark.usefixtures("_healthy_afterwards")
async def test_a_bill_cut_off_before_the_commit_takes_nothing_and_frees_what_was_held(
    families: Families, stack: Stack
) -> None:
    patients = [(await ill(families), name) for name in ("after_intent", "after_authorize", "before_commit")]
    cuts = [await cut_off(*patient, stack, name) for patient, name in patients]
    assert [cut.held_fen for cut in cuts] == [0, BILL_FEN, BILL_FEN]
    await restart(stack, **SHORTEST_SWEEP_AGE)
    for cut in cuts:
        await eventually(cut.is_given_up, timeout_seconds=120, poll_seconds=0.2)
    await asyncio.to_thread(stack.quiesce, 120.0)
    for cut in cuts:
        assert await cut.is_given_up(), cut.boundary
        assert await cut.family.balance("father") == OPENING_FEN
        assert set((await cut.family.use("father", "child")).values()) == {(0, 0)}
        with pytest.raises(grpc.aio.AioRpcError) as spent:
            await cut.family.hospital.settle(cut.request)
        assert reason_of(spent.value) == "ABANDONED"
        again = await cut.family.settle("child", BILL_FEN)
        assert again.split.acct_mulaid_pay == BILL_FEN
    await books_are_clean(stack)


@pytest.mark.usefixtures("_healthy_afterwards")
async def test_a_bill_cut_off_after_the_commit_is_settled_once_and_its_answer_is_there(
    families: Families, stack: Stack
) -> None:
    cut = await cut_off(*await ill(families), stack, "after_commit")
    await restart(stack, **SHORTEST_SWEEP_AGE)
    answer = await cut.family.hospital.settle(cut.request)
    assert answer.state == settlement_pb2.SETTLEMENT_STATE_SETTLED
    assert answer.split.acct_mulaid_pay == BILL_FEN
    assert await cut.family.balance("father") == OPENING_FEN - BILL_FEN
    await asyncio.to_thread(stack.quiesce, 120.0)
    assert (await cut.family.use("father", "child"))["YEAR"] == (BILL_FEN, 0)
    told = [message for message in await cut.family.world.portal("father").messages() if "支出" in message.title]
    assert len(told) == 1
    await books_are_clean(stack)
