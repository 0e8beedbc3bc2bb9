"""How much one payer may give (R6, R8, R10), under all windows at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from binding.domain.limits import CounterKey, LimitWindow, Use, tightest
from binding.domain.persons import Person
from binding.domain.relations import Relation, decline_reason

LIMIT_REACHED = "LIMIT_REACHED"


@dataclass(frozen=True, slots=True)
class Grant:
    """What one payer may give, fen, and why it is less than what is needed (None when it is not)."""

    payer_psn_no: str
    relation_id: UUID
    granted_fen: int
    reason: str | None = None
    window: LimitWindow | None = None


def grant(
    need_fen: int, relation: Relation, day: date, uses: Mapping[CounterKey, Use], persons: Mapping[str, Person]
) -> Grant:
    """What this relation's payer may give towards `need_fen` on `day`, with what is used and held in its windows."""
    reason = decline_reason(relation, day, persons)
    if reason is not None:
        return Grant(relation.payer_psn_no, relation.relation_id, 0, reason)
    left = tightest(relation.limits, relation.relation_id, day, uses)
    if left is None or left.left_fen >= need_fen:
        return Grant(relation.payer_psn_no, relation.relation_id, need_fen)
    return Grant(relation.payer_psn_no, relation.relation_id, max(0, left.left_fen), LIMIT_REACHED, left.window)
