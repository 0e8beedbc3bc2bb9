"""What settlement tells the others about settlements and the accounts that they move."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from gongji.common.v1 import reason_pb2
from gongji.settlement.events.v1 import account_events_pb2, premium_events_pb2, settlement_events_pb2
from kit.events import Event
from kit.timestamps import Fields, timestamp, timestamp_fields
from settlement.domain.allocate import Line
from settlement.domain.holds import Hold
from settlement.domain.ledger import EntryRow, Posted
from settlement.domain.quotes import Quote, QuoteState
from settlement.domain.reasons import Reason
from settlement.domain.state import Order, Premium, Settlement, SettlementState
from settlement.enums import clearing_type, insurance_type, medical_type


class UntellableError(Exception):
    """An event was asked for about a settlement of which too little is known; a fault in the code."""


def decided(settlement: Settlement, at: datetime, other: Settlement | None = None) -> Event:
    """The event of a settlement's last move, made at `at`; `other` is the one that it replaces or is replaced by."""
    is_paid = settlement.state is SettlementState.SETTLED
    if is_paid or settlement.state is SettlementState.REVERSED:
        if settlement.order is not None and settlement.order.premium is not None:
            return _premium_moved(settlement, settlement.order.premium, at)
        return _completed(settlement, at, other) if is_paid else _reversed(settlement, at, other)
    return _released(settlement, at)


def _completed(settlement: Settlement, at: datetime, replaced: Settlement | None) -> Event:
    order, split = settlement.order, settlement.split
    if order is None or split is None:
        raise UntellableError(f"settlement {settlement.settlement_id} is settled without bill or split")
    fields: Fields = {
        "settlement": _facts(settlement, split.lines),
        "setl_time": timestamp_fields(at),
        "med_type": medical_type(order.bill.med_type),
        "clr_type": clearing_type(order.bill.clr_type),
        "insutype": insurance_type(settlement.insutype),
        "medfee_sumamt": order.bill.medfee_sumamt_fen,
        "fund_pay_sumamt": order.bill.fund_pay_sumamt_fen,
        "acct_pay": split.acct_pay_fen,
        "acct_mulaid_pay": split.acct_mulaid_pay_fen,
        "psn_cash_pay": split.psn_cash_pay_fen,
    }
    if replaced is not None:
        facts = _facts(replaced, replaced.split.lines if replaced.split else ())
        fields["replaces"] = facts["setl_id"]
        fields["replaced_lines"] = facts["lines"]
        fields["replaced_occurred_at"] = facts["occurred_at"]
    message = settlement_events_pb2.SettlementCompleted(**fields)
    return Event(message, key=str(settlement.settlement_id), occurred_at=at)


def _reversed(settlement: Settlement, at: datetime, replacing: Settlement | None) -> Event:
    if settlement.split is None:
        raise UntellableError(f"settlement {settlement.settlement_id} is reversed without a split")
    fields: Fields = {
        "settlement": _facts(settlement, settlement.split.lines),
        "reversed_at": timestamp_fields(at),
        "acct_pay": settlement.split.acct_pay_fen,
    }
    if replacing is not None:
        facts = _facts(replacing, replacing.split.lines if replacing.split else ())
        fields["replaced_by"] = facts["setl_id"]
        fields["replacing_lines"] = facts["lines"]
        fields["replacing_occurred_at"] = facts["occurred_at"]
    message = settlement_events_pb2.SettlementReversed(**fields)
    return Event(message, key=str(settlement.settlement_id), occurred_at=at)


def _premium_moved(settlement: Settlement, premium: Premium, at: datetime) -> Event:
    if settlement.split is None:
        raise UntellableError(f"premium {settlement.settlement_id} was paid without a split")
    fields: Fields = {
        "settlement": _facts(settlement, settlement.split.lines),
        "year": premium.year,
        "payer_psn_no": premium.payer_psn_no,
        "amount_fen": settlement.split.acct_mulaid_pay_fen,
    }
    message: premium_events_pb2.PremiumPaid | premium_events_pb2.PremiumRefunded
    if settlement.state is SettlementState.SETTLED:
        message = premium_events_pb2.PremiumPaid(paid_at=timestamp(at), **fields)
    else:
        message = premium_events_pb2.PremiumRefunded(refunded_at=timestamp(at), **fields)
    return Event(message, key=str(settlement.settlement_id), occurred_at=at)


def _released(settlement: Settlement, at: datetime) -> Event:
    fields: Fields = {
        "settlement": _facts(settlement, ()),
        "reason": reason_pb2.Reason.Value(f"REASON_{settlement.reason}"),
        "released_at": timestamp_fields(at),
        "replaces": str(settlement.order.replaces) if settlement.order and settlement.order.replaces else "",
    }
    message = settlement_events_pb2.HoldsReleased(**fields)
    return Event(message, key=str(settlement.settlement_id), occurred_at=at)


def kept(quote: Quote, at: datetime) -> Event:
    """A preview holds from `at` on: binding keeps just its lines."""
    facts = _order_facts(quote.quote_id, quote.order, quote.occurred_at, quote.split.lines)
    fields: Fields = {"settlement": facts, "trimmed_at": timestamp_fields(at)}
    return Event(settlement_events_pb2.HoldsTrimmed(**fields), key=str(quote.quote_id), occurred_at=at)


def freed(quote: Quote, at: datetime) -> Event:
    """A held preview has ended unused at `at`: nothing is kept any more."""
    reason = Reason.QUOTE_EXPIRED if quote.state is QuoteState.EXPIRED else Reason.QUOTE_USED
    fields: Fields = {
        "settlement": _order_facts(quote.quote_id, quote.order, quote.occurred_at, ()),
        "reason": reason_pb2.Reason.Value(f"REASON_{reason}"),
        "released_at": timestamp_fields(at),
    }
    return Event(settlement_events_pb2.HoldsReleased(**fields), key=str(quote.quote_id), occurred_at=at)


def never_came(hold: Hold, at: datetime) -> Event:
    """Nothing here took or will take anything by what binding holds: that is free. All that is known is binding's."""
    message = settlement_events_pb2.HoldsReleased(
        settlement=settlement_events_pb2.SettlementFacts(
            setl_id=str(hold.authorization_id),
            psn_no=hold.psn_no,
            occurred_at=timestamp(hold.occurred_at),
            use_mutual_aid=True,
        ),
        reason=reason_pb2.REASON_ABANDONED,
        released_at=timestamp(at),
    )
    return Event(message, key=str(hold.authorization_id), occurred_at=at)


def given_back(hold: Hold, at: datetime) -> Event:
    """Binding has counted what settlement knows nothing of, as after a restore from backup: it counts no longer."""
    message = settlement_events_pb2.SettlementReversed(
        settlement=settlement_events_pb2.SettlementFacts(
            setl_id=str(hold.authorization_id),
            psn_no=hold.psn_no,
            occurred_at=timestamp(hold.occurred_at),
            use_mutual_aid=True,
        ),
        reversed_at=timestamp(at),
    )
    return Event(message, key=str(hold.authorization_id), occurred_at=at)


def _facts(settlement: Settlement, lines: Iterable[Line]) -> Fields:
    order, occurred_at = settlement.order, settlement.occurred_at
    if order is None or occurred_at is None:
        raise UntellableError(f"settlement {settlement.settlement_id} never came, so there is nothing to tell")
    return _order_facts(settlement.settlement_id, order, occurred_at, lines)


def _order_facts(settlement_id: UUID, order: Order, occurred_at: datetime, lines: Iterable[Line]) -> Fields:
    """Of `SettlementFacts`."""
    return {
        "setl_id": str(settlement_id),
        "fixmedins_code": order.fixmedins_code,
        "msgid": order.msgid,
        "psn_no": order.bill.psn_no,
        "occurred_at": timestamp_fields(occurred_at),
        "lines": [
            {"relation_id": str(line.relation_id), "payer_psn_no": line.payer_psn_no, "amount_fen": line.amount_fen}
            for line in lines
        ],
        "use_mutual_aid": order.asks_payers,
    }


def moved(posted: Posted) -> list[Event]:
    """The events of the accounts that postings of payments and refunds moved, in the order of the entries."""
    return [_moved(row) for row in posted.personal_rows]


def _moved(row: EntryRow) -> Event:
    kind = account_events_pb2.AccountDebited if row.amount_fen < 0 else account_events_pb2.AccountRefunded
    occasion = row.occasion
    fields: Fields = {
        "psn_no": row.account_key,
        "sequence": row.version or 0,
        "amount_fen": abs(row.amount_fen),
        "balance_after_fen": row.balance_after_fen or 0,
        "posted_at": timestamp_fields(occasion.posted_at),
        "setl_id": str(occasion.settlement_id),
        "patient_psn_no": occasion.patient_psn_no or "",
        "fixmedins_code": occasion.fixmedins_code or "",
        "premium_year": occasion.premium_year or 0,
    }
    return Event(kind(**fields), key=row.account_key, occurred_at=occasion.posted_at, cause=str(occasion.settlement_id))
