"""Many bills at once over TLS: in order, and a stream that is cut loses nothing and doubles nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

import grpc
import pytest
from support.families import Families, Family

from gongji.common.v1 import reason_pb2
from gongji.settlement.v1 import settlement_pb2
from gongji_local.stack import Stack

OPENING_FEN = 100_000
BILL_FEN = 100
SHORTEST_SWEEP_AGE = {"GONGJI_SWEEP_AGE_SECONDS": "16"}
Requests = Sequence[settlement_pb2.SettleRequest]


async def bills(family: Family, *patients: str) -> list[settlement_pb2.SettleRequest]:
    """A bill for each of these; one visit of a patient, so that one credential serves all of the patient's."""
    first = {name: await family.request(name, BILL_FEN) for name in dict.fromkeys(patients)}
    return [
        family.hospital.settle_request(
            first[name].bill, first[name].visit_credential, at=family.world.stack.now(), acct_used_flag=True
        )
        for name in patients
    ]


async def sent(requests: Iterable[settlement_pb2.SettleRequest]) -> AsyncIterator[settlement_pb2.SettleStreamRequest]:
    for request in requests:
        yield settlement_pb2.SettleStreamRequest(items=[request])


def reason(result: settlement_pb2.SettleResult) -> str:
    return reason_pb2.Reason.Name(result.refusal).removeprefix("REASON_")


async def test_a_batch_is_settled_in_its_order_and_again_with_the_same_results(families: Families) -> None:
    family = await families.make({"father": 450})
    requests = await bills(family, "child", "father", "child", "child", "child", "father")
    wrong = settlement_pb2.SettleRequest()
    wrong.CopyFrom(requests[2])
    wrong.bill.hosp_part_amt = 1
    requests[2] = wrong
    results = await family.hospital.batch_settle(*requests)
    assert [result.msgid for result in results] == [request.msgid for request in requests]
    assert [reason(result) for result in results] == ["UNSPECIFIED"] * 2 + ["BILL_ARITHMETIC"] + ["UNSPECIFIED"] * 3
    splits = [result.settlement.split for result in results]
    assert [(split.acct_pay, split.acct_mulaid_pay) for split in splits] == [
        (0, 100),
        (100, 0),
        (0, 0),
        (0, 100),
        (0, 100),
        (50, 0),
    ]
    assert await family.hospital.batch_settle(*requests) == results
    assert await family.balance("father") == 0


async def until_cut(
    family: Family, stack: Stack, requests: Requests, results: int
) -> dict[str, settlement_pb2.SettleResult]:
    """What was acknowledged until settlement was killed, after so many results."""
    acknowledged: dict[str, settlement_pb2.SettleResult] = {}
    with pytest.raises(grpc.aio.AioRpcError):  # noqa: PT012 - the stream breaks while it is read
        async for result in family.hospital.settle_stream(sent(requests)):
            acknowledged[result.msgid] = result
            if len(acknowledged) == results:
                await asyncio.to_thread(stack.kill_service, "settlement")
    return acknowledged


@pytest.fixture
async def _healthy_afterwards(stack: Stack) -> AsyncIterator[None]:
    yield
    await asyncio.to_thread(stack.stop_service, "settlement")
    await asyncio.to_thread(stack.start_service, "settlement")


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("_healthy_afterwards")
async def test_a_stream_cut_by_a_kill_keeps_what_was_acknowledged_and_the_rest_sent_again_is_taken_once(
    families: Families, stack: Stack
) -> None:
    family = await families.make({"father": OPENING_FEN})
    requests = await bills(family, *["child", "father"] * 150)
    results = await until_cut(family, stack, requests, results=40)
    assert 40 <= len(results) < len(requests)
    await asyncio.to_thread(stack.start_service, "settlement", SHORTEST_SWEEP_AGE)
    for msgid, result in results.items():
        assert (await family.hospital.settlement_by_msgid(msgid)).setl_id == result.settlement.setl_id

    left = [request for request in requests if request.msgid not in results]
    async with asyncio.timeout(200):
        while left:
            async for result in family.hospital.settle_stream(sent(left)):
                if reason(result) != "IN_PROGRESS":  # of what died on its way, until the sweeper has come
                    results[result.msgid] = result
            left = [request for request in left if request.msgid not in results]
            await asyncio.to_thread(stack.quiesce, 120.0)
    lost = [request for request in requests if reason(results[request.msgid]) == "ABANDONED"]
    assert len(lost) <= 2, "only what was on its way is given up, one of a patient"
    again = await bills(family, *("child" if each.bill.psn_no == family.psn_no("child") else "father" for each in lost))
    if again:
        for result in await family.hospital.batch_settle(*again):
            results[result.msgid] = result
    settled = [result for result in results.values() if result.HasField("settlement")]
    assert len(settled) == len(requests)
    assert await family.balance("father") == OPENING_FEN - BILL_FEN * len(requests)
    await asyncio.to_thread(stack.quiesce, 120.0)
    assert (await family.use("father", "child"))["YEAR"] == (BILL_FEN * 150, 0)
    audit = await asyncio.to_thread(stack.run_command, "settlement", "audit")
    assert audit.returncode == 0, audit.stdout
