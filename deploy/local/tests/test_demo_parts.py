"""What the demo makes up, checks and prints, without a stack."""

import io
from datetime import UTC, date, datetime

import pytest
from grpc import StatusCode, aio
from rich.console import Console

from gongji.common.v1 import reason_pb2
from gongji.notify.v1 import inbox_pb2
from gongji.settlement.v1 import account_pb2, settlement_pb2
from gongji_local.client import CallRecord
from gongji_local.demo.checks import DemoFailedError, from_rpc_error, require_amount, require_equal, yuan
from gongji_local.demo.narration import Narrator
from gongji_local.demo.world import made_up
from gongji_local.errors import StackError

TODAY = date(2025, 6, 10)


def narrator() -> tuple[Narrator, io.StringIO]:
    printed = io.StringIO()
    return Narrator(Console(file=printed, width=120)), printed


def test_the_father_is_an_adult_and_the_child_a_minor() -> None:
    world = made_up(TODAY)
    assert 35 < (TODAY - world.father.born).days / 365.25 < 45
    assert 6 < (TODAY - world.child.born).days / 365.25 < 14


def test_no_two_runs_share_anybody() -> None:
    first, second = made_up(TODAY), made_up(TODAY)
    assert first.father.psn_no != second.father.psn_no
    assert first.child.certno != second.child.certno
    assert first.hospital.fixmedins_code != second.hospital.fixmedins_code


def test_what_is_off_is_told_in_one_sentence_with_the_next_step() -> None:
    with pytest.raises(DemoFailedError) as caught:
        require_amount("the father's balance", 40_999, 41_000)
    assert caught.value.problem == "The demo failed: the father's balance should be ¥410.00, and is ¥409.99."
    assert "gongji-local status" in caught.value.next_step
    assert isinstance(caught.value, StackError)


def test_what_is_right_is_not_told() -> None:
    def told(actual: int) -> str:
        try:
            require_equal("the answer", actual, 42)
        except DemoFailedError as error:
            return error.problem
        return ""

    assert [told(42), told(41)] == ["", "The demo failed: the answer should be 42, and is 41."]


def test_a_call_without_an_answer_is_told_by_its_code() -> None:
    error = aio.AioRpcError(StatusCode.UNAVAILABLE, aio.Metadata(), aio.Metadata(), "nobody there")
    told = from_rpc_error(error, "HIS H1 → settlement.Settle").problem
    assert told == "The demo failed: HIS H1 → settlement.Settle was answered with UNAVAILABLE (nobody there)."


def test_amounts_read_as_yuan() -> None:
    assert [yuan(fen) for fen in (0, 7, 123_456, -9_000)] == ["¥0.00", "¥0.07", "¥1,234.56", "-¥90.00"]


def test_a_call_is_a_line_with_who_whom_and_how_long() -> None:
    speaker, printed = narrator()
    speaker.call(CallRecord("HIS H6527", "settlement", "Settle", 0.0123, None))
    assert "HIS H6527 → settlement.Settle" in printed.getvalue()
    assert "12.3 ms" in printed.getvalue()


def test_a_refused_call_shows_its_reason() -> None:
    speaker, printed = narrator()
    speaker.call(CallRecord("HIS H6527", "settlement", "Settle", 0.0123, "MSGID_REUSED"))
    assert "MSGID_REUSED" in printed.getvalue()


def test_calls_that_wait_are_counted_and_not_printed() -> None:
    speaker, printed = narrator()
    speaker.hush(silent=True)
    speaker.call(CallRecord("portal", "notify", "ListMessages", 0.001, None))
    assert (speaker.calls, printed.getvalue()) == (1, "")
    assert speaker.last_call == "portal → notify.ListMessages"


def test_the_receipt_shows_every_part_of_the_bill() -> None:
    speaker, printed = narrator()
    settlement = settlement_pb2.Settlement(fixmedins_code="H65270000001", msgid="M1", setl_id="S1")
    settlement.bill.MergeFrom(settlement_pb2.Bill(medfee_sumamt=65_000, fund_pay_sumamt=30_000, psn_part_amt=35_000))
    settlement.setl_time.FromDatetime(datetime(2025, 6, 10, 16, 0, tzinfo=UTC))
    split = settlement.split
    split.psn_cash_pay = 15_000
    split.lines.add(payer_psn_no="65270001985", amount=20_000, balance_after=21_000)
    declined = (reason_pb2.REASON_LIMIT_REACHED, settlement_pb2.LIMIT_WINDOW_SETTLEMENT)
    split.declines.add(payer_psn_no="65270001985", reason=declined[0], window=declined[1])
    speaker.receipt(settlement, "博乐市人民医院", "张*")
    for shown in ("¥650.00", "¥300.00", "¥350.00", "…1985", "¥200.00", "¥210.00", "¥150.00", "2025-06-11 00:00:00"):
        assert shown in printed.getvalue()
    assert "LIMIT_REACHED (settlement)" in printed.getvalue()


def test_the_statement_has_a_line_for_each_entry() -> None:
    speaker, printed = narrator()
    entry = account_pb2.Entry(version=1, kind=account_pb2.ENTRY_KIND_CONTRIBUTION, amount=50_000, balance_after=50_000)
    speaker.statement([entry])
    assert "缴费入账" in printed.getvalue()
    assert printed.getvalue().count("¥500.00") == 2


def test_a_message_is_shown_as_the_family_reads_it() -> None:
    speaker, printed = narrator()
    speaker.message(inbox_pb2.Message(title="共济账户支出提醒", body="您的家人[1]支付¥90.00。"))
    assert "共济账户支出提醒" in printed.getvalue()
    assert "您的家人[1]支付¥90.00。" in printed.getvalue()
