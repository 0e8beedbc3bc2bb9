"""Settlements ⇄ the contract: messages of SettlementService."""

from uuid import UUID

from gongji.settlement.v1 import settlement_pb2 as pb2
from kit.timestamps import Fields, timestamp_fields
from settlement import enums
from settlement.commands import Command
from settlement.domain.allocate import Decline, Line, Split
from settlement.domain.bill import Bill, BillItem, ItemKind, MedicalType
from settlement.domain.quotes import Quote
from settlement.domain.state import Order, OrderKind, Refund, Settlement
from settlement.preview_service import Preview, PreviewCommand
from settlement.reverse_service import ReverseCommand
from settlement.visits import Presented

_OPTIONAL = ("fulamt_ownpay_amt", "overlmt_selfpay", "preselfpay_amt", "inscp_scp_amt", "act_pay_dedc")


def bill_of(bill: pb2.Bill) -> Bill:
    """A bill in the domain's words; what was not told is None."""
    told = {f"{name}_fen": getattr(bill, name) for name in _OPTIONAL if bill.HasField(name)}  # type: ignore[arg-type]
    return Bill(
        psn_no=bill.psn_no,
        mdtrt_id=bill.mdtrt_id,
        med_type=MedicalType(bill.med_type),
        medfee_sumamt_fen=bill.medfee_sumamt,
        fund_pay_sumamt_fen=bill.fund_pay_sumamt,
        psn_part_amt_fen=bill.psn_part_amt,
        hosp_part_amt_fen=bill.hosp_part_amt,
        items=tuple(BillItem(ItemKind(item.kind), item.amount) for item in bill.items),
        **told,
    )


def bill_message(bill: Bill) -> pb2.Bill:
    """A bill as it was sent."""
    return pb2.Bill(**_bill(bill))


def _bill(bill: Bill) -> Fields:
    return {
        "psn_no": bill.psn_no,
        "mdtrt_id": bill.mdtrt_id,
        "med_type": enums.medical_type(bill.med_type),
        "medfee_sumamt": bill.medfee_sumamt_fen,
        "fund_pay_sumamt": bill.fund_pay_sumamt_fen,
        "psn_part_amt": bill.psn_part_amt_fen,
        "hosp_part_amt": bill.hosp_part_amt_fen,
        "fulamt_ownpay_amt": bill.fulamt_ownpay_amt_fen,
        "overlmt_selfpay": bill.overlmt_selfpay_fen,
        "preselfpay_amt": bill.preselfpay_amt_fen,
        "inscp_scp_amt": bill.inscp_scp_amt_fen,
        "act_pay_dedc": bill.act_pay_dedc_fen,
        "items": [{"kind": enums.item_kind(item.kind), "amount": item.amount_fen} for item in bill.items],
    }


def settle_command(request: pb2.SettleRequest) -> Command:
    """What a Settle request orders."""
    order = Order(
        fixmedins_code=request.fixmedins_code,
        msgid=request.msgid,
        bill=bill_of(request.bill),
        acct_used_flag=request.acct_used_flag,
        use_mutual_aid=request.use_mutual_aid,
        expected_acct_pay_fen=request.expected_acct_pay if request.HasField("expected_acct_pay") else None,
        expected_acct_mulaid_pay_fen=(
            request.expected_acct_mulaid_pay if request.HasField("expected_acct_mulaid_pay") else None
        ),
        quote_id=UUID(request.quote_id) if request.quote_id else None,
    )
    return Command(order, request.visit_credential)


def hold_command(request: pb2.PreSettleRequest) -> Command:
    """What a PreSettle request that holds orders."""
    order = Order(
        fixmedins_code=request.fixmedins_code,
        msgid=request.msgid,
        bill=bill_of(request.bill),
        acct_used_flag=request.acct_used_flag,
        use_mutual_aid=request.use_mutual_aid,
        kind=OrderKind.QUOTE,
    )
    return Command(order, request.visit_credential)


def resettle_command(request: pb2.ResettleRequest) -> Command:
    """What a Resettle request orders."""
    order = Order(
        fixmedins_code=request.fixmedins_code,
        msgid=request.msgid,
        bill=bill_of(request.bill),
        acct_used_flag=request.acct_used_flag,
        use_mutual_aid=request.use_mutual_aid,
        expected_acct_pay_fen=request.expected_acct_pay if request.HasField("expected_acct_pay") else None,
        expected_acct_mulaid_pay_fen=(
            request.expected_acct_mulaid_pay if request.HasField("expected_acct_mulaid_pay") else None
        ),
    )
    return Command(order, credential="", original=_original(request))


def _original(request: pb2.ReverseRequest | pb2.ResettleRequest) -> UUID | str:
    by_id = request.WhichOneof("original") == "setl_id"
    return UUID(request.setl_id) if by_id else request.original_msgid


def preview_command(request: pb2.PreSettleRequest) -> PreviewCommand:
    """What a PreSettle request asks."""
    presented = Presented(request.fixmedins_code, bill_of(request.bill), request.visit_credential)
    return PreviewCommand(presented, request.acct_used_flag, request.use_mutual_aid)


def reverse_command(request: pb2.ReverseRequest) -> ReverseCommand:
    """What a Reverse request names."""
    return ReverseCommand(request.fixmedins_code, request.msgid, _original(request), request.reason)


def preview_message(preview: Preview) -> pb2.PreSettleResponse:
    """The answer to a PreSettle."""
    fields: Fields = {"refusal": enums.reason_value(preview.refusal), "split": _split(preview.split)}
    return pb2.PreSettleResponse(**fields)


def held_message(quote: Quote) -> pb2.PreSettleResponse:
    """The answer to a PreSettle that holds."""
    fields: Fields = {"split": _split(quote.split), "quote": _quote(quote)}
    return pb2.PreSettleResponse(**fields)


def quote_message(quote: Quote) -> pb2.Quote:
    """A held preview in whatever state."""
    return pb2.Quote(**_quote(quote))


def _quote(quote: Quote) -> Fields:
    return {
        "quote_id": str(quote.quote_id),
        "fixmedins_code": quote.order.fixmedins_code,
        "msgid": quote.order.msgid,
        "state": enums.quote_state_value(quote.state),
        "bill": _bill(quote.order.bill),
        "acct_used_flag": quote.order.acct_used_flag,
        "use_mutual_aid": quote.order.use_mutual_aid,
        "split": _split(quote.split),
        "occurred_at": timestamp_fields(quote.occurred_at),
        "expires_at": timestamp_fields(quote.expires_at),
        "ended_at": timestamp_fields(quote.ended_at) if quote.ended_at else None,
    }


def settled_message(settlement: Settlement) -> pb2.SettleResponse:
    """The answer to a Settle."""
    fields: Fields = {"settlement": settlement_fields(settlement)}
    return pb2.SettleResponse(**fields)


def settlement_message(settlement: Settlement) -> pb2.Settlement:
    """A settlement in whatever state."""
    return pb2.Settlement(**settlement_fields(settlement))


def settlement_fields(settlement: Settlement, *, with_bill: bool = True) -> Fields:
    """The fields of `settlement_message`, without its bill if the caller has it at hand."""
    return {
        "setl_id": str(settlement.settlement_id),
        "fixmedins_code": settlement.fixmedins_code,
        "msgid": settlement.msgid,
        "state": enums.state_value(settlement.state),
        "bill": _bill(settlement.order.bill) if with_bill and settlement.order else None,
        "split": _split(settlement.split) if settlement.split else None,
        "clr_type": enums.clearing_type(settlement.clr_type),
        "insutype": enums.insurance_type(settlement.insutype),
        "occurred_at": timestamp_fields(settlement.occurred_at) if settlement.occurred_at else None,
        "setl_time": timestamp_fields(settlement.setl_time) if settlement.setl_time else None,
        "reversed_at": timestamp_fields(settlement.reversed_at) if settlement.reversed_at else None,
        "refunds": [_refund(refund) for refund in settlement.refunds],
        "reason": enums.reason_value(settlement.reason),
        "replaces": str(settlement.order.replaces) if settlement.order and settlement.order.replaces else "",
        "replaced_by": str(settlement.replaced_by) if settlement.replaced_by else "",
    }


def _split(split: Split) -> Fields:
    return {
        "acct_pay": split.acct_pay_fen,
        "acct_mulaid_pay": split.acct_mulaid_pay_fen,
        "psn_cash_pay": split.psn_cash_pay_fen,
        "balc": split.own_balance_after_fen,
        "lines": [_line(line) for line in split.lines],
        "declines": [_decline(decline) for decline in split.declines],
    }


def _line(line: Line) -> Fields:
    return {
        "payer_psn_no": line.payer_psn_no,
        "relation_id": str(line.relation_id),
        "amount": line.amount_fen,
        "balance_after": line.balance_after_fen,
    }


def _decline(decline: Decline) -> Fields:
    return {
        "payer_psn_no": decline.payer_psn_no,
        "reason": enums.reason_value(decline.reason),
        "window": enums.window_value(decline.window),
    }


def _refund(refund: Refund) -> Fields:
    return {"psn_no": refund.psn_no, "amount": refund.amount_fen, "balance_after": refund.balance_after_fen}
