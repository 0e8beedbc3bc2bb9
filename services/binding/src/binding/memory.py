"""The repository in memory, for unit tests; the contract suite holds it to what PostgreSQL does."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from uuid import UUID

from binding.domain.applications import Application, ApplicationState, Consent, Proof
from binding.domain.authorizations import Authorization, AuthorizationState, Line, Outcome, Recorded
from binding.domain.batch import Book, Request
from binding.domain.eligibility import RelationExists
from binding.domain.history import AggregateKind, Change, Entry, ProofView
from binding.domain.limits import NO_USE, CounterKey, Use
from binding.domain.nearly_used import NearlyUsed, newest
from binding.domain.persons import Enrolment, Person
from binding.domain.relations import Relation, RelationState
from binding.domain.sides import Side
from binding.memory_due import MemoryDue
from binding.memory_reviews import MemoryReviews
from binding.repository import Corrected, GuardBroken, Place, Verified
from kit.inbox import MemoryInbox
from kit.outbox import MemoryOutbox

_OPEN = frozenset({ApplicationState.DRAFT, ApplicationState.RETURNED})
_PENDING = frozenset({ApplicationState.SUBMITTED, ApplicationState.CLAIMED})


class MemoryRepository(MemoryReviews, MemoryDue):
    """See `binding.repository.Repository`; `kit.testing.MemoryWork` makes units of work of it."""

    def __init__(self) -> None:
        MemoryReviews.__init__(self)
        MemoryDue.__init__(self)
        self.outbox = MemoryOutbox("binding")
        self.inbox = MemoryInbox()
        self.known_persons: dict[str, Person] = {}
        self.brdy_sequences: dict[str, int] = {}
        self.consents: list[Consent] = []
        self.views: list[ProofView] = []
        self.contents: dict[UUID, bytes] = {}
        self.relations: dict[UUID, Relation] = {}
        self.counters: dict[CounterKey, Use] = {}
        self.told: set[CounterKey] = set()
        self.authorizations: dict[UUID, Authorization] = {}
        self.authorized_at: dict[UUID, datetime] = {}
        self.histories: dict[tuple[AggregateKind, UUID], list[Entry]] = {}

    async def persons(self, psn_nos: Collection[str], *, lock: bool = False) -> dict[str, Person]:
        """See `Repository.persons`; units of work run one at a time here."""
        del lock
        return {psn_no: self.known_persons[psn_no] for psn_no in psn_nos if psn_no in self.known_persons}

    async def lock_persons(self, psn_nos: Collection[str]) -> None:
        """See `Repository.lock_persons`."""
        for psn_no in psn_nos:
            self.known_persons.setdefault(psn_no, Person(psn_no))

    async def record_verified(self, rows: Sequence[Verified]) -> None:
        """See `Repository.record_verified`."""
        for row in rows:
            person = self._person(row.psn_no)
            self.known_persons[row.psn_no] = replace(person, brdy=person.brdy or row.brdy)

    async def record_corrected(self, rows: Sequence[Corrected]) -> None:
        """See `Repository.record_corrected`."""
        for row in rows:
            if row.sequence > self.brdy_sequences.get(row.psn_no, 0):
                self.brdy_sequences[row.psn_no] = row.sequence
                self.known_persons[row.psn_no] = replace(self._person(row.psn_no), brdy=row.brdy)

    async def record_enrolments(self, rows: Sequence[tuple[str, Enrolment]]) -> None:
        """See `Repository.record_enrolments`."""
        for psn_no, enrolment in rows:
            person = self._person(psn_no)
            if enrolment.sequence not in {known.sequence for known in person.enrolments}:
                in_order = sorted((*person.enrolments, enrolment), key=lambda known: known.sequence)
                person = replace(person, enrolments=tuple(in_order))
            self.known_persons[psn_no] = person

    async def record_deaths(self, rows: Sequence[tuple[str, date]]) -> None:
        """See `Repository.record_deaths`."""
        for psn_no, died_on in rows:
            person = self._person(psn_no)
            self.known_persons[psn_no] = replace(person, died_on=person.died_on or died_on)

    def _person(self, psn_no: str) -> Person:
        return self.known_persons.get(psn_no, Person(psn_no))

    async def add_application(self, draft: Application) -> None:
        """See `Repository.add_application`."""
        self.applications[draft.application_id] = draft

    async def application(self, application_id: UUID, *, lock: bool = False) -> Application | None:
        """See `Repository.application`."""
        del lock
        return self.applications.get(application_id)

    async def save_application(self, application: Application) -> None:
        """See `Repository.save_application`."""
        pending = await self.pending_application(application.payer_psn_no, application.beneficiary_psn_no)
        if application.state in _PENDING and pending not in {None, application.application_id}:
            raise RelationExists("an application of this pair is waiting for its decision")
        proofs = self.applications[application.application_id].proofs
        self.applications[application.application_id] = replace(application, proofs=proofs)

    async def pending_application(self, payer_psn_no: str, beneficiary_psn_no: str) -> UUID | None:
        """See `Repository.pending_application`."""
        for application in self.applications.values():
            pair = (application.payer_psn_no, application.beneficiary_psn_no)
            if pair == (payer_psn_no, beneficiary_psn_no) and application.state in _PENDING:
                return application.application_id
        return None

    async def applications_of_person(self, psn_no: str, after: Place | None, limit: int) -> list[Application]:
        """See `Repository.applications_of_person`."""
        places = {
            Place(application.created_at, application.application_id): application
            for application in self.applications.values()
            if psn_no in application.parties
        }
        newest_first = sorted(places, reverse=True)
        return [places[place] for place in newest_first if after is None or place < after][:limit]

    async def lock_lapsed_applications(self, open_since: datetime, limit: int) -> list[Application]:
        """See `Repository.lock_lapsed_applications`."""
        places = {
            Place(application.decided_at or application.created_at, application.application_id): application
            for application in self.applications.values()
            if application.state in _OPEN
        }
        return [places[place] for place in sorted(places) if place.at <= open_since][:limit]

    async def add_consent(self, consent: Consent) -> None:
        """See `Repository.add_consent`."""
        self.consents.append(consent)

    async def add_proof(self, application_id: UUID, proof: Proof, content_ct: bytes) -> Proof:
        """See `Repository.add_proof`."""
        application = self.applications[application_id]
        for known in application.proofs:
            if (known.kind, known.sha256) == (proof.kind, proof.sha256):
                return known
        self.applications[application_id] = replace(application, proofs=(*application.proofs, proof))
        self.contents[proof.proof_id] = content_ct
        return proof

    async def proof_content(self, application_id: UUID, proof_id: UUID) -> bytes | None:
        """See `Repository.proof_content`."""
        application = self.applications.get(application_id)
        known = {proof.proof_id for proof in application.proofs} if application else set[UUID]()
        return self.contents.get(proof_id) if proof_id in known else None

    async def add_proof_view(self, view: ProofView) -> None:
        """See `Repository.add_proof_view`."""
        self.views.append(view)

    async def proof_views(self, application_id: UUID, after: Place | None, limit: int) -> list[ProofView]:
        """See `Repository.proof_views`."""
        places = {Place(view.at, view.view_id): view for view in self.views if view.application_id == application_id}
        newest_first = sorted(places, reverse=True)
        return [places[place] for place in newest_first if after is None or place < after][:limit]

    async def remove_proof(self, application_id: UUID, proof_id: UUID) -> None:
        """See `Repository.remove_proof`."""
        application = self.applications.get(application_id)
        if application is not None and proof_id in {proof.proof_id for proof in application.proofs}:
            kept = tuple(proof for proof in application.proofs if proof.proof_id != proof_id)
            self.applications[application_id] = replace(application, proofs=kept)
            del self.contents[proof_id]

    async def relation(self, relation_id: UUID, *, lock: bool = False) -> Relation | None:
        """See `Repository.relation`."""
        del lock
        return self.relations.get(relation_id)

    async def relations_on_record(self, psn_nos: Collection[str]) -> list[Relation]:
        """See `Repository.relations_on_record`."""
        return sorted(self._relations_of(psn_nos), key=lambda relation: relation.relation_id)

    async def relations_of_beneficiary(self, psn_no: str) -> list[Relation]:
        """See `Repository.relations_of_beneficiary`."""
        return [relation for relation in self.relations.values() if relation.beneficiary_psn_no == psn_no]

    async def relations_of_person(self, psn_no: str, after: Place | None, limit: int) -> list[Relation]:
        """See `Repository.relations_of_person`."""
        places = {
            Place(relation.approved_at, relation.relation_id): relation for relation in self._relations_of({psn_no})
        }
        newest_first = sorted(places, reverse=True)
        return [places[place] for place in newest_first if after is None or place < after][:limit]

    async def unended_relations_of(self, psn_no: str, side: Side, limit: int) -> list[Relation]:
        """See `Repository.unended_relations_of`."""
        found = [
            it
            for it in self.relations.values()
            if psn_no == (it.payer_psn_no if side is Side.PAYER else it.beneficiary_psn_no)
            and it.state is not RelationState.ENDED
        ]
        return sorted(found, key=lambda it: (it.priority, it.approved_at, it.relation_id))[:limit]

    async def lock_unended_relations(self, psn_nos: Collection[str]) -> list[Relation]:
        """See `Repository.lock_unended_relations`."""
        unended = [r for r in self._relations_of(psn_nos) if r.state is not RelationState.ENDED]
        return sorted(unended, key=lambda relation: relation.relation_id)

    def _relations_of(self, psn_nos: Collection[str]) -> list[Relation]:
        return [r for r in self.relations.values() if r.payer_psn_no in psn_nos or r.beneficiary_psn_no in psn_nos]

    async def add_relation(self, relation: Relation) -> None:
        """See `Repository.add_relation`."""
        for known in await self.lock_unended_relations({relation.payer_psn_no}):
            if (known.payer_psn_no, known.beneficiary_psn_no) == (relation.payer_psn_no, relation.beneficiary_psn_no):
                raise RelationExists("this pair has a relation; unbind it first")
        self.relations[relation.relation_id] = relation

    async def save_relation(self, relation: Relation) -> None:
        """See `Repository.save_relation`."""
        self.relations[relation.relation_id] = relation

    async def uses(self, keys: Collection[CounterKey]) -> dict[CounterKey, Use]:
        """See `Repository.uses`."""
        return {key: self.counters[key] for key in keys if key in self.counters}

    async def add_history(self, changes: Sequence[Change]) -> None:
        """See `Repository.add_history`."""
        for change in changes:
            entries = self.histories.setdefault((change.kind, change.aggregate_id), [])
            entries.append(Entry(len(entries) + 1, change.mark, change.before, change.after))

    async def history(self, kind: AggregateKind, aggregate_id: UUID, after: int, limit: int) -> list[Entry]:
        """See `Repository.history`."""
        return self.histories.get((kind, aggregate_id), [])[after : after + limit]

    async def nearly_used_told(self, keys: Collection[CounterKey]) -> set[CounterKey]:
        """See `Repository.nearly_used_told`."""
        return self.told & set(keys)

    async def note_nearly_used(self, notices: Sequence[NearlyUsed]) -> None:
        """See `Repository.note_nearly_used`."""
        self.told |= {notice.key for notice in notices if notice.key in self.counters}
        for relation in newest(notices):
            known = self.relations[relation.relation_id]
            self.relations[relation.relation_id] = replace(known, sequence=relation.sequence)

    async def held(self, min_age_seconds: float, after: Place | None, limit: int) -> list[Recorded]:
        """See `Repository.held`."""
        until = self.real_time() - timedelta(seconds=min_age_seconds)
        every = await self.recorded(self.authorizations)
        held = [it for it in every if it.authorization.state is AuthorizationState.HELD and it.created_at <= until]
        held.sort(key=_place_of)
        return [it for it in held if after is None or _place_of(it) > after][:limit]

    async def captured(self, first: UUID, limit: int) -> list[Recorded]:
        """See `Repository.captured`."""
        every = await self.recorded(sorted(it for it in self.authorizations if it >= first))
        return [it for it in every if it.authorization.state is AuthorizationState.CAPTURED][:limit]

    async def recorded(self, ids: Collection[UUID]) -> list[Recorded]:
        """See `Repository.recorded`."""
        return [Recorded(self.authorizations[it], self.authorized_at[it]) for it in ids if it in self.authorizations]

    async def end_holds(self, outcomes: Sequence[Outcome], nearly_used_percent: int) -> list[Outcome]:
        """See `Repository.end_holds`."""
        del nearly_used_percent
        return list(outcomes)

    async def open_book(self, requests: Sequence[Request], outcomes: Sequence[Outcome], *, hold: bool) -> Book:
        """See `Repository.open_book`."""
        del requests, outcomes, hold
        return Book(
            relations=dict(self.relations),
            persons=dict(self.known_persons),
            uses=dict(self.counters),
            authorizations=dict(self.authorizations),
            told=set(self.told),
        )

    async def close_book(self, book: Book) -> None:
        """See `Repository.close_book`."""
        for changed in book.changed.values():
            self.authorizations[changed.authorization_id] = replace(changed, lines=self._named(changed.lines))
            self.authorized_at.setdefault(changed.authorization_id, self.real_time())
        for changes in (book.freed, book.held):
            for key, change in changes.items():
                self.counters[key] = self.counters.get(key, NO_USE) + change
        self._guard(book.held)

    def _named(self, lines: Iterable[Line]) -> tuple[Line, ...]:
        return tuple(replace(line, payer_psn_no=self.relations[line.relation_id].payer_psn_no) for line in lines)

    def _guard(self, keys: Iterable[CounterKey]) -> None:
        for key in keys:
            limit_fen = self.relations[key.relation_id].limits.of(key.window)
            if limit_fen is not None and self.counters[key].taken_fen > limit_fen:
                raise GuardBroken("a counter would exceed its limit")


def _place_of(recorded: Recorded) -> Place:
    return Place(recorded.created_at, recorded.authorization.authorization_id)
