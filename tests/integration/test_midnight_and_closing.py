"""A hospital's days around midnight in Shanghai: totals, closing, lines, the daily file, and what differs."""

import io
import uuid
from collections.abc import AsyncIterable, AsyncIterator
from datetime import datetime, timedelta
from zipfile import ZipFile

import grpc
import pytest
from google.protobuf.message import Message
from support.families import Families, Family

from gongji.settlement.v1 import reconciliation_pb2 as pb2
from gongji.settlement.v1 import reconciliation_pb2_grpc, settlement_pb2
from gongji_local.client import Caller, Hospital, bill, msgid, reason_of
from gongji_local.stack import Stack
from kit.clock import SHANGHAI

TODAY, TOMORROW = "2025-06-17", "2025-06-18"
CLOSED, AFTER_CLOSED = "2025-06-15", "2025-06-16"
"""Days of their own: once one is closed nothing is posted on it, and other scenarios share the stack."""


def before_midnight(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T23:30").replace(tzinfo=SHANGHAI)


def after_midnight(day: str) -> datetime:
    return before_midnight(day) + timedelta(minutes=31)


def days(caller: Caller) -> "reconciliation_pb2_grpc.ReconciliationServiceAsyncStub":
    return reconciliation_pb2_grpc.ReconciliationServiceStub(caller.channel("settlement"))


async def totals(caller: Caller, code: str, day: str) -> pb2.GetDailyTotalsResponse:
    return await caller.call(days(caller).GetDailyTotals, pb2.GetDailyTotalsRequest(fixmedins_code=code, day=day))


async def lines(hospital: Hospital, day: str) -> list[pb2.DetailLine]:
    request = pb2.StreamDetailsRequest(fixmedins_code=hospital.fixmedins_code, day=day)
    return [line async for page in days(hospital).StreamDetails(request, timeout=30) for line in page.lines]


async def daily_file(hospital: Hospital, day: str) -> tuple[str, list[list[str]]]:
    request = pb2.DownloadDailyFileRequest(fixmedins_code=hospital.fixmedins_code, day=day)
    parts = [part async for part in days(hospital).DownloadDailyFile(request, timeout=30)]
    with ZipFile(io.BytesIO(b"".join(part.chunk for part in parts))) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    return parts[0].file_name, [line.split("\t") for line in text.splitlines()]


async def compare(hospital: Hospital, day: str, told: list[pb2.DetailLine]) -> pb2.CompareDetailsResponse:
    own = [
        pb2.ComparedLine(
            msgid=line.msgid,
            refd_setl_flag=line.refd_setl_flag,
            medfee_sumamt=line.medfee_sumamt,
            acct_mulaid_pay=line.acct_mulaid_pay,
        )
        for line in told
    ]

    async def messages() -> AsyncIterator[pb2.CompareDetailsRequest]:
        for start in range(0, max(1, len(own)), 2):
            yield pb2.CompareDetailsRequest(
                fixmedins_code=hospital.fixmedins_code, day=day, lines=own[start : start + 2]
            )

    return await hospital.stream(days(hospital).CompareDetails, pb2.CompareDetailsRequest, messages())


async def worklist(caller: Caller, code: str) -> list[pb2.Difference]:
    request = pb2.ListDifferencesRequest(fixmedins_code=code)
    return list((await caller.call(days(caller).ListDifferences, request)).differences)


async def resolve(caller: Caller, difference: pb2.Difference, state: pb2.DifferenceState.ValueType) -> pb2.Difference:
    request = pb2.ResolveDifferenceRequest(difference_id=difference.difference_id, state=state, note="说明")
    return (await caller.call(days(caller).ResolveDifference, request)).difference


async def settle_again(family: Family, setl_id: str, psn_part_amt: int) -> None:
    hospital = family.hospital
    request = settlement_pb2.ResettleRequest(
        fixmedins_code=hospital.fixmedins_code,
        msgid=msgid(hospital.fixmedins_code, family.world.stack.now()),
        setl_id=setl_id,
        bill=bill(family.psn_no("child"), medfee_sumamt=psn_part_amt),
        use_mutual_aid=True,
    )
    await hospital.resettle(request)


async def a_night(stack: Stack, families: Families, day: str) -> Family:
    """A family that settled before midnight, and reversed, settled and settled again after it."""
    family = await families.make({"father": 100_000})
    stack.move_clock(before_midnight(day))
    first = await family.settle("child", 3_000)
    stack.move_clock(after_midnight(day))
    second = await family.settle("child", 2_000)
    await family.hospital.reverse_by_setl_id(first.setl_id, at=stack.now())
    await settle_again(family, second.setl_id, 1_500)
    return family


@pytest.fixture
async def family(stack: Stack, families: Families) -> Family:
    """One with such a night."""
    return await a_night(stack, families, TODAY)


async def test_days_end_at_midnight_in_shanghai_and_a_closed_one_never_changes(
    stack: Stack, families: Families
) -> None:
    family = await a_night(stack, families, CLOSED)
    hospital, console = family.hospital, family.world.operator.console
    code = hospital.fixmedins_code
    yesterday, today = await totals(hospital, code, CLOSED), await totals(hospital, code, AFTER_CLOSED)
    assert (yesterday.total.gross.count, yesterday.total.gross.acct_mulaid_pay, yesterday.total.to_pay) == (
        1,
        3_000,
        3_000,
    )
    assert yesterday.total.refunds == pb2.Amounts()
    assert (today.total.gross.count, today.total.gross.acct_mulaid_pay) == (2, 3_500)
    assert (today.total.refunds.count, today.total.refunds.acct_mulaid_pay, today.total.to_pay) == (2, 5_000, -1_500)

    with pytest.raises(grpc.aio.AioRpcError) as too_early:
        await console.call(days(console).CloseDay, pb2.CloseDayRequest(day=AFTER_CLOSED))
    assert reason_of(too_early.value) == "DAY_NOT_OVER"
    closed = await console.call(days(console).CloseDay, pb2.CloseDayRequest(day=CLOSED))
    assert closed.closed_by == "service/operator"
    assert closed.total.gross.medfee_sumamt >= 3_000
    again = await family.world.operator.person_at_portal.call(
        days(family.world.operator.person_at_portal).CloseDay, pb2.CloseDayRequest(day=CLOSED)
    )
    assert again == closed

    frozen = await totals(hospital, code, CLOSED)
    assert (frozen.closed_at, frozen.total) == (closed.closed_at, yesterday.total)
    stack.move_clock(before_midnight(CLOSED))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await family.settle("child", 100)
    assert reason_of(refused.value) == "ABANDONED"
    assert await totals(hospital, code, CLOSED) == frozen

    request = pb2.GetClearingStatementRequest(fixmedins_code=code, month="2025-06")
    statement = await console.call(days(console).GetClearingStatement, request)
    assert [(day.day, day.total.to_pay) for day in statement.days] == [(CLOSED, 3_000)]
    stack.move_clock(after_midnight(CLOSED))
    statement = await console.call(days(console).GetClearingStatement, request)
    assert [(day.day, day.total.to_pay) for day in statement.days] == [(CLOSED, 3_000), (AFTER_CLOSED, -1_500)]
    assert statement.total.to_pay == 1_500
    assert AFTER_CLOSED in statement.open_days
    assert CLOSED not in statement.open_days


async def test_lines_file_and_totals_of_a_day_say_the_same(family: Family) -> None:
    told = await lines(family.hospital, TOMORROW)
    assert [(line.refd_setl_flag, line.acct_mulaid_pay) for line in told] == [
        (False, 2_000),
        (False, 1_500),
        (True, 3_000),
        (True, 2_000),
    ]
    name, (header, *rows) = await daily_file(family.hospital, TOMORROW)
    assert name == f"{family.hospital.fixmedins_code}_20250618.zip"
    written = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(row["setl_id"], row["refd_setl_flag"], row["acct_mulaid_pay"]) for row in written] == [
        (line.setl_id, str(int(line.refd_setl_flag)), f"{line.acct_mulaid_pay / 100:.2f}") for line in told
    ]
    assert all(row["setl_time"].startswith("2025-06-18 00:0") for row in written)


async def test_what_differs_stays_on_the_list_until_it_is_solved(family: Family) -> None:
    hospital, console, code = family.hospital, family.world.operator.console, family.hospital.fixmedins_code
    told = await lines(hospital, TOMORROW)
    assert (await compare(hospital, TOMORROW, told)).matched == 4
    missing, wrong = told[0], pb2.DetailLine.FromString(told[1].SerializeToString())
    wrong.acct_mulaid_pay += 1
    answer = await compare(hospital, TOMORROW, [wrong, *told[2:]])
    assert answer == pb2.CompareDetailsResponse(matched=2, only_here=1, amounts_differ=1)
    first, second = sorted(await worklist(hospital, code), key=lambda each: each.kind)
    assert (first.msgid, first.kind, first.here.acct_mulaid_pay) == (
        missing.msgid,
        pb2.DIFFERENCE_KIND_ONLY_HERE,
        2_000,
    )
    assert (second.msgid, second.there.acct_mulaid_pay, second.here.acct_mulaid_pay) == (wrong.msgid, 1_501, 1_500)

    explained = await resolve(hospital, first, pb2.DIFFERENCE_STATE_EXPLAINED)
    assert explained.changes[-1].changed_by == f"institution/{code}"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await resolve(hospital, first, pb2.DIFFERENCE_STATE_SOLVED)
    assert reason_of(refused.value) == "FORBIDDEN"
    person = family.world.operator.person_at_portal
    solved = await resolve(person, second, pb2.DIFFERENCE_STATE_SOLVED)
    assert solved.changes[-1].changed_by == "clerk:operator"
    assert (await compare(hospital, TOMORROW, told)).solved == 1
    assert {each.state for each in await worklist(console, code)} == {pb2.DIFFERENCE_STATE_SOLVED}


async def test_an_institution_sees_and_explains_its_own_days_only(family: Family) -> None:
    stranger, code = family.world.hospitals["pharmacy"], family.hospital.fixmedins_code
    await compare(family.hospital, TODAY, [])
    (difference,) = await worklist(family.hospital, code)
    attempts = [
        totals(stranger, code, TODAY),
        worklist(stranger, code),
        resolve(stranger, difference, pb2.DIFFERENCE_STATE_EXPLAINED),
        stranger.call(
            days(stranger).GetClearingStatement, pb2.GetClearingStatementRequest(fixmedins_code=code, month="2025-06")
        ),
        _first(days(stranger).StreamDetails(pb2.StreamDetailsRequest(fixmedins_code=code, day=TODAY), timeout=30)),
        _first(
            days(stranger).DownloadDailyFile(pb2.DownloadDailyFileRequest(fixmedins_code=code, day=TODAY), timeout=30)
        ),
    ]
    for attempt in attempts:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await attempt
        assert reason_of(refused.value) == "FORBIDDEN_INSTITUTION"
    forged = pb2.ResolveDifferenceRequest(
        request_id=str(uuid.uuid4()),
        difference_id=str(uuid.uuid4()),
        state=pb2.DIFFERENCE_STATE_EXPLAINED,
        note="?",
    )
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await stranger.call(days(stranger).ResolveDifference, forged)
    assert reason_of(unknown.value) == "NOT_FOUND"


async def _first(stream: AsyncIterable[Message]) -> Message:
    return await anext(aiter(stream))
