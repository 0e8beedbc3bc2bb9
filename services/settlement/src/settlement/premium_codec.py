"""Premiums ⇄ the contract: messages of PremiumService."""

import base64
import binascii
from uuid import UUID

from gongji.settlement.v1 import premium_pb2 as pb2
from kit.days import stated_day
from kit.errors import FieldViolation, InvalidFields
from kit.timestamps import timestamp
from settlement import enums
from settlement.domain.premiums import Terms, premium_order
from settlement.domain.state import Order, Premium, Settlement


class NoPremiumError(Exception):
    """A settlement was to be told as a premium and is none; a fault in the code."""


def terms_of(request: pb2.SetPremiumRequest) -> Terms:
    """What an operator states.

    Raises:
        InvalidFields: a day is not one of the calendar.
    """
    return Terms(
        year=request.year,
        amount_fen=request.amount,
        collect_from=stated_day(request.collect_from, "collect_from"),
        collect_to=stated_day(request.collect_to, "collect_to"),
    )


def terms_message(terms: Terms) -> pb2.PremiumTerms:
    """What the premium of a year is."""
    return pb2.PremiumTerms(
        year=terms.year,
        amount=terms.amount_fen,
        collect_from=terms.collect_from.isoformat(),
        collect_to=terms.collect_to.isoformat(),
    )


def order_of(request: pb2.PayPremiumRequest) -> tuple[Order, Premium]:
    """What a PayPremium request orders."""
    premium = Premium(request.year, request.payer_psn_no)
    expected_fen = request.expected_amount if request.HasField("expected_amount") else None
    return premium_order(str(UUID(request.payment_id)), request.insured_psn_no, premium, expected_fen), premium


def premium_message(settlement: Settlement) -> pb2.Premium:
    """A payment in whatever state.

    Raises:
        NoPremiumError: it is the settlement of a bill.
    """
    order = settlement.order
    if order is None or order.premium is None:
        raise NoPremiumError(f"settlement {settlement.settlement_id} pays no premium")
    line = settlement.split.lines[0] if settlement.split and settlement.split.lines else None
    return pb2.Premium(
        premium_id=str(settlement.settlement_id),
        payment_id=settlement.msgid,
        state=enums.state_value(settlement.state),
        payer_psn_no=order.premium.payer_psn_no,
        insured_psn_no=order.bill.psn_no,
        year=order.premium.year,
        amount=order.bill.psn_part_amt_fen,
        relation_id=str(line.relation_id) if line else "",
        balance_after=line.balance_after_fen if line else None,
        occurred_at=timestamp(settlement.occurred_at) if settlement.occurred_at else None,
        paid_at=timestamp(settlement.setl_time) if settlement.setl_time else None,
        refunded_at=timestamp(settlement.reversed_at) if settlement.reversed_at else None,
        balance_after_refund=settlement.refunds[0].balance_after_fen if settlement.refunds else None,
        reason=enums.reason_value(settlement.reason),
        window=enums.window_value(settlement.reason_window),
    )


def page_token(last: Settlement) -> str:
    """The opaque token with which the page after this payment is asked for."""
    return base64.urlsafe_b64encode(last.settlement_id.bytes).decode().rstrip("=")


def before_of(token: str) -> UUID | None:
    """The payment before which the page begins; None at the newest.

    Raises:
        InvalidFields: the token is not one that `page_token` made.
    """
    if not token:
        return None
    try:
        return UUID(bytes=base64.b64decode(token + "==", altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise InvalidFields([FieldViolation("page_token", "is not a token of an answer before")]) from None
