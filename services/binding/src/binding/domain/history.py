"""History (历史): what changed in an application or a relation, who did it, when and why. Rows are only ever added."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple, TypeAlias
from uuid import UUID

from binding.domain.applications import Application
from binding.domain.limits import LimitWindow
from binding.domain.relations import Relation

Value: TypeAlias = "str | int | bool | list[Value] | dict[str, Value] | None"
"""What JSON knows."""
Facts: TypeAlias = Mapping[str, Value]

_BOOKKEEPING = frozenset({"sequence"})
_STATED = ("payer_psn_no", "beneficiary_psn_no", "relationship", "valid_from", "valid_to", "priority")
_STEPS = ("state", "proofs", "pledge_version", "pledge_sha256", "consented_at", "submitted_at", "region", "due_on")
_DECISION = ("decision_reason", "decision_reason_code", "decided_at")
_OUTCOME = ("relation_id", "approved_at", "state_reason", "end_cause", "ended_at", "ended_from", "suspended_at")
_LIMITS = tuple(f"limits.{window.lower()}_fen" for window in LimitWindow)
_ALL_SEE = frozenset(_STATED + _STEPS + _DECISION + _OUTCOME + _LIMITS)
"""Fields that parties see; of what is not here, such as the names of clerks, only staff is told."""


class AggregateKind(StrEnum):
    """What has a history."""

    APPLICATION = "APPLICATION"
    RELATION = "RELATION"


class ChangeKind(StrEnum):
    """What was done."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    PROOF_ADDED = "PROOF_ADDED"
    PROOF_REMOVED = "PROOF_REMOVED"
    PROOF_VIEWED = "PROOF_VIEWED"
    CONSENTED = "CONSENTED"
    SUBMITTED = "SUBMITTED"
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"
    CLAIMED = "CLAIMED"
    HANDLED = "HANDLED"
    RELEASED = "RELEASED"
    HANDED_OVER = "HANDED_OVER"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    RETURNED = "RETURNED"
    ACTIVATED = "ACTIVATED"
    LIMITS_CHANGED = "LIMITS_CHANGED"
    VALIDITY_CHANGED = "VALIDITY_CHANGED"
    PRIORITY_CHANGED = "PRIORITY_CHANGED"
    SUSPENDED = "SUSPENDED"
    RESUMED = "RESUMED"
    ENDED = "ENDED"


_AMONG_CLERKS = frozenset({ChangeKind.RELEASED, ChangeKind.HANDED_OVER})
"""Why a clerk gave an application away is told to staff only."""


class Who(NamedTuple):
    """Who did it."""

    subject: str
    """`psn:<psn_no>`, `clerk:<name>`, a service's name, or `system` for what events and the scheduler do."""
    role: str
    """The roles that the assertion carried, sorted, with commas between."""

    @property
    def is_clerk(self) -> bool:
        """Whether this is a clerk, whose name parties are not told."""
        return self.subject.startswith("clerk:")


SYSTEM = Who("system", "system")


@dataclass(frozen=True, slots=True)
class Mark:
    """What is done, by whom, when and why."""

    what: ChangeKind
    who: Who
    at: datetime
    why: str = ""
    """The reason in the words of who did it, or the event that caused it; empty when none was given."""


@dataclass(frozen=True, slots=True)
class Change:
    """One row to add to a history."""

    kind: AggregateKind
    aggregate_id: UUID
    mark: Mark
    before: Facts
    after: Facts


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a history, as it is read."""

    position: int
    """1 is the first of its aggregate, without a gap."""
    mark: Mark
    before: Facts
    after: Facts

    def for_parties(self) -> "Entry":
        """What a party sees: no clerk's name, and no field that concerns only the desk."""
        who = Who("", self.mark.who.role) if self.mark.who.is_clerk else self.mark.who
        why = "" if self.mark.what in _AMONG_CLERKS else self.mark.why
        mark = Mark(self.mark.what, who, self.mark.at, why)
        return Entry(self.position, mark, _public(self.before), _public(self.after))


@dataclass(frozen=True, slots=True)
class ProofView:
    """A look of the staff at a proof; kept for good."""

    view_id: UUID
    application_id: UUID
    proof_id: UUID
    at: datetime
    who: Who


def change_of(before: Application | Relation | None, after: Application | Relation, mark: Mark) -> Change:
    """The row for what is different in `after`; `before` is None when it has just been made."""
    was, now = _flat(before) if before else {}, _flat(after)
    names = [name for name in now if was.get(name) != now[name]]
    if isinstance(after, Application):
        kind, aggregate_id = AggregateKind.APPLICATION, after.application_id
    else:
        kind, aggregate_id = AggregateKind.RELATION, after.relation_id
    return Change(kind, aggregate_id, mark, _chosen(was, names), _chosen(now, names))


def note_of(subject: Application | Relation, mark: Mark, **facts: Value) -> Change:
    """A row for something that changed nothing, such as a clerk's look at a proof."""
    change = change_of(subject, subject, mark)
    return Change(change.kind, change.aggregate_id, mark, {}, facts)


def _chosen(facts: Facts, names: Sequence[str]) -> Facts:
    return {name: facts[name] for name in names if facts.get(name) not in (None, "", [])}


def _public(facts: Facts) -> Facts:
    return {name: value for name, value in facts.items() if name in _ALL_SEE}


def _flat(aggregate: object, prefix: str = "") -> dict[str, Value]:
    """The fields by name; those of a part, such as the limits, as `limits.day_fen`."""
    found: dict[str, Value] = {}
    for field in fields(aggregate):  # type: ignore[arg-type]  # callers give dataclasses
        value, name = getattr(aggregate, field.name), f"{prefix}{field.name}"
        if is_dataclass(value):
            found |= _flat(value, f"{name}.")
        elif field.name not in _BOOKKEEPING:
            found[name] = _plain(value)
    return found


def _plain(value: object) -> Value:
    match value:
        case None | bool() | int():
            return value
        case datetime() | date():
            return value.isoformat()
        case str() | UUID():
            return str(value)
        case tuple():
            return [_plain(item) for item in value]
        case _ if is_dataclass(value):
            return dict(_flat(value))
    raise TypeError(f"a history cannot hold a {type(value).__name__}")
