"""A sandbox institution orders failures by its amounts; nobody else can, and nothing is lost that was not ordered."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gongji.common.v1 import reason_pb2
from gongji.settlement.v1 import settlement_pb2 as pb2
from kit.auth import CallContext, Deadline, Principal, enter
from kit.auth.call import _current
from kit.testing import MemoryWork
from settlement import codec, reason_table
from settlement.domain.sandbox import DECLINED_FOR, ENDINGS, Trick, trick_of
from settlement.memory import MemorySettlements
from settlement.servicer import SettlementServicer
from settlement.testing import HOSPITAL, SANDBOX, FakeRelation, World, account, bill, msgid, visit

CONTEXT: Any = None
TIME_OUT_FEN, LOSE_REPLY_FEN, DECLINE_FEN, SLOW_FEN = 19901, 9902, 29903, 9904
T = TypeVar("T")


@pytest.fixture
def memory() -> MemorySettlements:
    memory = MemorySettlements()
    memory.accounts["father"] = account("father", 90_000)
    return memory


@pytest.fixture
def world(memory: MemorySettlements) -> World:
    world = World(MemoryWork(memory), FakeRelation("father", "child", 90_000))
    world.credentials.facts = {SANDBOX: visit("child", fixmedins_code=SANDBOX), HOSPITAL: visit("child")}
    return world


@pytest.fixture
def servicer(world: World) -> SettlementServicer:
    return SettlementServicer(world.pipeline)


@pytest.fixture(autouse=True)
def _called_by_the_sandbox() -> Iterator[None]:
    before = _current.get()
    call_as(SANDBOX)
    yield
    _current.set(before)


def call_as(institution: str) -> None:
    enter(CallContext("/x", Principal("institution", institution), None, "r", Deadline(10)))


def request(number: int, amount_fen: int, code: str = SANDBOX) -> pb2.SettleRequest:
    return pb2.SettleRequest(
        fixmedins_code=code,
        msgid=msgid(number, code),
        bill=codec.bill_message(bill("child", amount_fen)),
        visit_credential=code,
        use_mutual_aid=True,
    )


async def unanswered(call: Awaitable[T]) -> None:
    """Nothing comes, until the caller's patience is over."""
    task = asyncio.ensure_future(call)
    for _ in range(50):
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def state(servicer: SettlementServicer, number: int) -> "pb2.SettlementState.ValueType | None":
    asked = pb2.ListSettlementsRequest(fixmedins_code=SANDBOX, day="2025-06-10")
    found = (await servicer.ListSettlements(asked, CONTEXT)).settlements
    return next((each.state for each in found if each.msgid == msgid(number, SANDBOX)), None)


async def test_an_amount_that_times_out_is_not_settled_and_can_be_fenced_off(servicer: SettlementServicer) -> None:
    await unanswered(servicer.Settle(request(1, TIME_OUT_FEN), CONTEXT))
    assert await state(servicer, 1) is None
    reversal = pb2.ReverseRequest(
        fixmedins_code=SANDBOX, msgid=msgid(9, SANDBOX), original_msgid=msgid(1, SANDBOX), reason="no answer"
    )
    fenced = (await servicer.Reverse(reversal, CONTEXT)).settlement
    assert fenced.state == pb2.SETTLEMENT_STATE_ABANDONED
    with pytest.raises(Exception, match="new msgid"):
        await servicer.Settle(request(1, TIME_OUT_FEN), CONTEXT)


async def test_an_amount_whose_reply_is_lost_is_settled_once_and_answered_when_sent_again(
    servicer: SettlementServicer, memory: MemorySettlements
) -> None:
    await unanswered(servicer.Settle(request(1, LOSE_REPLY_FEN), CONTEXT))
    assert await state(servicer, 1) == pb2.SETTLEMENT_STATE_SETTLED
    again = (await servicer.Settle(request(1, LOSE_REPLY_FEN), CONTEXT)).settlement
    assert again.split.acct_mulaid_pay == LOSE_REPLY_FEN
    assert memory.accounts["father"].balance_fen == 90_000 - LOSE_REPLY_FEN


async def test_an_amount_that_is_declined_leaves_no_trace_and_a_preview_shows_why(
    servicer: SettlementServicer, memory: MemorySettlements
) -> None:
    with pytest.raises(Exception, match=DECLINED_FOR):
        await servicer.Settle(request(1, DECLINE_FEN), CONTEXT)
    asked = pb2.PreSettleRequest(
        fixmedins_code=SANDBOX, bill=request(1, DECLINE_FEN).bill, visit_credential=SANDBOX, use_mutual_aid=True
    )
    for hold in (False, True):
        asked.hold, asked.msgid = hold, msgid(2, SANDBOX) if hold else ""
        preview = await servicer.PreSettle(asked, CONTEXT)
        assert preview.refusal == reason_pb2.REASON_NOT_INSURED
        assert preview.split.psn_cash_pay == DECLINE_FEN
    assert not memory.settlements


async def test_a_slow_amount_is_settled_after_a_while(servicer: SettlementServicer) -> None:
    servicer._pipeline.sandbox._slow_seconds = 0.01
    began = asyncio.get_running_loop().time()
    answer = await servicer.Settle(request(1, SLOW_FEN), CONTEXT)
    assert answer.settlement.state == pb2.SETTLEMENT_STATE_SETTLED
    assert asyncio.get_running_loop().time() - began >= 0.01


async def test_a_preview_and_a_resettlement_can_be_lost_too(servicer: SettlementServicer) -> None:
    asked = pb2.PreSettleRequest(
        fixmedins_code=SANDBOX,
        msgid=msgid(1, SANDBOX),
        bill=request(1, LOSE_REPLY_FEN).bill,
        visit_credential=SANDBOX,
        use_mutual_aid=True,
        hold=True,
    )
    await unanswered(servicer.PreSettle(asked, CONTEXT))
    assert (await servicer.PreSettle(asked, CONTEXT)).quote.state == pb2.QUOTE_STATE_HELD
    await servicer.Settle(request(2, 5000), CONTEXT)
    again = pb2.ResettleRequest(
        fixmedins_code=SANDBOX,
        msgid=msgid(3, SANDBOX),
        original_msgid=msgid(2, SANDBOX),
        bill=request(3, LOSE_REPLY_FEN).bill,
        use_mutual_aid=True,
    )
    await unanswered(servicer.Resettle(again, CONTEXT))
    assert await state(servicer, 2) == pb2.SETTLEMENT_STATE_REVERSED
    assert await state(servicer, 3) == pb2.SETTLEMENT_STATE_SETTLED


async def test_in_a_batch_one_is_declined_alone_and_a_lost_reply_is_the_batchs(
    servicer: SettlementServicer,
) -> None:
    items = [request(1, 5000), request(2, DECLINE_FEN), request(3, 5000)]
    results = (await servicer.BatchSettle(pb2.BatchSettleRequest(items=items), CONTEXT)).results
    assert [result.refusal for result in results] == [0, reason_pb2.REASON_NOT_INSURED, 0]
    lost = pb2.BatchSettleRequest(items=[request(4, 5000), request(5, LOSE_REPLY_FEN)])
    await unanswered(servicer.BatchSettle(lost, CONTEXT))
    assert await state(servicer, 4) == await state(servicer, 5) == pb2.SETTLEMENT_STATE_SETTLED
    assert len((await servicer.BatchSettle(lost, CONTEXT)).results) == 2
    await unanswered(servicer.BatchSettle(pb2.BatchSettleRequest(items=[request(6, TIME_OUT_FEN)]), CONTEXT))
    assert await state(servicer, 6) is None


async def test_in_a_stream_results_come_until_one_is_lost(servicer: SettlementServicer) -> None:
    async def requests() -> AsyncIterator[pb2.SettleStreamRequest]:
        for number, amount_fen in enumerate((5000, DECLINE_FEN, LOSE_REPLY_FEN, 5000)):
            yield pb2.SettleStreamRequest(items=[request(number, amount_fen)])

    results: list[str] = []

    async def read() -> None:
        async for some in servicer.SettleStream(requests(), CONTEXT):
            results.extend(result.msgid for result in some.results)

    await unanswered(read())
    assert set(results) == {msgid(0, SANDBOX), msgid(1, SANDBOX)}
    assert await state(servicer, 2) == pb2.SETTLEMENT_STATE_SETTLED


async def test_other_institutions_settle_every_amount_as_ever(servicer: SettlementServicer) -> None:
    call_as(HOSPITAL)
    for number, ending in enumerate(ENDINGS):
        answer = await servicer.Settle(request(number, ending, HOSPITAL), CONTEXT)
        assert answer.settlement.state == pb2.SETTLEMENT_STATE_SETTLED


def test_the_last_four_digits_decide() -> None:
    assert trick_of(9901) is trick_of(1_239_901) is Trick.TIME_OUT
    assert [trick_of(amount_fen) for amount_fen in (0, 99_010, 9_900, 9_905, 901)] == [None] * 5
    assert set(ENDINGS.values()) == set(Trick)


def test_the_readme_tells_every_ending() -> None:
    readme = Path(reason_table.README).read_text(encoding="utf-8")
    for ending in ENDINGS:
        assert f"| …{ending} |" in readme
