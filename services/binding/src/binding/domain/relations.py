"""Relations between a payer (授权人) and a beneficiary (使用人): their states, and why one does not pay today."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from binding.domain.errors import Refused, StateForbids
from binding.domain.limits import Limits
from binding.domain.persons import Person

MAX_PRIORITY = 99


class Relationship(StrEnum):
    """What the beneficiary is to the payer (R2)."""

    SPOUSE = "SPOUSE"
    PARENT = "PARENT"
    CHILD = "CHILD"
    SIBLING = "SIBLING"
    GRANDPARENT = "GRANDPARENT"
    GRANDCHILD = "GRANDCHILD"


class RelationState(StrEnum):
    """Where a relation stands. Not started and expired follow from its dates."""

    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    ENDED = "ENDED"


class EndCause(StrEnum):
    """Why a relation ended."""

    UNBOUND = "UNBOUND"
    EXPIRED = "EXPIRED"
    PAYER_DIED = "PAYER_DIED"
    BENEFICIARY_DIED = "BENEFICIARY_DIED"
    PAYER_ENROLMENT_LOST = "PAYER_ENROLMENT_LOST"
    BENEFICIARY_ENROLMENT_LOST = "BENEFICIARY_ENROLMENT_LOST"


class Step(StrEnum):
    """What is done to a relation."""

    SUSPEND = "SUSPEND"
    RESUME = "RESUME"
    CHANGE = "CHANGE"
    END = "END"


NEXT: Mapping[tuple[RelationState, Step], RelationState] = {
    (RelationState.ACTIVE, Step.SUSPEND): RelationState.SUSPENDED,
    (RelationState.SUSPENDED, Step.RESUME): RelationState.ACTIVE,
    (RelationState.ACTIVE, Step.CHANGE): RelationState.ACTIVE,
    (RelationState.SUSPENDED, Step.CHANGE): RelationState.SUSPENDED,
    (RelationState.ACTIVE, Step.END): RelationState.ENDED,
    (RelationState.SUSPENDED, Step.END): RelationState.ENDED,
}
"""Where each step leads; what is not here is refused, or changes nothing where it is so already."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation that an approval has made."""

    relation_id: UUID
    application_id: UUID
    payer_psn_no: str
    beneficiary_psn_no: str
    relationship: Relationship
    priority: int
    limits: Limits
    valid_from: date
    valid_to: date
    approved_at: datetime
    state: RelationState = RelationState.ACTIVE
    state_reason: str = ""
    end_cause: EndCause | None = None
    ended_at: datetime | None = None
    """When the end was recorded."""
    ended_from: date | None = None
    """The first day without it, where that follows from a date; None where it ended at once, for every day."""
    suspended_at: datetime | None = None
    """Since when it is suspended; one that ended while it was suspended keeps it."""
    sequence: int = 0
    """Events told about it so far."""

    def expired_on(self, day: date) -> bool:
        """Whether it has run out by date."""
        return self.valid_to < day

    def living_on(self, day: date) -> bool:
        """Whether it still stands in the way of another relation of the pair."""
        return self.state is not RelationState.ENDED and not self.expired_on(day)

    def ended_on(self, day: date) -> bool:
        """Whether it had ended on a day by anything but its dates.

        One that only ran out is judged by its dates, also once that is recorded: a bill of the last day's last minute
        is paid, whichever of the two comes first.
        """
        if self.state is not RelationState.ENDED or self.end_cause is EndCause.EXPIRED:
            return False
        return self.ended_from is None or self.ended_from <= day


def end(relation: Relation, cause: EndCause, reason: str, at: datetime, ended_from: date | None = None) -> Relation:
    """The ended relation (R13, R14); one that has ended stays as it is."""
    if relation.state is RelationState.ENDED:
        return relation
    if cause is EndCause.EXPIRED:
        ended_from = relation.valid_to + timedelta(days=1)
    state = NEXT[relation.state, Step.END]
    return replace(relation, state=state, end_cause=cause, state_reason=reason, ended_at=at, ended_from=ended_from)


def expire(relation: Relation, at: datetime) -> Relation:
    """The relation, recorded as having run out by date; one that has ended stays as it is."""
    return end(relation, EndCause.EXPIRED, "", at)


def unbind(relation: Relation, reason: str, at: datetime, day: date) -> Relation:
    """The unbound relation (R13); one that ran out has ended by that, whether it is recorded yet or not."""
    return expire(relation, at) if relation.expired_on(day) else end(relation, EndCause.UNBOUND, reason, at)


def suspend(relation: Relation, reason: str, at: datetime, day: date) -> Relation:
    """The suspended relation; suspending again, or what ran out by date, changes nothing.

    Raises:
        StateForbids: it was ended.
    """
    ran_out = relation.expired_on(day) and not relation.ended_on(day)
    if relation.state is RelationState.SUSPENDED or ran_out:
        return relation
    state = _after(relation, Step.SUSPEND)
    return replace(relation, state=state, state_reason=reason, suspended_at=at)


def resume(relation: Relation, day: date) -> Relation:
    """The active relation; resuming an active one changes nothing.

    Raises:
        StateForbids: it has ended.
    """
    _refuse_run_out(relation, day)
    if relation.state is RelationState.ACTIVE:
        return relation
    state = _after(relation, Step.RESUME)
    return replace(relation, state=state, state_reason="", suspended_at=None)


def change_limits(relation: Relation, limits: Limits, day: date) -> Relation:
    """The relation under new limits (R6); lowering below what is used blocks further use and breaks nothing.

    Raises:
        StateForbids: it has ended.
    """
    return replace(_changing(relation, day), limits=limits)


def extend(relation: Relation, valid_to: date, day: date, longest: timedelta) -> Relation:
    """The relation with a later last day; with the same one it stays as it is.

    Raises:
        StateForbids: it has ended.
        ValidityRefused: the day is earlier than the present one, or further away than `longest` from today.
    """
    relation = _changing(relation, day)
    if valid_to < relation.valid_to:
        raise ValidityRefused(
            "the validity is extended, never shortened; unbind to end the relation earlier",
            {"valid_to": relation.valid_to.isoformat()},
        )
    if valid_to > max(day + longest, relation.valid_to):
        raise ValidityRefused("the last day is too far away", {"latest": (day + longest).isoformat()})
    return replace(relation, valid_to=valid_to)


class ValidityRefused(Refused):
    """The last day asked for is none that the relation may have."""

    reason = "VALIDITY_REFUSED"


def place(relation: Relation, priority: int, day: date) -> Relation:
    """The relation at another place among the beneficiary's payers (R5). Raises StateForbids when it has ended."""
    return replace(_changing(relation, day), priority=priority)


def _changing(relation: Relation, day: date) -> Relation:
    _refuse_run_out(relation, day)
    return replace(relation, state=_after(relation, Step.CHANGE))


def _refuse_run_out(relation: Relation, day: date) -> None:
    if relation.expired_on(day):
        raise StateForbids("the relation has run out; apply for a new one", {"valid_to": relation.valid_to.isoformat()})


def _after(relation: Relation, step: Step) -> RelationState:
    try:
        return NEXT[relation.state, step]
    except KeyError:
        raise StateForbids("the relation has ended; apply for a new one", {"state": relation.state}) from None


def next_priority(living: Iterable[Relation]) -> int:
    """The place after all payers that a beneficiary has."""
    return min(MAX_PRIORITY, max((relation.priority for relation in living), default=0) + 1)


def payers_in_order(relations: Iterable[Relation], paid: Collection[UUID] = ()) -> list[Relation]:
    """The newest relation of each pair, in the order in which they pay (R5): priority, then approval, then id.

    Earlier ones under which a settlement was `paid` that is to be replaced come just before the newest of their pair.
    """
    by_approval = sorted(relations, key=_by_approval)
    if len(by_approval) < 2:  # noqa: PLR2004 - most patients have one payer: nothing to order
        return by_approval
    newest = {_pair(relation): relation for relation in by_approval}
    chosen = [it for it in by_approval if it is newest[_pair(it)] or it.relation_id in paid]
    return sorted(chosen, key=lambda it: (newest[_pair(it)].priority, *_by_approval(newest[_pair(it)])))


def _pair(relation: Relation) -> tuple[str, str]:
    return relation.payer_psn_no, relation.beneficiary_psn_no


def _by_approval(relation: Relation) -> tuple[datetime, UUID]:
    return relation.approved_at, relation.relation_id


def decline_reason(relation: Relation, day: date, persons: Mapping[str, Person]) -> str | None:
    """Why a relation pays nothing on a day, the first of the vocabulary's order; None when it may pay.

    Only the dates and what was decided count, never whether the scheduler has come by yet. Frozen and closed accounts
    are settlement's to tell: binding does not know accounts.
    """
    if day < relation.valid_from:
        return "RELATION_NOT_STARTED"
    if relation.ended_on(day) or _one_died(relation, persons):
        return "RELATION_ENDED"
    if relation.expired_on(day):
        return "RELATION_EXPIRED"
    if relation.suspended_at is not None or relation.state is RelationState.SUSPENDED:
        return "RELATION_SUSPENDED"
    payer = persons.get(relation.payer_psn_no)
    return "PAYER_ARREARS" if payer is not None and payer.in_arrears_on(day) else None


def _one_died(relation: Relation, persons: Mapping[str, Person]) -> bool:
    payer, beneficiary = persons.get(relation.payer_psn_no), persons.get(relation.beneficiary_psn_no)
    return (payer is not None and payer.died_on is not None) or (
        beneficiary is not None and beneficiary.died_on is not None
    )
