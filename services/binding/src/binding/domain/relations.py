"""Relations between a payer (授权人) and a beneficiary (使用人): their states, and why one does not pay today."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from binding.domain.errors import StateForbids
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
    sequence: int = 0
    """Events told about it so far."""

    def expired_on(self, day: date) -> bool:
        """Whether it has run out by date."""
        return self.valid_to < day

    def living_on(self, day: date) -> bool:
        """Whether it still stands in the way of another relation of the pair."""
        return self.state is not RelationState.ENDED and not self.expired_on(day)


def end(relation: Relation, cause: EndCause, reason: str, at: datetime) -> Relation:
    """The ended relation (R13, R14); one that has ended stays as it is."""
    if relation.state is RelationState.ENDED:
        return relation
    return replace(relation, state=RelationState.ENDED, end_cause=cause, state_reason=reason, ended_at=at)


def suspend(relation: Relation, reason: str) -> Relation:
    """The suspended relation; suspending again changes nothing. Raises StateForbids when it has ended."""
    _refuse_ended(relation)
    if relation.state is RelationState.SUSPENDED:
        return relation
    return replace(relation, state=RelationState.SUSPENDED, state_reason=reason)


def resume(relation: Relation) -> Relation:
    """The active relation; resuming an active one changes nothing. Raises StateForbids when it has ended."""
    _refuse_ended(relation)
    if relation.state is RelationState.ACTIVE:
        return relation
    return replace(relation, state=RelationState.ACTIVE, state_reason="")


def change_limits(relation: Relation, limits: Limits) -> Relation:
    """The relation under new limits (R6); lowering below what is used blocks further use and breaks nothing."""
    _refuse_ended(relation)
    return replace(relation, limits=limits)


def _refuse_ended(relation: Relation) -> None:
    if relation.state is RelationState.ENDED:
        raise StateForbids("the relation has ended; apply for a new one", {"state": relation.state})


def next_priority(living: Iterable[Relation]) -> int:
    """The place after all payers that a beneficiary has."""
    return min(MAX_PRIORITY, max((relation.priority for relation in living), default=0) + 1)


def payers_in_order(relations: Iterable[Relation], paid: Collection[UUID] = ()) -> list[Relation]:
    """The newest relation of each pair, in the order in which they pay (R5): priority, then approval, then id.

    Earlier ones under which a settlement was `paid` that is to be replaced come just before the newest of their pair.
    """
    by_approval = sorted(relations, key=_by_approval)
    newest = {_pair(relation): relation for relation in by_approval}
    chosen = [it for it in by_approval if it is newest[_pair(it)] or it.relation_id in paid]
    return sorted(chosen, key=lambda it: (newest[_pair(it)].priority, *_by_approval(newest[_pair(it)])))


def _pair(relation: Relation) -> tuple[str, str]:
    return relation.payer_psn_no, relation.beneficiary_psn_no


def _by_approval(relation: Relation) -> tuple[datetime, UUID]:
    return relation.approved_at, relation.relation_id


def decline_reason(relation: Relation, day: date, persons: Mapping[str, Person]) -> str | None:
    """Why a relation pays nothing on a day, the first of the vocabulary's order; None when it may pay.

    Frozen and closed accounts are settlement's to tell: binding does not know accounts.
    """
    payer = persons.get(relation.payer_psn_no)
    checks = (
        ("RELATION_NOT_STARTED", day < relation.valid_from),
        ("RELATION_ENDED", relation.state is RelationState.ENDED or _one_died(relation, persons)),
        ("RELATION_EXPIRED", relation.expired_on(day)),
        ("RELATION_SUSPENDED", relation.state is RelationState.SUSPENDED),
        ("PAYER_ARREARS", payer is not None and payer.in_arrears_on(day)),
    )
    return next((reason for reason, applies in checks if applies), None)


def _one_died(relation: Relation, persons: Mapping[str, Person]) -> bool:
    both = (persons.get(relation.payer_psn_no), persons.get(relation.beneficiary_psn_no))
    return any(person is not None and person.died_on is not None for person in both)
