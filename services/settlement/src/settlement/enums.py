"""The domain's codes ⇄ the contract's enums. The numbers are the same: both are the national codes."""

from gongji.common.v1 import reason_pb2
from gongji.identity.v1 import person_pb2
from gongji.settlement.v1 import settlement_pb2
from settlement.domain.bill import ClearingType, ItemKind, MedicalType
from settlement.domain.quotes import QuoteState
from settlement.domain.state import SettlementState
from settlement.domain.visit import InsuranceType


def reason_value(reason: str | None) -> reason_pb2.Reason.ValueType:
    """A reason's value; REASON_UNSPECIFIED for none."""
    return reason_pb2.Reason.Value(f"REASON_{reason or 'UNSPECIFIED'}")


def window_value(window: str | None) -> settlement_pb2.LimitWindow.ValueType:
    """A limit window's value; LIMIT_WINDOW_UNSPECIFIED for none."""
    return settlement_pb2.LimitWindow.Value(f"LIMIT_WINDOW_{window or 'UNSPECIFIED'}")


def state_value(state: SettlementState) -> settlement_pb2.SettlementState.ValueType:
    """A state's value."""
    return settlement_pb2.SettlementState.Value(f"SETTLEMENT_STATE_{state}")


def quote_state_value(state: QuoteState) -> settlement_pb2.QuoteState.ValueType:
    """A held preview's state's value."""
    return settlement_pb2.QuoteState.Value(f"QUOTE_STATE_{state}")


def medical_type(med_type: MedicalType) -> settlement_pb2.MedicalType.ValueType:
    """med_type."""
    return settlement_pb2.MedicalType.Value(f"MEDICAL_TYPE_{med_type.name}")


def clearing_type(clr_type: ClearingType | None) -> settlement_pb2.ClearingType.ValueType:
    """clr_type; CLEARING_TYPE_UNSPECIFIED for none."""
    return settlement_pb2.ClearingType.Value(f"CLEARING_TYPE_{clr_type.name if clr_type else 'UNSPECIFIED'}")


def item_kind(kind: ItemKind) -> settlement_pb2.ItemKind.ValueType:
    """What an item is."""
    return settlement_pb2.ItemKind.Value(f"ITEM_KIND_{kind.name}")


def insurance_type(insutype: InsuranceType | None) -> person_pb2.InsuranceType.ValueType:
    """Insutype; INSURANCE_TYPE_UNSPECIFIED for none."""
    return person_pb2.InsuranceType.Value(f"INSURANCE_TYPE_{insutype.name if insutype else 'UNSPECIFIED'}")
