"""A msgid is bound to its body and answered from its record, whatever has happened since."""

import asyncio
from datetime import timedelta

import grpc
import pytest
from support.families import Families, Family

from gongji.settlement.v1 import settlement_pb2
from gongji_local.client import reason_of
from gongji_local.stack import Stack


async def test_the_same_request_again_gives_the_same_answer_and_moves_nothing(families: Families) -> None:
    family = await families.make({"father": 10_000})
    request = await family.request("child", 6_000)
    first = await family.hospital.settle(request)
    assert await family.hospital.settle(request) == first
    assert await family.balance("father") == 4_000


async def test_the_same_request_sent_many_times_at_once_is_one_settlement(families: Families) -> None:
    family = await families.make({"father": 10_000})
    request = await family.request("child", 1_000)

    async def send() -> settlement_pb2.Settlement | str | None:
        try:
            return await family.hospital.settle(request)
        except grpc.aio.AioRpcError as error:
            return reason_of(error)

    answers = await asyncio.gather(*(send() for _ in range(20)))
    settled = [answer for answer in answers if isinstance(answer, settlement_pb2.Settlement)]
    assert settled
    assert all(answer == settled[0] for answer in settled)
    assert {answer for answer in answers if not isinstance(answer, settlement_pb2.Settlement)} <= {"IN_PROGRESS"}
    assert await family.balance("father") == 9_000


async def test_another_body_under_a_known_msgid_is_refused(families: Families) -> None:
    family = await families.make({"father": 10_000})
    request = await family.request("child", 6_000)
    await family.hospital.settle(request)
    other = await family.request("child", 6_100, msgid=request.msgid)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await family.hospital.settle(other)
    assert reason_of(refused.value) == "MSGID_REUSED"
    assert refused.value.code() == grpc.StatusCode.ALREADY_EXISTS
    assert await family.balance("father") == 4_000


async def test_a_settled_request_sent_again_after_its_credential_expired_gets_its_answer(
    families: Families, stack: Stack
) -> None:
    family = await families.make({"father": 10_000})
    request = await family.request("child", 6_000)
    first = await family.hospital.settle(request)
    stack.move_clock(stack.now() + timedelta(hours=2))
    assert await family.hospital.settle(request) == first
    late = settlement_pb2.SettleRequest()
    late.CopyFrom(request)
    late.msgid = (await family.request("child", 6_000)).msgid
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await family.hospital.settle(late)
    assert reason_of(refused.value) == "CREDENTIAL_EXPIRED"


async def outcome(family: Family, msgid: str) -> settlement_pb2.Settlement | None:
    """What is known under a msgid, None while nothing is."""
    try:
        return await family.hospital.settlement_by_msgid(msgid)
    except grpc.aio.AioRpcError as error:
        if reason_of(error) != "NOT_FOUND":
            raise
        return None


async def test_a_reply_that_was_lost_is_asked_for_by_msgid(families: Families) -> None:
    family = await families.make({"father": 10_000})
    request = await family.request("child", 6_000)
    async with asyncio.timeout(120):
        call = asyncio.create_task(family.hospital.settle(request))
        while (known := await outcome(family, request.msgid)) is None:
            continue
        call.cancel()  # the HIS hangs up without having read a reply
        while known is None or known.state == settlement_pb2.SETTLEMENT_STATE_PENDING:
            known = await outcome(family, request.msgid)
    assert known.state == settlement_pb2.SETTLEMENT_STATE_SETTLED
    assert await family.hospital.settle(request) == known
    assert await family.balance("father") == 4_000


async def test_a_msgid_that_was_never_sent_is_not_found(families: Families) -> None:
    family = await families.make({"father": 10_000})
    request = await family.request("child", 6_000)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await family.hospital.settlement_by_msgid(request.msgid)
    assert reason_of(refused.value) == "NOT_FOUND"
