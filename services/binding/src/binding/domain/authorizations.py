"""Authorizations: what is held and captured for a settlement, and how outcomes move it, only forward.

    HELD → CAPTURED → RESTORED        HELD → RELEASED

What an authorization charges to the counters follows from its lines alone, so a transition's effect is the charge after
it minus the charge before it. That is why outcomes may come in any order and more than once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from binding.domain.granting import Grant
from binding.domain.limits import NO_USE, CounterKey, LimitWindow, Use, counter_keys


class AuthorizationState(StrEnum):
    """Where an authorization stands."""

    HELD = "HELD"
    CAPTURED = "CAPTURED"
    RELEASED = "RELEASED"
    RESTORED = "RESTORED"


class OutcomeState(StrEnum):
    """What settlement has decided about an authorization."""

    TRIMMED = "TRIMMED"
    """A held preview keeps just the amounts of its lines."""
    CAPTURED = "CAPTURED"
    RELEASED = "RELEASED"
    RESTORED = "RESTORED"


@dataclass(frozen=True, slots=True)
class OutcomeLine:
    """What was paid under one relation, fen, absolute."""

    relation_id: UUID
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A decision of settlement, complete in itself."""

    authorization_id: UUID
    state: OutcomeState
    beneficiary_psn_no: str
    occurred_at: datetime
    occurred_on: date
    """Asia/Shanghai date of `occurred_at`: the windows."""
    lines: tuple[OutcomeLine, ...] = ()
    replaces: UUID | None = None
    """The authorization that this one replaces, where the message says so."""


@dataclass(frozen=True, slots=True)
class Line:
    """One payer's part: the answer that was given, and what it charges to the counters now, fen."""

    relation_id: UUID
    payer_psn_no: str = ""
    """Empty on a line that an outcome made; nobody is ever answered from it before it is stored."""
    granted_fen: int = 0
    reason: str | None = None
    window: LimitWindow | None = None
    held_fen: int = 0
    used_fen: int = 0

    def charging(self, held_fen: int, used_fen: int) -> "Line":
        """The same answer, with what it charges now."""
        return Line(self.relation_id, self.payer_psn_no, self.granted_fen, self.reason, self.window, held_fen, used_fen)


@dataclass(frozen=True, slots=True)
class Authorization:
    """What is held, or was paid, for one settlement."""

    authorization_id: UUID
    state: AuthorizationState
    beneficiary_psn_no: str
    occurred_at: datetime
    occurred_on: date
    lines: tuple[Line, ...] = ()
    replaces: UUID | None = None
    """The authorization of the settlement that this one settles again; see `binding.domain.pairs`."""
    replaced_by: UUID | None = None
    """Who has claimed this one, unless that was released."""

    def moved(self, state: AuthorizationState, lines: tuple[Line, ...]) -> "Authorization":
        """The same authorization, further on."""
        patient, at, day = self.beneficiary_psn_no, self.occurred_at, self.occurred_on
        return Authorization(self.authorization_id, state, patient, at, day, lines, self.replaces, self.replaced_by)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An authorization, and since when binding has it."""

    authorization: Authorization
    created_at: datetime
    """Real time, by the database's clock."""


Charges = dict[CounterKey, Use]

_FORWARD = {
    AuthorizationState.HELD: frozenset(OutcomeState),
    AuthorizationState.CAPTURED: frozenset({OutcomeState.RESTORED}),
    AuthorizationState.RELEASED: frozenset[OutcomeState](),
    AuthorizationState.RESTORED: frozenset[OutcomeState](),
}
_ENDED = {it: AuthorizationState(it) for it in OutcomeState if it is not OutcomeState.TRIMMED}
_CONTRADICTIONS = frozenset(
    {
        (AuthorizationState.RELEASED, OutcomeState.CAPTURED),
        (AuthorizationState.RELEASED, OutcomeState.RESTORED),
        (AuthorizationState.CAPTURED, OutcomeState.RELEASED),
        (AuthorizationState.RESTORED, OutcomeState.RELEASED),
    }
)


def moves(state: AuthorizationState, outcome: OutcomeState) -> bool:
    """Whether an outcome moves an authorization in this state; if not it is a repeat, late, or a contradiction."""
    return outcome in _FORWARD[state]


def contradicts(state: AuthorizationState, outcome: OutcomeState) -> bool:
    """Whether settlement has said two things that exclude each other. The first stands; operators must hear of it."""
    return (state, outcome) in _CONTRADICTIONS


def hold(
    authorization_id: UUID,
    beneficiary_psn_no: str,
    occurred_at: datetime,
    day: date,
    grants: Iterable[Grant],
    *,
    replaces: UUID | None = None,
) -> Authorization:
    """A new authorization that holds what was granted."""
    lines = tuple(
        Line(grant.relation_id, grant.payer_psn_no, grant.granted_fen, grant.reason, grant.window, grant.granted_fen)
        for grant in grants
    )
    held = AuthorizationState.HELD
    return Authorization(authorization_id, held, beneficiary_psn_no, occurred_at, day, lines, replaces)


def grants_of(authorization: Authorization) -> tuple[Grant, ...]:
    """The answer that was given when the authorization was made, whatever became of it since."""
    return tuple(
        Grant(line.payer_psn_no, line.relation_id, line.granted_fen, line.reason, line.window)
        for line in authorization.lines
    )


def apply_outcome(known: Authorization | None, outcome: Outcome) -> Authorization:
    """The authorization after an outcome; the very same object when the outcome moves nothing. Never refuses."""
    before = known or _unknown(outcome)
    if not moves(before.state, outcome.state):
        return before
    if outcome.state is OutcomeState.TRIMMED:
        return _trimmed(before, outcome) if known else _held_by_trim(before, outcome)
    paid = _paid(outcome) if outcome.state is OutcomeState.CAPTURED else {}
    return before.moved(_ENDED[outcome.state], _charged(before.lines, paid))


def _unknown(outcome: Outcome) -> Authorization:
    return Authorization(
        outcome.authorization_id,
        AuthorizationState.HELD,
        outcome.beneficiary_psn_no,
        outcome.occurred_at,
        outcome.occurred_on,
    )


def _paid(outcome: Outcome) -> dict[UUID, int]:
    paid: dict[UUID, int] = {}
    for line in outcome.lines:
        paid[line.relation_id] = paid.get(line.relation_id, 0) + line.amount_fen
    return paid


def _charged(lines: tuple[Line, ...], paid: dict[UUID, int]) -> tuple[Line, ...]:
    # The hold is over; what was paid is used. Payments under relations that nothing was held for count just the same.
    known = {line.relation_id for line in lines}
    rest = (Line(relation_id) for relation_id in paid if relation_id not in known)
    return tuple(line.charging(0, paid.get(line.relation_id, 0)) for line in (*lines, *rest))


def _trimmed(before: Authorization, outcome: Outcome) -> Authorization:
    kept = _paid(outcome)
    lines = tuple(
        line.charging(min(line.held_fen, kept.get(line.relation_id, 0)), line.used_fen) for line in before.lines
    )
    return before if lines == before.lines else replace(before, lines=lines)


def _held_by_trim(before: Authorization, outcome: Outcome) -> Authorization:
    lines = tuple(
        Line(relation_id, granted_fen=kept_fen, held_fen=kept_fen) for relation_id, kept_fen in _paid(outcome).items()
    )
    return replace(before, lines=lines)


def charges(authorization: Authorization | None) -> Charges:
    """What an authorization contributes to each counter, fen."""
    charged: Charges = {}
    if authorization is None:
        return charged
    for line in authorization.lines:
        if line.used_fen or line.held_fen:
            keys = counter_keys(line.relation_id, authorization.occurred_on)
            charged |= dict.fromkeys(keys, Use(line.used_fen, line.held_fen))
    return charged


def change_of_charges(old: Charges, new: Charges) -> Charges:
    """By how much each counter moves from some charges to others, fen; unmoved ones are left out."""
    if not old:
        return {key: use for key, use in new.items() if use}
    changes = {key: NO_USE - use for key, use in old.items() if key not in new}
    changes |= {key: use - old[key] if key in old else use for key, use in new.items()}
    return {key: change for key, change in changes.items() if change}
