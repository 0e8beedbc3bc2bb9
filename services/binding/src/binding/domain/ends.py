"""Outcomes that end a hold and touch nothing else, as nearly all do: what was held is free, what was paid is used.

It is what `apply_outcome` and the counters make of them, in fewer steps: no authorization but this one moves, and since
no more is taken afterwards than before, no limit becomes nearly used that was not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from binding.domain.authorizations import Outcome, OutcomeState


@dataclass(frozen=True, slots=True)
class Ended:
    """How a hold has ended, by line in their order."""

    state: OutcomeState
    relation_ids: Sequence[UUID]
    held_fen: Sequence[int]
    used_fen: Sequence[int]


def ended(relation_ids: Sequence[UUID], held_fen: Sequence[int], outcome: Outcome) -> Ended | None:
    """How an outcome ends the hold of an authorization that is HELD and of no pair; None if it does more than that."""
    is_release = outcome.state is OutcomeState.RELEASED and not outcome.lines
    if outcome.replaces is not None or not (is_release or outcome.state is OutcomeState.CAPTURED):
        return None
    paid_fen = dict.fromkeys(relation_ids, 0)
    for line in outcome.lines:
        if line.relation_id not in paid_fen:
            return None
        paid_fen[line.relation_id] += line.amount_fen
    used_fen = list(paid_fen.values())
    if any(used > held for used, held in zip(used_fen, held_fen, strict=True)):
        return None
    return Ended(outcome.state, relation_ids, held_fen, used_fen)
