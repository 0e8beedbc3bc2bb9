"""What the model says to an answer of which a record is left."""

from collections.abc import Callable, Mapping
from typing import Final

from model.play import Sent
from support.ledger_model import Bill

from gongji.binding.v1 import relation_pb2
from gongji.common.v1 import reason_pb2
from gongji.settlement.v1 import account_pb2, premium_pb2, settlement_pb2

ENDS: Final = {
    "HELD": {"HELD"},
    "SETTLED": {"USED"},
    "REVERSED": {"USED"},
    "FREED": {"EXPIRED", "CANCELLED"},
}
"""Where a quote stands, by what its bill is."""


def wrong_answer(sent: Sent, bill: Bill | None, about: Bill | None) -> str | None:
    """What is wrong with an answer; empty if nothing is, None if nothing that was written tells.

    Args:
        sent: the request with its answer.
        bill: what is recorded under its id.
        about: what is recorded of the earlier request that it is about.
    """
    if sent.refusal and sent.wish.kind in {"close", "freeze", "unfreeze", "contribute"}:
        return None  # as the account stood when it was looked at
    if sent.wish.kind in _OF_NO_BILL:
        return _OF_NO_BILL[sent.wish.kind](sent, about)
    if bill is None:
        return None
    if bill.state in {"REFUSED", "ABANDONED"}:
        return _refusal(sent, bill)
    if sent.refusal:
        return f"refused for {sent.refusal}, the model has {bill.state}"
    return _premium(sent, bill) if bill.only_payer else _bill(sent, bill)


def _refusal(sent: Sent, bill: Bill) -> str:
    found, expected = (sent.refusal, ""), (bill.reason or "ABANDONED", "")
    if bill.only_payer and bill.declines:
        found, expected = (sent.refusal, sent.window), bill.declines[-1][1:]
    return _unless(found == expected, f"answered {found}, the model has {expected}")


def _bill(sent: Sent, bill: Bill) -> str:
    if isinstance(sent.answer, settlement_pb2.PreSettleResponse):
        return _split(sent.answer.quote.split, bill, bill.shown)
    settlement = getattr(sent.answer, "settlement", sent.answer)
    if not isinstance(settlement, settlement_pb2.Settlement):
        return f"answered {sent.answer}"
    return _split(settlement.split, bill, bill.after) or _state(settlement, bill)


def _state(settlement: settlement_pb2.Settlement, bill: Bill) -> str:
    state = settlement_pb2.SettlementState.Name(settlement.state).removeprefix("SETTLEMENT_STATE_")
    if state == "SETTLED":
        return ""  # as it was when this was answered
    found = state, [(each.psn_no, each.amount, each.balance_after) for each in settlement.refunds]
    given_back = list(bill.payments()) if bill.state == "REVERSED" else []
    expected = bill.state, [(owner, fen, bill.refunded[owner]) for owner, fen in given_back]
    return _unless(found == expected, f"answered {found}, the model has {expected}")


def split_told(split: settlement_pb2.Split) -> tuple[object, ...]:
    """A split as the model would tell it."""
    lines = [(line.payer_psn_no, line.amount, line.balance_after) for line in split.lines]
    declines = [(each.payer_psn_no, reason_name(each.reason), window_name(each.window)) for each in split.declines]
    balance = split.balc if split.HasField("balc") else None
    return split.acct_pay, split.acct_mulaid_pay, split.psn_cash_pay, balance, lines, declines


def _split(split: settlement_pb2.Split, bill: Bill, after: dict[str, int]) -> str:
    lines = [(payer, fen, after[payer]) for payer, fen in bill.lines]
    expected = bill.acct_pay, bill.aid_pay, bill.cash, after.get(bill.patient), lines, bill.declines
    found = split_told(split)
    return _unless(found == expected, f"split {found}, the model has {expected}")


def _premium(sent: Sent, bill: Bill) -> str:
    if not isinstance(sent.answer, premium_pb2.PayPremiumResponse):
        return f"answered {sent.answer}"
    paid = sent.answer.premium
    found = paid.payer_psn_no, paid.amount, paid.balance_after
    expected = (*bill.lines[0], bill.after[bill.only_payer])
    return _unless(found == expected, f"paid {found}, the model has {expected}")


def _refund(sent: Sent, about: Bill | None) -> str:
    if about is None:
        return "a premium is given back of which nothing is known"
    if sent.refusal:
        is_late = about.state == "SETTLED" and sent.at.year >= about.premium_year
        return _unless(is_late and sent.refusal == "PREMIUM_CLOSED", f"refused for {sent.refusal}")
    if not isinstance(sent.answer, premium_pb2.RefundPremiumResponse):
        return f"answered {sent.answer}"
    found = sent.answer.premium.balance_after_refund
    expected = about.refunded.get(about.only_payer)
    return _unless(about.state == "REVERSED" and found == expected, f"balance {found}, the model has {expected}")


def _reversal(sent: Sent, about: Bill | None) -> str:
    if about is None:
        return "no record is left of what was reversed"
    if sent.wish.of is not None and sent.wish.of.kind == "hold" and about.state != "ABANDONED":
        return _unless(sent.refusal == "NOT_FOUND", f"a held preview was reversed: {sent.refusal}")
    if not isinstance(sent.answer, settlement_pb2.ReverseResponse):
        return f"refused for {sent.refusal}"
    if about.state == "SETTLED":
        return "answered as reversed, the model has SETTLED"
    return _state(sent.answer.settlement, about)


def _cancelled(sent: Sent, about: Bill | None) -> str:
    if about is None or not isinstance(sent.answer, settlement_pb2.CancelQuoteResponse):
        return f"refused for {sent.refusal}"
    state = settlement_pb2.QuoteState.Name(sent.answer.quote.state).removeprefix("QUOTE_STATE_")
    return _unless(state in ENDS[about.state], f"answered {state}, the model has {about.state}")


def _changed(sent: Sent, about: Bill | None) -> str:
    del about
    if sent.refusal:
        return ""  # what a relation that has ended refuses is told by what is left of it
    if isinstance(sent.answer, account_pb2.Account):
        state = account_pb2.AccountState.Name(sent.answer.state).removeprefix("ACCOUNT_STATE_")
        return _unless(state == {"freeze": "FROZEN", "unfreeze": "OPEN"}[sent.wish.kind], f"the account is {state}")
    if isinstance(sent.answer, account_pb2.CloseAccountResponse):
        return _unless(sent.answer.account.state == account_pb2.ACCOUNT_STATE_CLOSED, "the account is not closed")
    if isinstance(sent.answer, relation_pb2.Relation) and sent.wish.kind == "limits":
        found = {field.name.removesuffix("_fen"): fen for field, fen in sent.answer.limits.ListFields()}
        return _unless(found == sent.wish.limits, f"limits are {found}")
    return ""


def _credited(sent: Sent, about: Bill | None) -> str:
    del about
    return _unless(not sent.refusal, f"refused for {sent.refusal}")


_OF_NO_BILL: Final[Mapping[str, Callable[[Sent, Bill | None], str]]] = {
    "reverse": _reversal,
    "cancel": _cancelled,
    "refund": _refund,
    "contribute": _credited,
    **dict.fromkeys(("freeze", "unfreeze", "close", "limits", "suspend", "resume", "unbind"), _changed),
    **dict.fromkeys(("pay out", "arrears", "catch up", "die"), lambda _sent, _about: ""),
}


def reason_name(reason: int) -> str:
    return reason_pb2.Reason.Name(reason_pb2.Reason.ValueType(reason)).removeprefix("REASON_")


def window_name(window: int) -> str:
    """In small letters; empty where there is none."""
    name = settlement_pb2.LimitWindow.Name(settlement_pb2.LimitWindow.ValueType(window))
    return name.removeprefix("LIMIT_WINDOW_").lower() if window else ""


def _unless(is_right: bool, why: str) -> str:  # noqa: FBT001 - reads as a sentence
    return "" if is_right else why
