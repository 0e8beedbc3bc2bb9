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
    need_fen: int,
    relation: Relation,
    day: date,
    uses: Mapping[CounterKey, Use],
    persons: Mapping[str, Person],
    *,
    paid_before_fen: int = 0,
) -> Grant:
    """What this relation's payer may give towards `need_fen` on `day`, with what is used and held in its windows.

    A payer who paid in the settlement that this one replaces may give as much again although the relation has ended, is
    suspended or has run out since; limits hold all the same (R12).
    """
    payer, relation_id = relation.payer_psn_no, relation.relation_id
    declined = decline_reason(relation, day, persons)
    may_fen = need_fen if declined is None else min(need_fen, paid_before_fen)
    left = tightest(relation.limits, relation_id, day, uses)
    if left is not None and max(0, left.left_fen) < may_fen:
        return Grant(payer, relation_id, max(0, left.left_fen), LIMIT_REACHED, left.window)
    return Grant(payer, relation_id, may_fen, declined if may_fen < need_fen else None)
