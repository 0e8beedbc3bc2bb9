"""Authorizing a list: each request in the order of arrival, its outcomes first, over one book of counters.

The book is filled by the repository with everything that the batch touches, under locks. What comes out is the answers
and what to write. Nothing here waits, and nothing that one request brings can fail another.
"""

from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from uuid import UUID

from binding.domain.authorizations import (
    Authorization,
    AuthorizationState,
    Charges,
    Outcome,
    OutcomeState,
    apply_outcome,
    change_of_charges,
    charges,
    contradicts,
    grants_of,
    hold,
    moves,
)
from binding.domain.granting import Grant, grant
from binding.domain.limits import NO_USE, CounterKey, Use
from binding.domain.nearly_used import NEARLY_USED_PERCENT, NearlyUsed, nearly_used
from binding.domain.pairs import SETTLED, excess, may_replace, paid_under, restoring, without
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
    replaces: UUID | None = None
    """The authorization of the settlement that this one settles again (R12)."""
    payer_psn_no: str = ""
    """The one payer who is asked, as for a premium; empty: all of the patient's."""


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

    relations: dict[UUID, Relation]
    """The relations of all patients, and those that outcomes name."""
    persons: Mapping[str, Person]
    uses: dict[CounterKey, Use]
    authorizations: dict[UUID, Authorization]
    """Known ones only."""
    open_days: Mapping[UUID, date] = field(default_factory=dict)
    """For whoever keeps the counters: the latest day that was spent on under each relation."""
    known: frozenset[UUID] = frozenset()
    """For whoever keeps the authorizations: those that it has already."""
    told: set[CounterKey] = field(default_factory=set)
    """Counters of which it was told that they are nearly used."""
    nearly_used_percent: int = NEARLY_USED_PERCENT
    freed: Charges = field(default_factory=dict)
    """Counter changes by outcomes: never refused."""
    held: Charges = field(default_factory=dict)
    """Counter changes by grants: guarded once more when written."""
    changed: dict[UUID, Authorization] = field(default_factory=dict)
    contradictions: list[Contradiction] = field(default_factory=list)
    unknown_relations: set[UUID] = field(default_factory=set)
    notices: list[NearlyUsed] = field(default_factory=list)
    _of_patient: dict[str, list[UUID]] = field(default_factory=dict)

    def apply(self, outcome: Outcome) -> None:
        """Move the outcome's authorization forward, with the counters."""
        outcome = self._on_known_relations(outcome)
        before = self.authorizations.get(outcome.authorization_id)
        if before is not None and contradicts(before.state, outcome.state):
            self.contradictions.append(Contradiction(outcome.authorization_id, before.state, outcome.state))
        after = apply_outcome(before, outcome)
        if after is not before:
            self._record(after, self.freed)
            self._move_replaced(after, after.replaces or outcome.replaces)

    def hold(self, authorization: Authorization) -> None:
        """Hold what a new authorization was granted, and claim the one that it replaces."""
        self._record(authorization, self.held)
        replaced = self.find(authorization.replaces)
        if replaced is not None:
            self._keep(replace(replaced, replaced_by=authorization.authorization_id))

    def find(self, authorization_id: UUID | None) -> Authorization | None:
        """A known authorization."""
        return self.authorizations.get(authorization_id) if authorization_id else None

    def payers_of(self, beneficiary_psn_no: str, paid: Collection[UUID] = ()) -> list[Relation]:
        """The patient's payers in the order in which they pay."""
        relations = [self.relations[it] for it in self._of_patient.get(beneficiary_psn_no, ())]
        return payers_in_order(relations, paid)

    def group_by_patient(self) -> None:
        """Once for a batch: its requests must not each look at everybody's relations."""
        self._of_patient = {}
        for it in self.relations.values():
            self._of_patient.setdefault(it.beneficiary_psn_no, []).append(it.relation_id)

    def _move_replaced(self, after: Authorization, replaces: UUID | None) -> None:
        # Reversing the replaced settlement and making this one was one transaction: neither is without the other.
        replaced = self.find(replaces)
        if replaced is None:
            return
        if after.state in SETTLED and moves(replaced.state, OutcomeState.RESTORED):
            self.apply(restoring(replaced))
        elif after.state is AuthorizationState.RELEASED and replaced.replaced_by == after.authorization_id:
            self._keep(replace(replaced, replaced_by=None))

    def _record(self, after: Authorization, ledger: Charges) -> None:
        before = self._charged_around(after.authorization_id)
        self._keep(after)
        for key, change in change_of_charges(before, self._charged_around(after.authorization_id)).items():
            ledger[key] = ledger[key] + change if key in ledger else change
            self.uses[key] = self.uses[key] + change if key in self.uses else change
            self._notice(key)

    def _keep(self, authorization: Authorization) -> None:
        self.authorizations[authorization.authorization_id] = authorization
        self.changed[authorization.authorization_id] = authorization

    def _charged_around(self, authorization_id: UUID) -> Charges:
        """What depends on one authorization: its own charge, and by how much its successor exceeds it."""
        authorization = self.find(authorization_id)
        if authorization is None:
            return {}
        charged = charges(authorization)
        replaced, successor = self.find(authorization.replaces), self.find(authorization.replaced_by)
        own = excess(charged, charges(replaced)) if replaced else charged
        if successor is None:
            return own
        more = excess(charges(successor), charged)
        return {key: own.get(key, NO_USE) + more.get(key, NO_USE) for key in own | more}

    def _notice(self, key: CounterKey) -> None:
        relation = self.relations.get(key.relation_id)
        if relation is None or relation.limits.of(key.window) is None or key in self.told:
            return
        notice = nearly_used(relation, key, self.uses[key], self.nearly_used_percent)
        if notice is not None:
            self.told.add(key)
            self.relations[key.relation_id] = notice.relation
            self.notices.append(notice)

    def _on_known_relations(self, outcome: Outcome) -> Outcome:
        unknown = {line.relation_id for line in outcome.lines if line.relation_id not in self.relations}
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
        invalid = repeated or request.replaces == request.authorization_id
        refusal = "INVALID_FIELDS" if invalid else "REQUEST_TOO_OLD" if too_old else None
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
    book.group_by_patient()
    return [_answer(request, book, keep) for request in requests]


def _answer(request: Request, book: Book, keep: Callable[[Authorization], None]) -> Answer:
    apply_all(request.outcomes, book)
    known = book.authorizations.get(request.authorization_id)
    if known is not None:
        return _repeated(known)
    replaced = book.find(request.replaces)
    if request.replaces and (refusal := _refuse_replacing(request, replaced)):
        return Answer(request.authorization_id, refusal=refusal)
    grants = _grants(request, replaced, book)
    patient, day = request.beneficiary_psn_no, request.occurred_on
    keep(hold(request.authorization_id, patient, request.occurred_at, day, grants, replaces=request.replaces))
    return Answer(request.authorization_id, grants)


def _refuse_replacing(request: Request, replaced: Authorization | None) -> str | None:
    if replaced is not None and replaced.beneficiary_psn_no != request.beneficiary_psn_no:
        return "INVALID_FIELDS"
    return None if may_replace(replaced) else "IN_PROGRESS"


def _grants(request: Request, replaced: Authorization | None, book: Book) -> tuple[Grant, ...]:
    paid, day = paid_under(replaced), request.occurred_on
    uses = ChainMap(without(book.uses, charges(replaced)), book.uses) if replaced else book.uses
    return tuple(
        grant(request.need_fen, it, day, uses, book.persons, paid_before_fen=paid.get(it.relation_id, 0))
        for it in book.payers_of(request.beneficiary_psn_no, paid)
        if request.payer_psn_no in ("", it.payer_psn_no)
    )


def _repeated(known: Authorization) -> Answer:
    if known.state is AuthorizationState.HELD:
        return Answer(known.authorization_id, grants_of(known))
    return Answer(known.authorization_id, refusal="ABANDONED")
