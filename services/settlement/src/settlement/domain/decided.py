"""What binding is told along with the next request of a patient: what was decided lately about earlier ones."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from settlement.domain.quotes import QuoteState
from settlement.domain.state import Settlement, SettlementState, intent_of


@dataclass(frozen=True, slots=True)
class Paid:
    """What was paid, or is kept, under one relation."""

    relation_id: UUID
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided about a settlement or a held preview that had asked payers, as far as binding needs to know."""

    settlement_id: UUID
    state: SettlementState | QuoteState
    """Anything but PENDING and USED: a used quote is told as its settlement."""
    occurred_at: datetime
    lines: tuple[Paid, ...] = ()
    """What was paid or is kept under each relation, also if it has been given back since."""


def decided_of(settlement: Settlement) -> Decided:
    """What was decided about a settlement that has its lines at hand."""
    lines = settlement.split.lines if settlement.split else ()
    paid = tuple(Paid(line.relation_id, line.amount_fen) for line in lines)
    return Decided(settlement.settlement_id, settlement.state, intent_of(settlement).occurred_at, paid)
