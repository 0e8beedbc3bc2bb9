"""Closing accounts ⇄ the contract."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from gongji.settlement.v1 import account_pb2
from kit.timestamps import timestamp
from settlement.closing_repository import ClosedRefundsAsked
from settlement.domain.accounts import Instruction
from settlement.domain.closing import ClosedRefund, PayoutOrder, PayoutWay

_WAYS: Final[Mapping[account_pb2.PayoutWay.ValueType, PayoutWay]] = {
    account_pb2.PAYOUT_WAY_HEIRS: PayoutWay.HEIRS,
    account_pb2.PAYOUT_WAY_TRANSFER: PayoutWay.TRANSFER,
}
_IS_OPEN: Final[Mapping[account_pb2.ClosedRefundState.ValueType, bool | None]] = {
    account_pb2.CLOSED_REFUND_STATE_UNSPECIFIED: None,
    account_pb2.CLOSED_REFUND_STATE_OPEN: True,
    account_pb2.CLOSED_REFUND_STATE_PAID_OUT: False,
}


def payout_order(message: account_pb2.Payout, carried_out_by: str) -> PayoutOrder:
    """Where money goes, why, and by whose order."""
    instruction = Instruction(message.reason, message.authority, carried_out_by)
    return PayoutOrder(_WAYS[message.way], instruction, message.payment_reference)


def refunds_asked(request: account_pb2.ListClosedRefundsRequest, after_position: int, limit: int) -> ClosedRefundsAsked:
    """Which refunds are asked for."""
    return ClosedRefundsAsked(_IS_OPEN[request.state], request.psn_no, after_position, limit)


def closed_refund_message(refund: ClosedRefund) -> account_pb2.ClosedRefund:
    """The refund as the contract shows it."""
    is_open = refund.payout_id is None
    return account_pb2.ClosedRefund(
        closed_refund_id=str(refund.closed_refund_id),
        psn_no=refund.psn_no,
        setl_id=str(refund.settlement_id),
        amount=refund.amount_fen,
        state=account_pb2.CLOSED_REFUND_STATE_OPEN if is_open else account_pb2.CLOSED_REFUND_STATE_PAID_OUT,
        refunded_at=timestamp(refund.refunded_at),
        payout_id=_text(refund.payout_id),
    )


def _text(each: UUID | None) -> str:
    return str(each) if each else ""
