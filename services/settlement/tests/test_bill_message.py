"""A bill as a HIS sends it comes into the domain whole, and is told back as it was sent."""

import pytest

from gongji.settlement.v1 import settlement_pb2 as pb2
from settlement.codec import bill_message, bill_of
from settlement.domain.bill import MedicalType

MESSAGE = pb2.Bill(
    psn_no="65270001",
    mdtrt_id="visit-1",
    med_type=pb2.MEDICAL_TYPE_CHRONIC,
    medfee_sumamt=10_000,
    fund_pay_sumamt=5_555,
    hosp_part_amt=445,
    psn_part_amt=4_000,
    fulamt_ownpay_amt=1_234,
    overlmt_selfpay=566,
    preselfpay_amt=999,
    inscp_scp_amt=7_201,
    act_pay_dedc=1_000,
    items=[pb2.BillItem(kind=pb2.ITEM_KIND_DRUG, amount=6_000), pb2.BillItem(kind=pb2.ITEM_KIND_SERVICE, amount=4_000)],
)
SHARES = ("fulamt_ownpay_amt", "overlmt_selfpay", "preselfpay_amt", "inscp_scp_amt", "act_pay_dedc")


def test_each_amount_is_taken_for_what_it_is() -> None:
    taken = bill_of(MESSAGE)
    names = ("medfee_sumamt", "fund_pay_sumamt", "hosp_part_amt", "psn_part_amt", *SHARES)
    assert {name: getattr(taken, f"{name}_fen") for name in names} == {name: getattr(MESSAGE, name) for name in names}
    assert bill_message(taken) == MESSAGE


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("told", [None, 0])
def test_a_share_of_nothing_is_not_one_that_was_not_told(name: str, told: int | None) -> None:
    message = pb2.Bill()
    message.CopyFrom(MESSAGE)
    message.ClearField(name)  # type: ignore[arg-type]
    if told is not None:
        setattr(message, name, told)
    assert getattr(bill_of(message), f"{name}_fen") == told
    assert bill_message(bill_of(message)) == message


@pytest.mark.parametrize("med_type", MedicalType)
def test_every_kind_of_visit_has_the_national_code(med_type: MedicalType) -> None:
    message = pb2.Bill(med_type=pb2.MedicalType.ValueType(med_type.value))
    assert bill_of(message).med_type is med_type
    assert bill_message(bill_of(message)).med_type == med_type.value
