"""The catalogue of reasons as the contract carries it."""

from typing import Final

from binding.domain.decision_reasons import CATALOGUE, DecisionReason
from gongji.binding.v1 import decision_reason_pb2

PREFIX: Final = "DECISION_REASON_"


def decision_reason_value(code: str) -> decision_reason_pb2.DecisionReason.ValueType:
    """A reason of the catalogue as the contract carries it; empty is unspecified."""
    return decision_reason_pb2.DecisionReason.Value(f"{PREFIX}{code or 'UNSPECIFIED'}")


def reason_text(code: str) -> str:
    """What the catalogue says to the family; empty for none."""
    return CATALOGUE[DecisionReason(code)].text if code else ""
