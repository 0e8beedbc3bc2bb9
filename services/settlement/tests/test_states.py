"""A settlement moves forward only."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from settlement.domain.allocate import Split
from settlement.domain.reasons import Reason
from settlement.domain.state import (
    IllegalMoveError,
    Settlement,
    SettlementState,
    abandoned,
    refused,
    reversed_with,
    settled,
)
from settlement.testing import HOSPITAL, TEN_O_CLOCK, msgid

PENDING = Settlement(UUID(int=1), HOSPITAL, msgid(1), SettlementState.PENDING)
MOVES: dict[str, Any] = {
    "settle": lambda each: settled(each, Split(0, 0, 0, None), TEN_O_CLOCK),
    "refuse": lambda each: refused(each, Reason.AMOUNT_CHANGED),
    "abandon": abandoned,
    "reverse": lambda each: reversed_with(each, (), TEN_O_CLOCK),
}
ALLOWED = {
    SettlementState.PENDING: {"settle", "refuse", "abandon"},
    SettlementState.SETTLED: {"reverse"},
    SettlementState.REVERSED: set(),
    SettlementState.REFUSED: set(),
    SettlementState.ABANDONED: set(),
}


@pytest.mark.parametrize("state", SettlementState)
@pytest.mark.parametrize("move", MOVES)
def test_a_settlement_moves_forward_only(state: SettlementState, move: str) -> None:
    settlement: Settlement = replace(PENDING, state=state)
    if move in ALLOWED[state]:
        assert MOVES[move](settlement).state is not state
    else:
        with pytest.raises(IllegalMoveError):
            MOVES[move](settlement)
