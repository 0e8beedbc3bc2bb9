"""The domain's codes ⇄ the contract's enums. The numbers are the same: both are the national codes.

Looked up in tables that are made once: asking an enum of the contract for a name costs more than the rest of a message.
"""

from collections.abc import Mapping
from typing import Final

from gongji.common.v1 import reason_pb2
from gongji.identity.v1 import person_pb2
from gongji.settlement.v1 import settlement_pb2
from settlement.domain.bill import ClearingType, ItemKind, MedicalType
from settlement.domain.quotes import QuoteState
from settlement.domain.state import SettlementState
from settlement.domain.visit import InsuranceType

_REASONS: Final[Mapping[str, reason_pb2.Reason.ValueType]] = {
    name.removeprefix("REASON_"): value for name, value in reason_pb2.Reason.items()
}
_WINDOWS: Final[Mapping[str, settlement_pb2.LimitWindow.ValueType]] = {
    name.removeprefix("LIMIT_WINDOW_"): value for name, value in settlement_pb2.LimitWindow.items()
}
_STATES: Final = {state: settlement_pb2.SettlementState.Value(f"SETTLEMENT_STATE_{state}") for state in SettlementState}
_QUOTE_STATES: Final = {state: settlement_pb2.QuoteState.Value(f"QUOTE_STATE_{state}") for state in QuoteState}
_MEDICAL_TYPES: Final = {each: settlement_pb2.MedicalType.Value(f"MEDICAL_TYPE_{each.name}") for each in MedicalType}
_CLEARING_TYPES: Final = {
    each: settlement_pb2.ClearingType.Value(f"CLEARING_TYPE_{each.name}") for each in ClearingType
}
_ITEM_KINDS: Final = {kind: settlement_pb2.ItemKind.Value(f"ITEM_KIND_{kind.name}") for kind in ItemKind}
_INSURANCE_TYPES: Final = {
    each: person_pb2.InsuranceType.Value(f"INSURANCE_TYPE_{each.name}") for each in InsuranceType
}


def reason_value(reason: str | None) -> reason_pb2.Reason.ValueType:
    """A reason's value; REASON_UNSPECIFIED for none."""
    return _REASONS[reason] if reason else reason_pb2.REASON_UNSPECIFIED


def window_value(window: str | None) -> settlement_pb2.LimitWindow.ValueType:
    """A limit window's value; LIMIT_WINDOW_UNSPECIFIED for none."""
    return _WINDOWS[window] if window else settlement_pb2.LIMIT_WINDOW_UNSPECIFIED


def state_value(state: SettlementState) -> settlement_pb2.SettlementState.ValueType:
    """A state's value."""
    return _STATES[state]


def quote_state_value(state: QuoteState) -> settlement_pb2.QuoteState.ValueType:
    """A held preview's state's value."""
    return _QUOTE_STATES[state]


def medical_type(med_type: MedicalType) -> settlement_pb2.MedicalType.ValueType:
    """med_type."""
    return _MEDICAL_TYPES[med_type]


def clearing_type(clr_type: ClearingType | None) -> settlement_pb2.ClearingType.ValueType:
    """clr_type; CLEARING_TYPE_UNSPECIFIED for none."""
    return _CLEARING_TYPES[clr_type] if clr_type else settlement_pb2.CLEARING_TYPE_UNSPECIFIED


def item_kind(kind: ItemKind) -> settlement_pb2.ItemKind.ValueType:
    """What an item is."""
    return _ITEM_KINDS[kind]


def insurance_type(insutype: InsuranceType | None) -> person_pb2.InsuranceType.ValueType:
    """Insutype; INSURANCE_TYPE_UNSPECIFIED for none."""
    return _INSURANCE_TYPES[insutype] if insutype else person_pb2.INSURANCE_TYPE_UNSPECIFIED
