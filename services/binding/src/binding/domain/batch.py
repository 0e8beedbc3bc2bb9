"""Authorizing a list: each request in the order of arrival, its outcomes first, over one book of counters.

The book is filled by the repository with everything that the batch touches, under locks. What comes out is the answers
and what to write. Nothing here waits, and nothing that one request brings can fail another.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from uuid import UUID

from binding.domain.authorizations import (
    Authorization,
    AuthorizationState,
    Charges,
    Outcome,
    apply_outcome,
    change_of_charges,
    contradicts,
    grants_of,
    hold,
)
from binding.domain.granting import Grant, grant
from binding.domain.limits import NO_USE, CounterKey, Use
from binding.domain.persons import Person
from binding.domain.relations import Relation, payers_in_order

MAX_REQUEST_AGE = timedelta(minutes=10)
"""An older request may be one that settlement has given up and forgotten; a hold for it would never end."""


@dataclass(frozen=True, slots=True)
class Request:
    """What settlement asks about one bill."""

    authorization_id: UUID
    beneficiary_psn_no: str
    need_fen: int
    occurred_at: datetime
    occurred_on: date
    """Asia/Shanghai date of `occurred_at`: validity and windows."""
    requested_at: datetime
    """Real time, not the movable clock."""
    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What settlement is told: grants in the order in which they pay, or the reason why there is no answer."""

    authorization_id: UUID
    grants: tuple[Grant, ...] = ()
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Settlement decided twice, differently. The first decision stands."""

    authorization_id: UUID
    state: AuthorizationState
    outcome: str


@dataclass(slots=True)
class Book:
    """Everything a batch reads, as it is under the locks, and what it changes."""

    relations: Mapping[UUID, Relation]
    """The relations of all patients, and those that outcomes name."""
    persons: Mapping[str, Person]
    uses: dict[CounterKey, Use]
    authorizations: dict[UUID, Authorization]
    """Known ones only."""
    counted: frozenset[CounterKey] = frozenset()
    """Counters that have a row already."""
    freed: Charges = field(default_factory=dict)
    """Counter changes by outcomes: never refused."""
    held: Charges = field(default_factory=dict)
    """Counter changes by grants: guarded once more when written."""
    changed: dict[UUID, Authorization] = field(default_factory=dict)
    contradictions: list[Contradiction] = field(default_factory=list)
    unknown_relations: set[UUID] = field(default_factory=set)

    def apply(self, outcome: Outcome) -> None:
        """Move the outcome's authorization forward, with the counters."""
        outcome = self._on_known_relations(outcome)
        before = self.authorizations.get(outcome.authorization_id)
        if before is not None and contradicts(before.state, outcome.state):
            self.contradictions.append(Contradiction(outcome.authorization_id, before.state, outcome.state))
        after = apply_outcome(before, outcome)
        if after is not before:
            self._record(before, after, self.freed)

    def hold(self, authorization: Authorization) -> None:
        """Hold what a new authorization was granted."""
        self._record(None, authorization, self.held)

    def payers_of(self, beneficiary_psn_no: str) -> list[Relation]:
        """The patient's payers in the order in which they pay."""
        return payers_in_order(
            relation for relation in self.relations.values() if relation.beneficiary_psn_no == beneficiary_psn_no
        )

    def _record(self, before: Authorization | None, after: Authorization, ledger: Charges) -> None:
        self.authorizations[after.authorization_id] = after
        self.changed[after.authorization_id] = after
        for key, change in change_of_charges(before, after).items():
            ledger[key] = ledger.get(key, NO_USE) + change
            self.uses[key] = self.uses.get(key, NO_USE) + change

    def _on_known_relations(self, outcome: Outcome) -> Outcome:
        unknown = {line.relation_id for line in outcome.lines} - self.relations.keys()
        if not unknown:
            return outcome
        self.unknown_relations |= unknown
        return replace(outcome, lines=tuple(line for line in outcome.lines if line.relation_id not in unknown))


def refuse_early(requests: Sequence[Request], real_now: datetime) -> list[Answer | None]:
    """For each request why it is refused without looking at anything, or None.

    A batch has no patient and no id twice: of repeats, only the first is answered.
    """
    ids: set[UUID] = set()
    patients: set[str] = set()
    refusals: list[Answer | None] = []
    for request in requests:
        repeated = request.authorization_id in ids or request.beneficiary_psn_no in patients
        too_old = real_now - request.requested_at > MAX_REQUEST_AGE
        refusal = "INVALID_FIELDS" if repeated else "REQUEST_TOO_OLD" if too_old else None
        refusals.append(Answer(request.authorization_id, refusal=refusal) if refusal else None)
        ids.add(request.authorization_id)
        patients.add(request.beneficiary_psn_no)
    return refusals


def apply_all(outcomes: Iterable[Outcome], book: Book) -> None:
    """The one transition, for outcomes that come along with a request and for those that come as events."""
    for outcome in outcomes:
        book.apply(outcome)


def authorize_all(requests: Sequence[Request], book: Book) -> list[Answer]:
    """Apply each request's outcomes, then answer it and hold what it is granted: as if asked one by one."""
    return _answer_all(requests, book, book.hold)


def preview_all(requests: Sequence[Request], book: Book) -> list[Answer]:
    """The answers that `authorize_all` would give, holding nothing."""
    return _answer_all(requests, book, lambda _: None)


def _answer_all(requests: Sequence[Request], book: Book, keep: Callable[[Authorization], None]) -> list[Answer]:
    return [_answer(request, book, keep) for request in requests]


def _answer(request: Request, book: Book, keep: Callable[[Authorization], None]) -> Answer:
    apply_all(request.outcomes, book)
    known = book.authorizations.get(request.authorization_id)
    if known is not None:
        return _repeated(known)
    day = request.occurred_on
    grants = tuple(
        grant(request.need_fen, relation, day, book.uses, book.persons)
        for relation in book.payers_of(request.beneficiary_psn_no)
    )
    keep(hold(request.authorization_id, request.beneficiary_psn_no, request.occurred_at, day, grants))
    return Answer(request.authorization_id, grants)


def _repeated(known: Authorization) -> Answer:
    if known.state is AuthorizationState.HELD:
        return Answer(known.authorization_id, grants_of(known))
    return Answer(known.authorization_id, refusal="ABANDONED")
