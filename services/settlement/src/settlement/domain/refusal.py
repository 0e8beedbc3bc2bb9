"""Whether a visit's bill may be settled at all: the reasons about the visit, the first in order is told (R8)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from settlement.domain.bill import Bill, InstitutionType, adds_up, in_scope, is_inpatient
from settlement.domain.reasons import Reason
from settlement.domain.visit import InsuranceStatus, Projection, VisitFacts, day_of, freshest

_PROVINCE_DIGITS = 2
_CITY_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Visit:
    """A bill at an institution, and what is known about the visit."""

    fixmedins_code: str
    bill: Bill
    facts: VisitFacts | None
    """None: the credential was not issued by identity for settlement."""
    bound_mdtrt_id: str | None
    """The visit that the credential belongs to since its first settlement; None before that."""
    projection: Projection


def decide_refusal(visit: Visit, now: datetime, home_region_prefix: str = "65") -> Reason | None:
    """Why this bill must not be settled at `now`, the first reason in the vocabulary's order; None if it may."""
    return next(_reasons(visit, now, home_region_prefix), None)


def _reasons(visit: Visit, now: datetime, home_region_prefix: str) -> Iterator[Reason]:
    facts = visit.facts
    if facts is None or not _credential_fits(visit, facts):
        yield Reason.CREDENTIAL_INVALID
        return
    if now >= facts.expires_at:
        yield Reason.CREDENTIAL_EXPIRED
    facts = freshest(facts, visit.projection, now)
    yield from _about_institution(facts, home_region_prefix, day_of(now))
    yield from _about_patient(facts)
    yield from _about_the_bill(visit.bill, facts.psn_no, facts.fixmedins_type)


def _credential_fits(visit: Visit, facts: VisitFacts) -> bool:
    own_visit = visit.bound_mdtrt_id in {None, visit.bill.mdtrt_id}
    # What lives for a whole stay must not be worth a month of outpatient bills.
    of_its_kind = not facts.inpatient or is_inpatient(visit.bill)
    return facts.fixmedins_code == visit.fixmedins_code and own_visit and of_its_kind


def _about_institution(facts: VisitFacts, home_region_prefix: str, today: date) -> Iterator[Reason]:
    if not facts.designated:
        yield Reason.INSTITUTION_NOT_DESIGNATED
    if facts.mdtrtarea_admvs.startswith(home_region_prefix):
        return
    if not facts.remote_settlement:
        yield Reason.INSTITUTION_NO_REMOTE_SETTLEMENT
    # The day of a settlement is the day it is settled (R14): a filing that ended during a stay is over.
    if not any(filed.holds_on(today) and covers(filed.admdvs, facts.mdtrtarea_admvs) for filed in facts.filed):
        yield Reason.REMOTE_CARE_UNFILED


def _about_patient(facts: VisitFacts) -> Iterator[Reason]:
    if facts.deceased:
        yield Reason.DECEASED
    if facts.enrolment is None or facts.enrolment.psn_insu_stas is not InsuranceStatus.NORMAL:
        yield Reason.NOT_INSURED


def _about_the_bill(bill: Bill, psn_no: str, fixmedins_type: InstitutionType) -> Iterator[Reason]:
    if bill.psn_no != psn_no:
        yield Reason.NOT_OWN_BILL
    if not in_scope(bill, fixmedins_type):
        yield Reason.OUT_OF_SCOPE
    if not adds_up(bill):
        yield Reason.BILL_ARITHMETIC


def decide_refusal_again(bill: Bill, psn_no: str, fixmedins_type: InstitutionType) -> Reason | None:
    """Why the bill of a settlement of `psn_no` must not be settled again as this one; None if it may (R12).

    Patient and insurance are the first settlement's, so only the bill itself is looked at.
    """
    return next(_about_the_bill(bill, psn_no, fixmedins_type), None)


def covers(filed_admdvs: str, admdvs: str) -> bool:
    """Whether a filing (异地就医备案) for one region covers another: xx0000 the province, xxxx00 the city."""
    province_wide = filed_admdvs[_PROVINCE_DIGITS:] == "0000"
    digits = _PROVINCE_DIGITS if province_wide else _CITY_DIGITS
    return filed_admdvs[:digits] == admdvs[:digits]
