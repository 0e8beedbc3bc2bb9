"""Settling again (R12): an authorization B that replaces a captured A charges each counter only for what exceeds A.

In each counter the pair contributes max(a, b), where a and b are what each charges to it. A counts a, so B counts
max(a, b) - a. Whatever happens to either moves only the difference of the maximum, so nothing rises after Authorize,
and a B of another day than A needs no rule of its own: there a is 0. As soon as B is captured or restored, A is
restored: a chain A → B → C never has more than two links that charge.
"""

from collections.abc import Mapping
from uuid import UUID

from binding.domain.authorizations import Authorization, AuthorizationState, Charges, Outcome, OutcomeState
from binding.domain.limits import NO_USE, CounterKey, Use

SETTLED = frozenset({AuthorizationState.CAPTURED, AuthorizationState.RESTORED})
"""States that say that a settlement was made: then the one that it replaces is reversed."""


def may_replace(replaced: Authorization | None) -> bool:
    """Whether an authorization may be claimed by one that replaces it: captured, and claimed by no other."""
    return replaced is not None and replaced.state is AuthorizationState.CAPTURED and replaced.replaced_by is None


def paid_under(replaced: Authorization | None) -> dict[UUID, int]:
    """What was paid in a replaced settlement under each relation, fen: each payer may give that much again."""
    lines = replaced.lines if replaced else ()
    return {line.relation_id: line.used_fen for line in lines if line.used_fen}


def without(uses: Mapping[CounterKey, Use], freed: Charges) -> dict[CounterKey, Use]:
    """The counters in question, as they would be without what a replaced settlement charges to them."""
    return {key: uses.get(key, NO_USE) - use for key, use in freed.items()}


def excess(charged: Charges, over: Charges) -> Charges:
    """What charges add to counters that another authorization already charges: max(a, b) - a, used and in all."""
    return {key: _excess(use, over[key]) if key in over else use for key, use in charged.items()}


def _excess(use: Use, over: Use) -> Use:
    used_fen = max(0, use.used_fen - over.used_fen)
    return Use(used_fen, max(0, use.taken_fen - over.taken_fen) - used_fen)


def restoring(replaced: Authorization) -> Outcome:
    """What the settlement of its successor says about a replaced authorization."""
    return Outcome(
        replaced.authorization_id,
        OutcomeState.RESTORED,
        replaced.beneficiary_psn_no,
        replaced.occurred_at,
        replaced.occurred_on,
    )
