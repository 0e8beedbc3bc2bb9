"""A bill (结算单) after basic insurance has paid: its amounts, what it may contain, where it is cleared. All in fen."""

from dataclasses import dataclass
from enum import IntEnum


class MedicalType(IntEnum):
    """med_type, by national code."""

    UNSPECIFIED = 0
    """No treatment: a premium, which has no national code."""
    OUTPATIENT = 11
    EMERGENCY = 13
    CHRONIC = 14
    INPATIENT = 21
    INJURY_INPATIENT = 22
    EMERGENCY_TO_INPATIENT = 24
    PHARMACY = 41


class ClearingType(IntEnum):
    """clr_type, by national code: the column that a settlement is cleared in."""

    OUTPATIENT = 11
    INPATIENT = 21
    PHARMACY = 41
    OTHER = 99


class InstitutionType(IntEnum):
    """fixmedins_type, by national code."""

    MEDICAL = 1
    PHARMACY = 2


class ItemKind(IntEnum):
    """What an item of a bill is."""

    DRUG = 1
    DEVICE = 2
    CONSUMABLE = 3
    SERVICE = 4
    NON_MEDICAL = 5


SOLD_BY_PHARMACIES = frozenset({ItemKind.DRUG, ItemKind.DEVICE, ItemKind.CONSUMABLE})
"""What mutual aid pays for at a pharmacy (R7)."""

_CLEARED_AS = {
    MedicalType.OUTPATIENT: ClearingType.OUTPATIENT,
    MedicalType.EMERGENCY: ClearingType.OUTPATIENT,
    MedicalType.CHRONIC: ClearingType.OUTPATIENT,
    MedicalType.INPATIENT: ClearingType.INPATIENT,
    MedicalType.INJURY_INPATIENT: ClearingType.INPATIENT,
    MedicalType.EMERGENCY_TO_INPATIENT: ClearingType.INPATIENT,
    MedicalType.PHARMACY: ClearingType.PHARMACY,
}


@dataclass(frozen=True, slots=True)
class BillItem:
    """One item."""

    kind: ItemKind
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Bill:
    """A bill. Amounts that not every institution tells are None when they were not told."""

    psn_no: str
    mdtrt_id: str
    med_type: MedicalType
    medfee_sumamt_fen: int
    fund_pay_sumamt_fen: int
    psn_part_amt_fen: int
    hosp_part_amt_fen: int = 0
    fulamt_ownpay_amt_fen: int | None = None
    overlmt_selfpay_fen: int | None = None
    preselfpay_amt_fen: int | None = None
    inscp_scp_amt_fen: int | None = None
    act_pay_dedc_fen: int | None = None
    items: tuple[BillItem, ...] = ()

    @property
    def clr_type(self) -> ClearingType:
        """The column that it is cleared in."""
        return _CLEARED_AS.get(self.med_type, ClearingType.OTHER)


def is_inpatient(bill: Bill) -> bool:
    """Whether it is of a stay: inpatient (21), injury inpatient (22) or emergency to inpatient (24)."""
    return bill.clr_type is ClearingType.INPATIENT


def adds_up(bill: Bill) -> bool:
    """Whether a bill's amounts agree with each other (R16), else BILL_ARITHMETIC."""
    paid_fen = bill.fund_pay_sumamt_fen + bill.psn_part_amt_fen + bill.hosp_part_amt_fen
    return paid_fen == bill.medfee_sumamt_fen and _items_add_up(bill) and _shares_fit(bill)


def _items_add_up(bill: Bill) -> bool:
    return not bill.items or sum(item.amount_fen for item in bill.items) == bill.medfee_sumamt_fen


def _shares_fit(bill: Bill) -> bool:
    """The four shares divide the total: together not more than it, and just it when all four are told."""
    shares = (bill.fulamt_ownpay_amt_fen, bill.overlmt_selfpay_fen, bill.preselfpay_amt_fen, bill.inscp_scp_amt_fen)
    told = [share for share in shares if share is not None]
    if (bill.act_pay_dedc_fen or 0) > bill.medfee_sumamt_fen or sum(told) > bill.medfee_sumamt_fen:
        return False
    return len(told) < len(shares) or sum(told) == bill.medfee_sumamt_fen


def in_scope(bill: Bill, fixmedins_type: InstitutionType) -> bool:
    """Whether mutual aid may touch the bill (R7): nothing non-medical; at a pharmacy drugs, devices, consumables."""
    kinds = {item.kind for item in bill.items}
    at_pharmacy = fixmedins_type is InstitutionType.PHARMACY or bill.med_type is MedicalType.PHARMACY
    return kinds <= SOLD_BY_PHARMACIES if at_pharmacy else ItemKind.NON_MEDICAL not in kinds
