"""Findings, filings and vouchers, against tables that are written out by hand."""

import itertools
from datetime import date, timedelta
from uuid import UUID

import pytest

from gongji.common.v1 import reason_pb2
from identity.domain.enrolment import Enrolment, InsuranceStatus
from identity.domain.institution import Designation, Institution, KnownInstitution, change, designated_on, register
from identity.domain.refusals import VoucherInvalid
from identity.domain.remote_care import RemoteFiling, covers, in_force
from identity.domain.visit import Finding, Visit, Voucher, findings, show_voucher
from identity.testing import HOSPITAL, NOW, TODAY, enrolment, institution, person

JTI = UUID(int=1)


def visit(
    *,
    admdvs: str = "652701",
    remote_settlement: bool = True,
    designated: bool = True,
    died_on: date | None = None,
    held: Enrolment | None = enrolment(),  # noqa: B008 - frozen
    filed: tuple[str, ...] = (),
) -> Visit:
    return Visit(
        JTI,
        person(died_on=died_on),
        institution(admdvs=admdvs, remote_settlement=remote_settlement),
        held,
        tuple(RemoteFiling(JTI, "P1", region, date(2025, 1, 1)) for region in filed),
        designated,
        NOW,
        NOW,
    )


def regions(filings: list[RemoteFiling], day: date) -> tuple[str, ...]:
    return tuple(sorted({filing.admdvs for filing in in_force(filings, day)}))


def told(**facts: object) -> list[str]:
    return [str(finding) for finding in findings(visit(**facts), "65")]  # type: ignore[arg-type]


TABLE = [
    # where, remote settlement, filed → what is found
    ("652701", True, False, []),
    ("650102", False, False, []),
    ("310104", True, True, []),
    ("310104", True, False, ["REMOTE_CARE_UNFILED"]),
    ("310104", False, True, ["INSTITUTION_NO_REMOTE_SETTLEMENT"]),
    ("310104", False, False, ["INSTITUTION_NO_REMOTE_SETTLEMENT", "REMOTE_CARE_UNFILED"]),
]


@pytest.mark.parametrize(("admdvs", "remote", "filed", "expected"), TABLE)
@pytest.mark.parametrize(("designated", "dead", "insured"), list(itertools.product([True, False], repeat=3)))
def test_everything_that_stands_against_a_settlement_is_told_in_the_vocabularys_order(
    *,
    admdvs: str,
    remote: bool,
    filed: bool,
    expected: list[str],
    designated: bool,
    dead: bool,
    insured: bool,
) -> None:
    before = [] if designated else ["INSTITUTION_NOT_DESIGNATED"]
    after = (["DECEASED"] if dead else []) + ([] if insured else ["NOT_INSURED"])
    found = told(
        admdvs=admdvs,
        remote_settlement=remote,
        filed=("310000",) if filed else (),
        designated=designated,
        died_on=TODAY if dead else None,
        held=enrolment() if insured else None,
    )
    assert found == before + expected + after


def test_the_order_of_findings_is_the_order_of_the_contracts_numbers() -> None:
    numbers = [reason_pb2.Reason.Value(f"REASON_{finding}") for finding in Finding]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("status", [one for one in InsuranceStatus if one is not InsuranceStatus.NORMAL])
def test_only_a_normal_standing_is_insured(status: InsuranceStatus) -> None:
    assert told(held=enrolment(psn_insu_stas=status)) == ["NOT_INSURED"]


def test_arrears_of_the_patient_stand_against_nothing() -> None:
    assert told(held=enrolment(arrears=True)) == []


def test_another_home_region_moves_the_border() -> None:
    assert findings(visit(admdvs="310104", filed=()), "31") == []
    assert findings(visit(admdvs="652701", filed=()), "6523") == [Finding.REMOTE_CARE_UNFILED]


@pytest.mark.parametrize(
    ("filed", "at", "covered"),
    [
        ("310000", "310104", True),
        ("310000", "320104", False),
        ("320100", "320104", True),
        ("320100", "320204", False),
        ("320000", "320204", True),
        ("320100", "320100", True),
    ],
)
def test_a_filing_covers_its_province_or_its_city(filed: str, at: str, *, covered: bool) -> None:
    assert covers(filed, at) is covered


def test_filings_count_from_their_first_to_their_last_day() -> None:
    filings = [
        RemoteFiling(JTI, "P1", "310000", date(2025, 6, 10), date(2025, 6, 10)),
        RemoteFiling(JTI, "P1", "110000", date(2025, 6, 10)),
        RemoteFiling(JTI, "P1", "310000", date(2025, 6, 9), date(2025, 6, 10)),
    ]
    assert regions(filings, date(2025, 6, 8)) == ()
    assert regions(filings, date(2025, 6, 9)) == ("310000",)
    assert regions(filings, date(2025, 6, 10)) == ("110000", "310000")
    assert regions(filings, date(2025, 6, 11)) == ("110000",)


@pytest.mark.parametrize(
    ("known", "designated"),
    [
        (institution(), True),
        (institution(designations=(Designation(TODAY, TODAY),)), True),
        (institution(designations=()), False),
        (institution(designations=(Designation(TODAY + timedelta(days=1)),)), False),
        (institution(designations=(Designation(date(2020, 1, 1), TODAY - timedelta(days=1)),)), False),
        (institution(suspended=True), False),
    ],
)
def test_an_institution_is_designated_from_its_first_to_its_last_day_unless_suspended(
    known: Institution,
    *,
    designated: bool,
) -> None:
    assert designated_on(known, TODAY) is designated


def test_only_a_real_change_of_an_institution_counts() -> None:
    first = register(None, institution())
    assert first == KnownInstitution(institution(), 1)
    assert register(first, institution()) is first
    assert register(first, institution(suspended=True)).version == 2


def test_what_two_operators_suspended_the_feed_does_not_lift() -> None:
    held = change(register(None, institution()), institution(suspended=True))
    assert register(held, institution()) is held
    moved = register(held, institution(admdvs="652722"))
    assert moved == KnownInstitution(institution(admdvs="652722", suspended=True), 3, suspended_by_operators=True)
    lifted = change(moved, institution())
    assert lifted == KnownInstitution(institution(), 4)
    assert not register(register(lifted, institution(suspended=True)), institution()).institution.suspended


def test_what_the_feed_suspended_it_lifts_whatever_else_operators_changed_since() -> None:
    by_the_feed = register(None, institution(suspended=True))
    renamed = change(by_the_feed, institution(suspended=True, fixmedins_name="新名"))
    assert not register(renamed, institution(fixmedins_name="新名")).institution.suspended


def test_a_voucher_is_bound_to_the_institution_that_identified_it_first() -> None:
    voucher = Voucher("P1", NOW + timedelta(seconds=60))
    bound = show_voucher(voucher, HOSPITAL, NOW)
    assert bound.fixmedins_code == HOSPITAL
    assert show_voucher(bound, HOSPITAL, NOW) == bound
    with pytest.raises(VoucherInvalid):
        show_voucher(bound, "H65270100002", NOW)


def test_a_voucher_is_good_until_the_moment_it_runs_out() -> None:
    voucher = Voucher("P1", NOW)
    assert show_voucher(voucher, HOSPITAL, NOW - timedelta(microseconds=1)).psn_no == "P1"
    with pytest.raises(VoucherInvalid):
        show_voucher(voucher, HOSPITAL, NOW)


def test_an_unknown_voucher_is_refused_in_the_same_words_as_one_that_ran_out() -> None:
    with pytest.raises(VoucherInvalid) as unknown:
        show_voucher(None, HOSPITAL, NOW)
    with pytest.raises(VoucherInvalid) as run_out:
        show_voucher(Voucher("P1", NOW), HOSPITAL, NOW)
    assert str(unknown.value) == str(run_out.value)
