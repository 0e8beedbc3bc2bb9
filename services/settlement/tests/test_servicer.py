"""SettlementService as its callers see it: whose ids they may name, and what they read in the answers."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import pytest

from gongji.common.v1 import reason_pb2
from gongji.identity.v1 import person_pb2
from gongji.settlement.v1 import settlement_pb2 as pb2
from kit.auth import CallContext, Deadline, Principal, enter
from kit.auth.call import _current
from kit.errors import HasReason, InvalidFields, Refusal
from kit.testing import MemoryWork
from settlement import codec
from settlement.domain.bill import BillItem, ItemKind
from settlement.domain.reasons import SettlementRefusedError
from settlement.memory import MemorySettlements
from settlement.preview_service import Preview, PreviewCommand
from settlement.servicer import SettlementServicer
from settlement.testing import HOSPITAL, FakeRelation, World, account, bill, msgid, settle
from settlement.visits import Presented

OTHER = "H65270100002"
CONTEXT: Any = None


@pytest.fixture
def memory() -> MemorySettlements:
    memory = MemorySettlements()
    memory.accounts["father"] = account("father", 50000)
    return memory


@pytest.fixture
def world(memory: MemorySettlements) -> World:
    return World(MemoryWork(memory), FakeRelation("father", "child", 5000))


@pytest.fixture
def servicer(world: World) -> SettlementServicer:
    return SettlementServicer(world.pipeline)


@pytest.fixture(autouse=True)
def _called_by_the_hospital() -> Iterator[None]:
    before = _current.get()
    enter(CallContext("/x", Principal("institution", HOSPITAL), None, "r", Deadline(10)))
    yield
    _current.set(before)


def request(number: int = 1, **changes: Any) -> pb2.SettleRequest:
    usual: dict[str, Any] = {
        "fixmedins_code": HOSPITAL,
        "msgid": msgid(number),
        "bill": codec.bill_message(bill("child", 9000)),
        "visit_credential": "child",
        "acct_used_flag": True,
        "use_mutual_aid": True,
    }
    return pb2.SettleRequest(**{**usual, **changes})


def reverse(number: int, **original: str) -> pb2.ReverseRequest:
    return pb2.ReverseRequest(fixmedins_code=HOSPITAL, msgid=msgid(number), **original)


async def test_a_settlement_is_told_with_its_lines_declines_and_codes(servicer: SettlementServicer) -> None:
    settlement = (await servicer.Settle(request(), CONTEXT)).settlement
    assert settlement.state == pb2.SETTLEMENT_STATE_SETTLED
    split = settlement.split
    assert (split.acct_pay, split.acct_mulaid_pay, split.psn_cash_pay) == (0, 5000, 4000)
    assert [(line.payer_psn_no, line.amount, line.balance_after) for line in split.lines] == [("father", 5000, 45000)]
    (decline,) = split.declines
    assert (decline.payer_psn_no, decline.reason) == ("father", reason_pb2.REASON_LIMIT_REACHED)
    assert decline.window == pb2.LIMIT_WINDOW_TOTAL
    assert settlement.clr_type == pb2.CLEARING_TYPE_OUTPATIENT
    assert settlement.insutype == person_pb2.INSURANCE_TYPE_RESIDENT
    assert settlement.setl_time == settlement.occurred_at
    assert not split.HasField("balc")


async def test_a_balance_of_ones_own_is_told_also_when_it_is_nothing(
    servicer: SettlementServicer, memory: MemorySettlements
) -> None:
    memory.accounts["child"] = account("child", 700)
    split = (await servicer.Settle(request(), CONTEXT)).settlement.split
    assert split.HasField("balc")
    assert (split.acct_pay, split.balc) == (700, 0)


async def test_the_record_tells_the_same_as_the_first_answer(servicer: SettlementServicer) -> None:
    first = await servicer.Settle(request(), CONTEXT)
    assert await servicer.Settle(request(), CONTEXT) == first
    by_msgid = pb2.GetSettlementRequest(fixmedins_code=HOSPITAL, msgid=msgid(1))
    by_id = pb2.GetSettlementRequest(fixmedins_code=HOSPITAL, setl_id=first.settlement.setl_id)
    assert (await servicer.GetSettlement(by_msgid, CONTEXT)).settlement == first.settlement
    assert (await servicer.GetSettlement(by_id, CONTEXT)).settlement == first.settlement


async def test_a_reversal_is_told_with_its_refunds(servicer: SettlementServicer) -> None:
    setl_id = (await servicer.Settle(request(), CONTEXT)).settlement.setl_id
    reversed_ = (await servicer.Reverse(reverse(9, setl_id=setl_id), CONTEXT)).settlement
    assert reversed_.state == pb2.SETTLEMENT_STATE_REVERSED
    assert [(each.psn_no, each.amount, each.balance_after) for each in reversed_.refunds] == [("father", 5000, 50000)]
    assert reversed_.HasField("reversed_at")


async def test_a_fence_is_told_as_abandoned_without_a_bill(servicer: SettlementServicer) -> None:
    fence = (await servicer.Reverse(reverse(9, original_msgid=msgid(1)), CONTEXT)).settlement
    assert (fence.state, fence.reason) == (pb2.SETTLEMENT_STATE_ABANDONED, reason_pb2.REASON_ABANDONED)
    assert not fence.HasField("bill")
    assert not fence.HasField("split")


async def test_a_preview_is_what_the_settlement_then_gives_and_writes_nothing(
    servicer: SettlementServicer, memory: MemorySettlements
) -> None:
    asked = request()
    preview = await servicer.PreSettle(
        pb2.PreSettleRequest(
            fixmedins_code=HOSPITAL,
            bill=asked.bill,
            visit_credential="child",
            acct_used_flag=True,
            use_mutual_aid=True,
        ),
        CONTEXT,
    )
    assert (len(memory.settlements), len(memory.outbox.rows), len(memory.credential_uses)) == (0, 0, 0)
    assert preview.refusal == reason_pb2.REASON_UNSPECIFIED
    assert preview.split == (await servicer.Settle(asked, CONTEXT)).settlement.split


def hold_request(number: int = 1, **changes: Any) -> pb2.PreSettleRequest:
    usual: dict[str, Any] = {
        "fixmedins_code": HOSPITAL,
        "bill": codec.bill_message(bill("child", 9000)),
        "visit_credential": "child",
        "acct_used_flag": True,
        "use_mutual_aid": True,
        "hold": True,
        "msgid": msgid(number),
    }
    return pb2.PreSettleRequest(**{**usual, **changes})


async def test_a_preview_that_holds_tells_the_quote_and_it_is_settled_without_a_credential(
    servicer: SettlementServicer, memory: MemorySettlements
) -> None:
    held = await servicer.PreSettle(hold_request(), CONTEXT)
    quote = held.quote
    assert (quote.state, quote.msgid, held.split) == (pb2.QUOTE_STATE_HELD, msgid(1), quote.split)
    assert quote.expires_at.seconds - quote.occurred_at.seconds == 600
    by_msgid = pb2.GetQuoteRequest(fixmedins_code=HOSPITAL, msgid=msgid(1))
    assert (await servicer.GetQuote(by_msgid, CONTEXT)).quote == quote
    asked = request(2, visit_credential="", quote_id=quote.quote_id)
    settlement = (await servicer.Settle(asked, CONTEXT)).settlement
    assert (settlement.setl_id, settlement.split) == (quote.quote_id, quote.split)
    by_id = pb2.GetQuoteRequest(fixmedins_code=HOSPITAL, quote_id=quote.quote_id)
    used = (await servicer.GetQuote(by_id, CONTEXT)).quote
    assert (used.state, used.HasField("ended_at")) == (pb2.QUOTE_STATE_USED, True)
    assert memory.accounts["father"].held_fen == 0


async def test_a_quote_that_is_cancelled_is_told_as_it_ended(servicer: SettlementServicer) -> None:
    quote = (await servicer.PreSettle(hold_request(), CONTEXT)).quote
    cancel = pb2.CancelQuoteRequest(fixmedins_code=HOSPITAL, quote_id=quote.quote_id)
    first = await servicer.CancelQuote(cancel, CONTEXT)
    assert first.quote.state == pb2.QUOTE_STATE_CANCELLED
    assert await servicer.CancelQuote(cancel, CONTEXT) == first


async def test_a_preview_that_would_hold_shows_the_refusal_and_holds_nothing(
    servicer: SettlementServicer, memory: MemorySettlements
) -> None:
    answer = await servicer.PreSettle(hold_request(visit_credential="forged"), CONTEXT)
    assert answer.refusal == reason_pb2.REASON_CREDENTIAL_INVALID
    assert not answer.HasField("quote")
    assert not memory.quotes.quotes


async def test_a_quote_is_its_institutions_alone(servicer: SettlementServicer) -> None:
    with pytest.raises(SettlementRefusedError) as refused:
        await servicer.PreSettle(hold_request(msgid=msgid(1, OTHER)), CONTEXT)
    assert refused.value.reason == "FORBIDDEN_INSTITUTION"
    with pytest.raises(SettlementRefusedError) as refused:
        await servicer.CancelQuote(pb2.CancelQuoteRequest(fixmedins_code=OTHER, quote_id=str(UUID(int=1))), CONTEXT)
    assert refused.value.reason == "FORBIDDEN_INSTITUTION"


async def test_a_preview_shows_the_refusal_and_then_all_is_cash(servicer: SettlementServicer, world: World) -> None:
    world.clock.advance(world.credentials.expires_at - world.clock.now())
    ask = pb2.PreSettleRequest(
        fixmedins_code=HOSPITAL,
        bill=codec.bill_message(bill("child", 9000)),
        visit_credential="child",
        use_mutual_aid=True,
    )
    preview = await servicer.PreSettle(ask, CONTEXT)
    assert preview.refusal == reason_pb2.REASON_CREDENTIAL_EXPIRED
    assert preview.split == pb2.Split(psn_cash_pay=9000)
    assert not world.binding.asked


async def test_a_preview_that_binding_cannot_answer_says_so(servicer: SettlementServicer, world: World) -> None:
    world.binding.refuse["child"] = "INTERNAL"
    ask = pb2.PreSettleRequest(
        fixmedins_code=HOSPITAL,
        bill=codec.bill_message(bill("child", 9000)),
        visit_credential="child",
        use_mutual_aid=True,
    )
    await refused("UNAVAILABLE", servicer.PreSettle(ask, CONTEXT))


async def test_binding_away_fails_only_the_previews_that_ask_payers(world: World) -> None:
    world.binding.down = True
    bills = [bill(patient, 9000) for patient in ("child", "baby", "grandma", "aunt", "cash")]
    asked = [Presented(HOSPITAL, each, each.psn_no) for each in bills]
    batch = [PreviewCommand(each, acct_used_flag=True, use_mutual_aid=each is not asked[-1]) for each in asked]
    *unanswered, cash = await world.previewing.preview(batch)
    assert [getattr(each, "reason", None) for each in unanswered] == ["UNAVAILABLE"] * 4
    assert isinstance(cash, Preview)
    assert cash.split.psn_cash_pay_fen == 9000
    assert len(world.binding.asked) == 1, "nobody waits for binding more than once"


async def refused(reason: str, call: Any) -> None:
    with pytest.raises((SettlementRefusedError, Refusal)) as caught:
        await call
    assert isinstance(caught.value, HasReason)
    assert caught.value.reason == reason


async def test_nobody_speaks_for_another_institution(servicer: SettlementServicer, world: World) -> None:
    theirs = msgid(1, OTHER)
    ask = pb2.PreSettleRequest(fixmedins_code=OTHER, bill=request().bill, visit_credential="child")
    for call in (
        servicer.PreSettle(ask, CONTEXT),
        servicer.Settle(request(fixmedins_code=OTHER, msgid=theirs), CONTEXT),
        servicer.Settle(request(msgid=theirs), CONTEXT),
        servicer.Reverse(reverse(9, original_msgid=theirs), CONTEXT),
        servicer.Reverse(pb2.ReverseRequest(fixmedins_code=HOSPITAL, msgid=theirs, original_msgid=msgid(1)), CONTEXT),
        servicer.GetSettlement(pb2.GetSettlementRequest(fixmedins_code=HOSPITAL, msgid=theirs), CONTEXT),
        servicer.GetSettlement(pb2.GetSettlementRequest(fixmedins_code=OTHER, msgid=theirs), CONTEXT),
    ):
        await refused("FORBIDDEN_INSTITUTION", call)
    assert not world.binding.asked


async def test_a_setl_id_of_another_institution_is_forbidden(servicer: SettlementServicer) -> None:
    setl_id = (await servicer.Settle(request(), CONTEXT)).settlement.setl_id
    enter(CallContext("/x", Principal("institution", OTHER), None, "r", Deadline(10)))
    asked = pb2.GetSettlementRequest(fixmedins_code=OTHER, setl_id=setl_id)
    await refused("FORBIDDEN_INSTITUTION", servicer.GetSettlement(asked, CONTEXT))
    taken_back = pb2.ReverseRequest(fixmedins_code=OTHER, msgid=msgid(9, OTHER), setl_id=setl_id)
    await refused("FORBIDDEN_INSTITUTION", servicer.Reverse(taken_back, CONTEXT))


async def test_what_nobody_has_sent_is_not_found(servicer: SettlementServicer) -> None:
    by_msgid = pb2.GetSettlementRequest(fixmedins_code=HOSPITAL, msgid=msgid(1))
    by_id = pb2.GetSettlementRequest(fixmedins_code=HOSPITAL, setl_id=str(UUID(int=4)))
    await refused("NOT_FOUND", servicer.GetSettlement(by_msgid, CONTEXT))
    await refused("NOT_FOUND", servicer.GetSettlement(by_id, CONTEXT))


def test_a_bill_goes_through_the_contract_unchanged() -> None:
    items = (BillItem(ItemKind.CONSUMABLE, 100), BillItem(ItemKind.DRUG, 8900))
    full = bill("child", 9000, items=items, fulamt_ownpay_amt_fen=0, preselfpay_amt_fen=5, act_pay_dedc_fen=7)
    assert codec.bill_of(codec.bill_message(full)) == full
    assert codec.bill_of(codec.bill_message(bill())) == bill()


def test_an_expected_amount_of_nothing_is_not_the_same_as_none() -> None:
    assert codec.settle_command(request()).order.expected_acct_pay_fen is None
    assert codec.settle_command(request(expected_acct_pay=0)).order.expected_acct_pay_fen == 0
    assert codec.settle_command(request(expected_acct_mulaid_pay=0)).order.expected_acct_mulaid_pay_fen == 0
    assert codec.settle_command(request()).order == settle(1, bill("child", 9000)).order


async def batch(servicer: SettlementServicer, *items: pb2.SettleRequest) -> list[pb2.SettleResult]:
    return list((await servicer.BatchSettle(pb2.BatchSettleRequest(items=items), CONTEXT)).results)


def requests_of(numbers: Iterable[int]) -> list[pb2.SettleRequest]:
    """A bill of a patient of its own for each number."""
    return [
        request(number, bill=codec.bill_message(bill(f"p{number}", 100)), visit_credential=f"p{number}")
        for number in numbers
    ]


def gists(results: list[pb2.SettleResult]) -> list[tuple[str, int | str]]:
    return [
        (
            result.msgid[-1],
            result.settlement.split.acct_mulaid_pay
            if result.HasField("settlement")
            else reason_pb2.Reason.Name(result.refusal).removeprefix("REASON_"),
        )
        for result in results
    ]


async def test_a_batch_answers_every_item_in_its_place_and_a_bad_one_stops_nobody(servicer: SettlementServicer) -> None:
    results = await batch(
        servicer,
        request(1, bill=codec.bill_message(bill("child", 3000))),
        request(2, bill=codec.bill_message(bill("child", 3000, fund_pay_sumamt_fen=1))),
        request(3, fixmedins_code=OTHER),
        request(4, msgid=msgid(4, OTHER)),
        request(5, bill=codec.bill_message(bill("child", 3000))),
        request(1, bill=codec.bill_message(bill("child", 3000))),
        request(1, bill=codec.bill_message(bill("child", 2999))),
    )
    assert gists(results) == [
        ("1", 3000),
        ("2", "BILL_ARITHMETIC"),
        ("3", "FORBIDDEN_INSTITUTION"),
        ("4", "FORBIDDEN_INSTITUTION"),
        ("5", 2000),
        ("1", 3000),
        ("1", "MSGID_REUSED"),
    ]
    assert [bool(result.explanation) for result in results] == [False, True, True, True, False, False, True]


async def test_a_batch_may_settle_held_previews_by_their_ids(servicer: SettlementServicer) -> None:
    asked = pb2.PreSettleRequest(
        fixmedins_code=HOSPITAL,
        msgid=msgid(9),
        bill=codec.bill_message(bill("child", 3000)),
        visit_credential="child",
        use_mutual_aid=True,
        hold=True,
    )
    quote = (await servicer.PreSettle(asked, CONTEXT)).quote
    quoted = request(1, bill=asked.bill, acct_used_flag=False, visit_credential="", quote_id=quote.quote_id)
    again = request(3, bill=asked.bill, acct_used_flag=False, visit_credential="", quote_id=quote.quote_id)
    plain = request(2, bill=codec.bill_message(bill("child", 3000)))
    results = await batch(servicer, quoted, plain, again)
    assert gists(results) == [("1", 3000), ("2", 2000), ("3", "QUOTE_USED")]
    assert results[0].settlement.setl_id == quote.quote_id


async def test_a_result_of_a_batch_is_the_settlement_without_its_bill(servicer: SettlementServicer) -> None:
    (result,) = await batch(servicer, request())
    asked = pb2.GetSettlementRequest(fixmedins_code=HOSPITAL, msgid=msgid(1))
    alone = (await servicer.GetSettlement(asked, CONTEXT)).settlement
    alone.ClearField("bill")
    assert result.settlement == alone


async def test_a_batch_of_more_than_five_hundred_is_too_large_and_settles_nothing(
    servicer: SettlementServicer, memory: MemorySettlements
) -> None:
    items = requests_of(range(501))
    await refused("BATCH_TOO_LARGE", batch(servicer, *items))
    assert not memory.settlements
    assert [gist[1] for gist in gists(await batch(servicer, *items[:500]))] == [0] * 500


async def test_a_msgid_of_a_preview_that_holds_settles_nothing_in_a_batch(servicer: SettlementServicer) -> None:
    asked = pb2.PreSettleRequest(
        fixmedins_code=HOSPITAL, msgid=msgid(1), bill=request().bill, visit_credential="child", hold=True
    )
    await servicer.PreSettle(asked, CONTEXT)
    assert gists(await batch(servicer, request(1))) == [("1", "MSGID_REUSED")]


async def test_a_fault_on_our_side_is_told_of_its_item_with_an_id_and_nothing_from_inside(
    servicer: SettlementServicer, world: World
) -> None:
    async def broken(commands: Any) -> Any:
        return [ValueError("secret") for _ in commands]

    world.bulk._settle = broken
    (result,) = await batch(servicer, request())
    assert gists([result]) == [("1", "INTERNAL")]
    assert "secret" not in result.explanation


async def test_a_database_that_is_away_is_told_as_such_of_every_item(
    servicer: SettlementServicer, world: World
) -> None:
    async def away(_commands: Any) -> Any:
        raise ConnectionRefusedError

    world.bulk._settle = away
    items = requests_of([1, 2])
    assert gists(await batch(servicer, *items)) == [("1", "UNAVAILABLE"), ("2", "UNAVAILABLE")]


async def listed(servicer: SettlementServicer, **changes: Any) -> pb2.ListSettlementsResponse:
    usual: dict[str, Any] = {"fixmedins_code": HOSPITAL, "day": "2025-06-10"}
    return await servicer.ListSettlements(pb2.ListSettlementsRequest(**{**usual, **changes}), CONTEXT)


async def test_a_day_is_listed_page_by_page_in_every_state(servicer: SettlementServicer) -> None:
    await batch(servicer, *requests_of(range(1, 5)))
    await servicer.Reverse(reverse(90, original_msgid=msgid(1)), CONTEXT)
    await servicer.Reverse(reverse(91, original_msgid=msgid(77)), CONTEXT)
    first = await listed(servicer, page_size=3)
    last = await listed(servicer, page_size=3, page_token=first.next_page_token)
    assert (len(first.settlements), last.next_page_token) == (3, "")
    states = {each.msgid[-2:]: each.state for each in (*first.settlements, *last.settlements)}
    assert states == {
        "01": pb2.SETTLEMENT_STATE_REVERSED,
        "02": pb2.SETTLEMENT_STATE_SETTLED,
        "03": pb2.SETTLEMENT_STATE_SETTLED,
        "04": pb2.SETTLEMENT_STATE_SETTLED,
        "77": pb2.SETTLEMENT_STATE_ABANDONED,
    }
    assert first.settlements[0].bill.psn_no.startswith("p")
    assert not (await listed(servicer, day="2025-06-11")).settlements


async def test_a_page_that_is_just_full_is_the_last_one(servicer: SettlementServicer) -> None:
    await batch(servicer, *requests_of(range(3)))
    page = await listed(servicer, page_size=3)
    assert (len(page.settlements), page.next_page_token) == (3, "")


async def test_nobody_lists_the_settlements_of_another_institution(servicer: SettlementServicer) -> None:
    await servicer.Settle(request(), CONTEXT)
    await refused("FORBIDDEN_INSTITUTION", listed(servicer, fixmedins_code=OTHER))
    enter(CallContext("/x", Principal("institution", OTHER), None, "r", Deadline(10)))
    assert not (await listed(servicer, fixmedins_code=OTHER)).settlements


@pytest.mark.parametrize("day", ["2025-02-30", "1999-12-31", "2200-01-01", "0000-00-00"])
async def test_a_day_that_no_calendar_has_is_refused(servicer: SettlementServicer, day: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        await listed(servicer, day=day)
    assert [violation.field for violation in caught.value.violations] == ["day"]


@pytest.mark.parametrize("token", ["x", "!!!!", "AAAA", "é", "_" * 32, "A" * 40])
async def test_a_token_that_no_answer_gave_is_refused(servicer: SettlementServicer, token: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        await listed(servicer, page_token=token)
    assert [violation.field for violation in caught.value.violations] == ["page_token"]
