"""The reasons about a visit, each alone and of several the first."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from settlement.domain.bill import Bill, BillItem, InstitutionType, ItemKind, MedicalType, adds_up, in_scope
from settlement.domain.reasons import Reason
from settlement.domain.refusal import Visit, covers, decide_refusal
from settlement.domain.visit import (
    Designation,
    EnrolmentFact,
    Filed,
    InstitutionFacts,
    InsuranceStatus,
    InsuranceType,
    PersonFacts,
    Projection,
    VisitFacts,
)
from settlement.testing import HOSPITAL, TEN_O_CLOCK, bill, enrolment, visit

ORDER = [
    Reason.CREDENTIAL_INVALID,
    Reason.CREDENTIAL_EXPIRED,
    Reason.INSTITUTION_NOT_DESIGNATED,
    Reason.INSTITUTION_NO_REMOTE_SETTLEMENT,
    Reason.REMOTE_CARE_UNFILED,
    Reason.DECEASED,
    Reason.NOT_INSURED,
    Reason.NOT_OWN_BILL,
    Reason.OUT_OF_SCOPE,
    Reason.BILL_ARITHMETIC,
]
AWAY = "310104"
LATER = TEN_O_CLOCK + timedelta(minutes=1)
EARLIER = TEN_O_CLOCK - timedelta(minutes=1)


def decide(of: Bill | None = None, facts: VisitFacts | None = None, **changes: Any) -> Reason | None:
    usual: dict[str, Any] = {"fixmedins_code": HOSPITAL, "bound_mdtrt_id": None, "projection": Projection()}
    now = changes.pop("now", TEN_O_CLOCK)
    return decide_refusal(Visit(bill=of or bill(), facts=facts or visit("child"), **{**usual, **changes}), now)


def spoil(reason: Reason, of: Bill, facts: VisitFacts) -> tuple[Bill, VisitFacts]:
    """The same visit with one more thing against it."""
    worse: dict[Reason, dict[str, Any]] = {
        Reason.CREDENTIAL_INVALID: {"fixmedins_code": "H65270100002"},
        Reason.CREDENTIAL_EXPIRED: {"expires_at": TEN_O_CLOCK},
        Reason.INSTITUTION_NOT_DESIGNATED: {"designated": False},
        Reason.INSTITUTION_NO_REMOTE_SETTLEMENT: {"remote_settlement": False, "mdtrtarea_admvs": AWAY},
        Reason.REMOTE_CARE_UNFILED: {"mdtrtarea_admvs": AWAY, "filed": (Filed("320000"), Filed("310200"))},
        Reason.DECEASED: {"deceased": True},
        Reason.NOT_INSURED: {"enrolment": None},
        Reason.NOT_OWN_BILL: {"psn_no": "baby"},
    }
    if reason is Reason.OUT_OF_SCOPE:
        return replace(of, items=(BillItem(ItemKind.NON_MEDICAL, of.medfee_sumamt_fen),)), facts
    if reason is Reason.BILL_ARITHMETIC:
        return replace(of, fund_pay_sumamt_fen=of.fund_pay_sumamt_fen + 1), facts
    return of, replace(facts, **worse[reason])


def test_a_good_visit_is_not_refused() -> None:
    assert decide() is None


@pytest.mark.parametrize("reason", ORDER)
def test_each_reason_is_told_when_it_is_the_only_one(reason: Reason) -> None:
    facts = visit("child", filed=(Filed("310000"),))
    assert decide(*spoil(reason, bill(), facts)) is reason


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_of_several_reasons_the_first_in_order_is_told(first: int) -> None:
    of, facts = bill(), visit("child")
    for reason in reversed(ORDER[first:]):
        of, facts = spoil(reason, of, facts)
    facts = replace(facts, mdtrtarea_admvs=AWAY if first <= ORDER.index(Reason.REMOTE_CARE_UNFILED) else "652701")
    assert decide(of, facts) is ORDER[first]


def test_a_credential_that_nobody_signed_is_invalid() -> None:
    unread = Visit(HOSPITAL, bill(), None, None, Projection())
    assert decide_refusal(unread, TEN_O_CLOCK) is Reason.CREDENTIAL_INVALID


def test_a_credential_that_belongs_to_another_visit_is_invalid() -> None:
    assert decide(bound_mdtrt_id="another") is Reason.CREDENTIAL_INVALID
    assert decide(bound_mdtrt_id="visit-child") is None


def test_a_credential_is_good_until_the_moment_that_it_names() -> None:
    expires_at = visit("child").expires_at
    assert decide(now=expires_at - timedelta(microseconds=1)) is None
    assert decide(now=expires_at) is Reason.CREDENTIAL_EXPIRED


@pytest.mark.parametrize(
    "status",
    [InsuranceStatus.SUSPENDED, InsuranceStatus.INVALID, InsuranceStatus.ENDED, InsuranceStatus.NOT_INSURED],
)
def test_only_normal_standing_is_insured(status: InsuranceStatus) -> None:
    assert decide(facts=visit("child", enrolment=enrolment(status))) is Reason.NOT_INSURED


@pytest.mark.parametrize(
    ("filed", "covered"),
    [("310000", True), ("310100", True), ("310200", False), ("320000", False), ("650000", False)],
)
def test_a_filing_covers_its_province_or_its_city(filed: str, *, covered: bool) -> None:
    assert covers(filed, AWAY) is covered
    refusal = decide(facts=visit("child", mdtrtarea_admvs=AWAY, filed=(Filed(filed),)))
    assert (refusal is None) is covered


def test_inside_the_home_region_neither_filing_nor_remote_settlement_is_needed() -> None:
    assert decide(facts=visit("child", mdtrtarea_admvs="650102", remote_settlement=False)) is None


class TestNewerOfTheTwo:
    def person(self, status: InsuranceStatus, as_of: datetime, **dates: date) -> Projection:
        told = enrolment(status, **{"valid_from": date(2025, 1, 1), **dates})
        return Projection(PersonFacts(None, (EnrolmentFact(told, as_of),)))

    def test_a_later_event_wins_over_the_credential(self) -> None:
        suspended = self.person(InsuranceStatus.SUSPENDED, LATER)
        assert decide(projection=suspended, now=LATER) is Reason.NOT_INSURED

    def test_an_earlier_event_does_not(self) -> None:
        assert decide(projection=self.person(InsuranceStatus.SUSPENDED, EARLIER)) is None

    def test_an_earlier_event_does_not_cure_what_the_credential_says(self) -> None:
        facts = visit("child", enrolment=enrolment(InsuranceStatus.SUSPENDED))
        assert decide(facts=facts, projection=self.person(InsuranceStatus.NORMAL, EARLIER)) is Reason.NOT_INSURED
        assert decide(facts=facts, projection=self.person(InsuranceStatus.NORMAL, LATER), now=LATER) is None

    def test_an_enrolment_that_has_not_begun_does_not_count_yet(self) -> None:
        july = self.person(InsuranceStatus.SUSPENDED, LATER, valid_from=date(2025, 7, 1))
        assert decide(projection=july, now=LATER) is None

    def test_an_enrolment_that_ends_at_midnight_ends_for_a_credential_of_the_evening_too(self) -> None:
        evening = datetime.fromisoformat("2025-06-10T23:59:00+08:00")
        facts = visit("child", issued_at=evening, expires_at=evening + timedelta(minutes=15))
        ending = self.person(InsuranceStatus.NORMAL, EARLIER, valid_to=date(2025, 6, 10))
        assert decide(facts=facts, projection=ending, now=evening + timedelta(seconds=59)) is None
        assert decide(facts=facts, projection=ending, now=evening + timedelta(seconds=60)) is Reason.NOT_INSURED

    def test_an_enrolment_that_begins_at_midnight_replaces_what_the_credential_says(self) -> None:
        evening = datetime.fromisoformat("2025-06-10T23:59:00+08:00")
        facts = visit("child", issued_at=evening, expires_at=evening + timedelta(minutes=15))
        beginning = self.person(InsuranceStatus.ENDED, EARLIER, valid_from=date(2025, 6, 11))
        assert decide(facts=facts, projection=beginning, now=evening) is None
        assert decide(facts=facts, projection=beginning, now=evening + timedelta(minutes=1)) is Reason.NOT_INSURED

    def test_a_death_that_either_source_knows_of_is_told(self) -> None:
        assert decide(projection=Projection(PersonFacts(date(2025, 6, 1)))) is Reason.DECEASED
        assert decide(facts=visit("child", deceased=True)) is Reason.DECEASED

    def institution(self, as_of: datetime, **changes: Any) -> Projection:
        usual: dict[str, Any] = {
            "fixmedins_type": InstitutionType.MEDICAL,
            "admdvs": "652701",
            "designations": (Designation(date(2025, 1, 1)),),
            "remote_settlement": True,
            "suspended": False,
            "as_of": as_of,
        }
        return Projection(None, InstitutionFacts(**{**usual, **changes}))

    @pytest.mark.parametrize(
        "changes",
        [
            {"suspended": True},
            {"designations": ()},
            {"designations": (Designation(date(2025, 1, 1), date(2025, 6, 9)),)},
        ],
    )
    def test_an_institution_that_was_suspended_since_is_refused(self, changes: dict[str, Any]) -> None:
        later = self.institution(LATER, **changes)
        assert decide(projection=later, now=LATER) is Reason.INSTITUTION_NOT_DESIGNATED

    def test_an_earlier_suspension_that_the_credential_no_longer_shows_is_over(self) -> None:
        assert decide(projection=self.institution(EARLIER, suspended=True)) is None

    def test_a_designation_that_ends_at_midnight_ends_for_a_credential_of_the_evening_too(self) -> None:
        evening = datetime.fromisoformat("2025-06-10T23:59:00+08:00")
        facts = visit("child", issued_at=evening, expires_at=evening + timedelta(minutes=15))
        ending = self.institution(EARLIER, designations=(Designation(date(2025, 1, 1), date(2025, 6, 10)),))
        assert decide(facts=facts, projection=ending, now=evening) is None
        after = evening + timedelta(minutes=1)
        assert decide(facts=facts, projection=ending, now=after) is Reason.INSTITUTION_NOT_DESIGNATED

    def test_an_insurance_that_changed_since_is_the_one_that_counts(self) -> None:
        told = replace(enrolment(), insutype=InsuranceType.EMPLOYEE)
        assert decide(projection=Projection(PersonFacts(None, (EnrolmentFact(told, LATER),))), now=LATER) is None


class TestBill:
    @pytest.mark.parametrize(
        ("changes", "right"),
        [
            ({}, True),
            ({"fund_pay_sumamt_fen": 1}, False),
            ({"hosp_part_amt_fen": 1}, False),
            ({"medfee_sumamt_fen": 9001}, False),
            ({"medfee_sumamt_fen": 9100, "fund_pay_sumamt_fen": 60, "hosp_part_amt_fen": 40}, True),
            ({"items": (BillItem(ItemKind.DRUG, 9000),)}, True),
            ({"items": (BillItem(ItemKind.DRUG, 8999),)}, False),
            ({"items": (BillItem(ItemKind.DRUG, 4000), BillItem(ItemKind.DEVICE, 5000))}, True),
            ({"act_pay_dedc_fen": 9000}, True),
            ({"act_pay_dedc_fen": 9001}, False),
            ({"fulamt_ownpay_amt_fen": 9000}, True),
            ({"fulamt_ownpay_amt_fen": 9001}, False),
            ({"fulamt_ownpay_amt_fen": 5000, "overlmt_selfpay_fen": 4001}, False),
            ({"fulamt_ownpay_amt_fen": 1, "overlmt_selfpay_fen": 2, "preselfpay_amt_fen": 3}, True),
            (
                {
                    "fulamt_ownpay_amt_fen": 1,
                    "overlmt_selfpay_fen": 2,
                    "preselfpay_amt_fen": 3,
                    "inscp_scp_amt_fen": 8994,
                },
                True,
            ),
            (
                {
                    "fulamt_ownpay_amt_fen": 1,
                    "overlmt_selfpay_fen": 2,
                    "preselfpay_amt_fen": 3,
                    "inscp_scp_amt_fen": 8993,
                },
                False,
            ),
        ],
    )
    def test_amounts_have_to_agree_with_each_other(self, changes: dict[str, Any], *, right: bool) -> None:
        assert adds_up(bill("child", 9000, **changes)) is right

    @pytest.mark.parametrize(
        ("kinds", "at", "paid"),
        [
            ([], InstitutionType.MEDICAL, True),
            ([ItemKind.SERVICE, ItemKind.DRUG], InstitutionType.MEDICAL, True),
            ([ItemKind.SERVICE, ItemKind.NON_MEDICAL], InstitutionType.MEDICAL, False),
            ([ItemKind.DRUG, ItemKind.DEVICE, ItemKind.CONSUMABLE], InstitutionType.PHARMACY, True),
            ([ItemKind.SERVICE], InstitutionType.PHARMACY, False),
            ([ItemKind.NON_MEDICAL], InstitutionType.PHARMACY, False),
        ],
    )
    def test_what_may_be_paid_for_depends_on_where(
        self, kinds: list[ItemKind], at: InstitutionType, *, paid: bool
    ) -> None:
        assert in_scope(bill(items=tuple(BillItem(kind, 1) for kind in kinds)), at) is paid

    @pytest.mark.parametrize("med_type", MedicalType)
    def test_every_kind_of_treatment_has_its_clearing_column(self, med_type: MedicalType) -> None:
        columns = {0: 99, 11: 11, 13: 11, 14: 11, 21: 21, 22: 21, 24: 21, 41: 41}
        assert bill(med_type=med_type).clr_type == columns[med_type]


class TestCredentialOfAStay:
    @pytest.mark.parametrize("med_type", MedicalType)
    def test_it_is_good_for_inpatient_bills_only(self, med_type: MedicalType) -> None:
        inpatient = med_type in {21, 22, 24}
        refused = decide(bill(med_type=med_type), visit("child", inpatient=True))
        assert refused is (None if inpatient else Reason.CREDENTIAL_INVALID)

    def test_one_of_a_visit_is_good_for_an_inpatient_bill_while_it_lives(self) -> None:
        assert decide(bill(med_type=MedicalType.INPATIENT)) is None

    @pytest.mark.parametrize(
        ("at", "refused"),
        [
            ("2025-06-12T23:59:59+08:00", None),
            ("2025-06-13T00:00:00+08:00", Reason.REMOTE_CARE_UNFILED),
        ],
    )
    def test_a_filing_that_ends_during_the_stay_is_over_by_its_end(self, at: str, refused: Reason | None) -> None:
        now = datetime.fromisoformat(at)
        filed = (Filed("310000", date(2025, 6, 12)), Filed("320000"))
        facts = visit("child", mdtrtarea_admvs=AWAY, inpatient=True, filed=filed, expires_at=now + timedelta(days=1))
        assert decide(bill(med_type=MedicalType.INPATIENT), facts, now=now) is refused


class TestSeveralDesignations:
    PERIODS = (Designation(date(2020, 1, 1), date(2025, 6, 10)), Designation(date(2025, 6, 12)))

    def decide_at(self, text: str) -> Reason | None:
        now = datetime.fromisoformat(text)
        told = InstitutionFacts(InstitutionType.MEDICAL, "652701", self.PERIODS, True, False, EARLIER)
        facts = visit("child", inpatient=True, expires_at=now + timedelta(days=1))
        stay = bill(med_type=MedicalType.INPATIENT)
        return decide(stay, facts, projection=Projection(None, told), now=now)

    @pytest.mark.parametrize("at", ["2025-06-10T23:59:59+08:00", "2025-06-12T00:00:00+08:00"])
    def test_it_is_settled_with_in_each_of_them(self, at: str) -> None:
        assert self.decide_at(at) is None

    @pytest.mark.parametrize("at", ["2025-06-11T00:00:00+08:00", "2025-06-11T23:59:59+08:00"])
    def test_and_not_between_them(self, at: str) -> None:
        assert self.decide_at(at) is Reason.INSTITUTION_NOT_DESIGNATED
