"""The resident premium (城乡居民医保个人缴费): who may pay it, when, and when it is given back (R7, R10). In fen.

A premium is kept like a bill of its amount of which no fund pays a part; its patient is the insured. So a person has
one request under way at a time, whatever it is, and whatever recovers or tells of settlements does so of premiums.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from settlement.domain.allocate import Grant, Split
from settlement.domain.bill import Bill, MedicalType
from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.state import Order, OrderKind, Premium, Settlement, SettlementState
from settlement.domain.visit import InsuranceStatus, InsuranceType, PersonFacts, day_of, enrolment_on

FUND: Final = "PREMIUM"
"""Stands where a bill has its fixmedins_code; no institution's code is like it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the premium of a year is, and on which days it is collected; first and last day count."""

    year: int
    amount_fen: int
    collect_from: date
    collect_to: date

    def is_collected_on(self, day: date) -> bool:
        """Whether it may be paid on that day."""
        return self.collect_from <= day <= self.collect_to


def premium_order(payment_id: str, insured_psn_no: str, premium: Premium, expected_fen: int | None = None) -> Order:
    """What a request to pay orders, as long as nobody has said what the premium is."""
    return Order(
        fixmedins_code=FUND,
        msgid=payment_id,
        bill=_bill(insured_psn_no, premium.year, 0),
        acct_used_flag=False,
        use_mutual_aid=True,
        expected_acct_mulaid_pay_fen=expected_fen,
        kind=OrderKind.PREMIUM,
        premium=premium,
    )


def priced(order: Order, terms: Terms) -> Order:
    """The order with the amount that is asked for now."""
    return replace(order, bill=_bill(order.bill.psn_no, terms.year, terms.amount_fen))


def _bill(insured_psn_no: str, year: int, amount_fen: int) -> Bill:
    return Bill(
        psn_no=insured_psn_no,
        mdtrt_id=f"{FUND}{year}",
        med_type=MedicalType.UNSPECIFIED,
        medfee_sumamt_fen=amount_fen,
        fund_pay_sumamt_fen=0,
        psn_part_amt_fen=amount_fen,
    )


def is_premium(settlement: Settlement) -> bool:
    """Whether it is a payment of a premium and not of a bill."""
    return settlement.order is not None and settlement.order.premium is not None


def decide_premium_refusal(
    order: Order, insured: PersonFacts | None, terms: Terms | None, now: datetime, *, is_paid: bool
) -> Reason | None:
    """Why this premium must not be paid at `now`, the first reason in the vocabulary's order; None if it may."""
    today = day_of(now)
    if insured is not None and insured.died_on is not None:
        return Reason.DECEASED
    if not _is_resident(insured, today):
        return Reason.NOT_INSURED
    if is_paid:
        return Reason.PREMIUM_ALREADY_PAID
    if terms is None or not terms.is_collected_on(today):
        return Reason.PREMIUM_CLOSED
    if order.expected_acct_mulaid_pay_fen not in {None, terms.amount_fen}:
        return Reason.AMOUNT_CHANGED
    return None


def _is_resident(insured: PersonFacts | None, day: date) -> bool:
    """R3, R8: normally insured under 390 on that day."""
    enrolment = enrolment_on(insured, day) if insured else None
    held = (enrolment.insutype, enrolment.psn_insu_stas) if enrolment else None
    return held == (InsuranceType.RESIDENT, InsuranceStatus.NORMAL)


def of_payer(order: Order, grants: Iterable[Grant]) -> tuple[Grant, ...]:
    """What the order's own payer may give: a premium is one payer's, whoever else there is."""
    if order.premium is None:
        return tuple(grants)
    return tuple(grant for grant in grants if grant.payer_psn_no == order.premium.payer_psn_no)


def why_not_paid(split: Split) -> tuple[str, str | None]:
    """Why the payer could not pay all of a premium, and the window if it was a limit."""
    if not split.declines:
        return str(Reason.NO_RELATION), None
    return str(split.declines[-1].reason), split.declines[-1].window


def check_refundable(settlement: Settlement | None, today: date) -> Settlement:
    """The payment, if it may be given back on that day, or has been given back.

    Raises:
        SettlementRefusedError: NOT_FOUND, IN_PROGRESS or PREMIUM_CLOSED.
    """
    order = settlement.order if settlement else None
    if settlement is None or order is None or order.premium is None:
        raise SettlementRefusedError(Reason.NOT_FOUND, "there is no payment of a premium of this premium_id")
    if settlement.state is SettlementState.PENDING:
        raise SettlementRefusedError(Reason.IN_PROGRESS, "this premium is being paid; send the same again in a moment")
    if settlement.state in {SettlementState.REFUSED, SettlementState.ABANDONED}:
        raise SettlementRefusedError(Reason.NOT_FOUND, "this payment took nothing, so nothing can be given back")
    if settlement.state is SettlementState.SETTLED and today.year >= order.premium.year:
        raise SettlementRefusedError(
            Reason.PREMIUM_CLOSED, "the year has begun: its premium is not given back any more"
        )
    return settlement
