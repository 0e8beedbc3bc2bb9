"""What a msgid is bound to, and what it is not."""

import hashlib
from dataclasses import fields, replace
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from settlement.domain.bill import Bill, BillItem, ItemKind, MedicalType
from settlement.domain.body_hash import UnknownHashVersionError, order_fingerprint, reversal_fingerprint
from settlement.domain.premiums import Terms, premium_order, priced
from settlement.domain.state import Order, OrderKind, Premium
from settlement.testing import bill, settle

ITEMS = (BillItem(ItemKind.DRUG, 4000), BillItem(ItemKind.SERVICE, 5000))
BASE = settle(1, bill("child", 9000, items=ITEMS)).order

OF_BILL: dict[str, Any] = {
    "psn_no": "baby",
    "mdtrt_id": "another",
    "med_type": MedicalType.CHRONIC,
    "medfee_sumamt_fen": 9001,
    "fund_pay_sumamt_fen": 1,
    "psn_part_amt_fen": 8999,
    "hosp_part_amt_fen": 1,
    "fulamt_ownpay_amt_fen": 0,
    "overlmt_selfpay_fen": 0,
    "preselfpay_amt_fen": 0,
    "inscp_scp_amt_fen": 0,
    "act_pay_dedc_fen": 0,
    "items": ITEMS[::-1],
}
OF_ORDER: dict[str, Any] = {
    "fixmedins_code": "H65270100002",
    "acct_used_flag": False,
    "use_mutual_aid": False,
    "expected_acct_pay_fen": 0,
    "expected_acct_mulaid_pay_fen": 0,
    "kind": OrderKind.QUOTE,
    "quote_id": UUID(int=1),
    "replaces": UUID(int=1),
}


def test_every_field_of_bill_and_order_is_tried_here() -> None:
    assert {field.name for field in fields(Bill)} == set(OF_BILL)
    assert {field.name for field in fields(Order)} == set(OF_ORDER) | {"bill", "msgid", "premium"}


@pytest.mark.parametrize("name", OF_BILL)
def test_another_bill_is_another_body(name: str) -> None:
    changed = replace(BASE, bill=replace(BASE.bill, **{name: OF_BILL[name]}))
    assert order_fingerprint(changed) != order_fingerprint(BASE)


@pytest.mark.parametrize("name", OF_ORDER)
def test_another_wish_is_another_body(name: str) -> None:
    assert order_fingerprint(replace(BASE, **{name: OF_ORDER[name]})) != order_fingerprint(BASE)


def test_items_that_run_together_differently_are_another_body() -> None:
    one = replace(BASE, bill=replace(BASE.bill, items=(BillItem(ItemKind.DRUG, 11), BillItem(ItemKind.DRUG, 1))))
    other = replace(BASE, bill=replace(BASE.bill, items=(BillItem(ItemKind.DRUG, 1), BillItem(ItemKind.DRUG, 11))))
    assert order_fingerprint(one) != order_fingerprint(other)


def test_the_msgid_itself_is_not_part_of_the_body() -> None:
    assert order_fingerprint(replace(BASE, msgid="H65270100001202506101000009999")) == order_fingerprint(BASE)


def test_what_was_stored_under_version_1_is_never_read_differently() -> None:
    text = (
        '{"acct_used_flag":true,"act_pay_dedc":null,"expected_acct_mulaid_pay":null,"expected_acct_pay":null,'
        '"fixmedins_code":"H65270100001","fulamt_ownpay_amt":null,"fund_pay_sumamt":0,"hosp_part_amt":0,'
        '"inscp_scp_amt":null,"items":[[1,4000],[4,5000]],"mdtrt_id":"visit-child","med_type":11,'
        '"medfee_sumamt":9000,"overlmt_selfpay":null,"preselfpay_amt":null,"psn_no":"child","psn_part_amt":9000,'
        '"use_mutual_aid":true}'
    )
    assert order_fingerprint(BASE, 1).digest == hashlib.sha256(text.encode()).digest()


def test_what_was_stored_under_version_2_is_never_read_differently() -> None:
    text = (
        '{"acct_used_flag":true,"act_pay_dedc":null,"expected_acct_mulaid_pay":null,"expected_acct_pay":null,'
        '"fixmedins_code":"H65270100001","fulamt_ownpay_amt":null,"fund_pay_sumamt":0,"hosp_part_amt":0,'
        '"inscp_scp_amt":null,"items":[[1,4000],[4,5000]],"kind":"BILL","mdtrt_id":"visit-child","med_type":11,'
        '"medfee_sumamt":9000,"overlmt_selfpay":null,"preselfpay_amt":null,"psn_no":"child","psn_part_amt":9000,'
        '"quote_id":null,"replaces":null,"use_mutual_aid":true}'
    )
    assert order_fingerprint(BASE, 2).digest == hashlib.sha256(text.encode()).digest()


PREMIUM = premium_order("0197a000-0000-4000-8000-000000000001", "child", Premium(2026, "father"), 40_000)


@pytest.mark.parametrize(
    "other",
    [
        premium_order(PREMIUM.msgid, "sister", Premium(2026, "father"), 40_000),
        premium_order(PREMIUM.msgid, "child", Premium(2027, "father"), 40_000),
        premium_order(PREMIUM.msgid, "child", Premium(2026, "mother"), 40_000),
        premium_order(PREMIUM.msgid, "child", Premium(2026, "father"), 40_001),
        premium_order(PREMIUM.msgid, "child", Premium(2026, "father")),
    ],
)
def test_another_premium_is_another_body(other: Order) -> None:
    assert order_fingerprint(other) != order_fingerprint(PREMIUM)


def test_a_premium_stays_the_same_request_when_its_amount_is_stated_anew() -> None:
    dearer = priced(PREMIUM, Terms(2026, 50_000, date(2025, 9, 1), date(2025, 12, 31)))
    assert order_fingerprint(dearer) == order_fingerprint(PREMIUM)


def test_what_was_stored_of_a_premium_is_never_read_differently() -> None:
    text = '{"expected_amount":40000,"insured_psn_no":"child","payer_psn_no":"father","year":2026}'
    for version in (1, 2):
        assert order_fingerprint(PREMIUM, version).digest == hashlib.sha256(text.encode()).digest()


def test_a_version_of_a_newer_release_is_said_to_be_unknown() -> None:
    with pytest.raises(UnknownHashVersionError):
        order_fingerprint(BASE, 99)


def test_a_reversal_is_bound_to_its_settlement() -> None:
    one = reversal_fingerprint("H65270100001", "a")
    assert one == reversal_fingerprint("H65270100001", "a")
    assert one != reversal_fingerprint("H65270100001", "b")
    assert one != reversal_fingerprint("H65270100002", "a")
