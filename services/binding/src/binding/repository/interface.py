"""What the service needs of its data. The contract suite holds the fake and PostgreSQL to it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from binding.domain.applications import Application, Consent, Proof
from binding.domain.authorizations import Outcome, Recorded
from binding.domain.batch import Book, Request
from binding.domain.history import AggregateKind, Change, Entry, ProofView
from binding.domain.limits import CounterKey, Use
from binding.domain.nearly_used import NearlyUsed
from binding.domain.notices import Days, NoticeKind
from binding.domain.persons import Enrolment, Person
from binding.domain.relations import Relation
from binding.domain.review_statistics import ClerkDay, Figures
from binding.domain.reviews import Clerk, QueueState, ReviewStep
from binding.domain.sides import Side
from kit.inbox import Inbox
from kit.outbox import Outbox


class Verified(NamedTuple):
    """A person passed the real-name check."""

    psn_no: str
    brdy: date
    verified_at: datetime


class Corrected(NamedTuple):
    """A person's birth date was corrected."""

    psn_no: str
    brdy: date
    sequence: int
    """The correction's place among the person's events: of two, the greater one is the newer."""


class Place(NamedTuple):
    """Where a page of a list ended: a time and the id that breaks ties."""

    at: datetime
    id: UUID


class QueuePlace(NamedTuple):
    """Where a page of the queue ended: due day, handing in, and the id that breaks ties."""

    due_on: date
    submitted_at: datetime
    application_id: UUID

    @classmethod
    def of(cls, application: Application) -> "QueuePlace":
        """Where an application stands; one without a due day comes first."""
        return cls(
            application.due_on or date(1970, 1, 1),
            application.submitted_at or datetime(1970, 1, 1, tzinfo=UTC),
            application.application_id,
        )


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which part of the queue is asked for; what is empty does not matter."""

    region: str = ""
    state: QueueState | None = None
    overdue_on: date | None = None
    """Due before this day."""
    handler: str = ""


@dataclass(frozen=True, slots=True)
class Period:
    """Days whose reviews are asked for, of one region unless it is empty."""

    first: date
    last: date
    region: str = ""


class QueueCount(NamedTuple):
    """The queue of a region in figures."""

    region: str
    waiting: int
    claimed: int
    handled: int
    overdue: int
    oldest_submitted_at: datetime


class Repository(Protocol):
    """The data of binding in one unit of work.

    Locks are taken in one order everywhere, so that nobody waits in a circle: applications, persons by psn_no,
    authorizations by id, relations by id, new authorizations by id.
    """

    @property
    def outbox(self) -> Outbox:
        """Events of this unit of work."""
        ...

    @property
    def inbox(self) -> Inbox:
        """Events taken in by this unit of work."""
        ...

    # persons

    async def persons(self, psn_nos: Collection[str], *, lock: bool = False) -> dict[str, Person]:
        """The known ones among these. With `lock`, none of them can be recorded dead until this unit of work ends."""
        ...

    async def lock_persons(self, psn_nos: Collection[str]) -> None:
        """Keep everybody else from recording or relying on these persons until this unit of work ends."""
        ...

    async def record_verified(self, rows: Sequence[Verified]) -> None:
        """Take in birth dates; what is known already stays."""
        ...

    async def record_corrected(self, rows: Sequence[Corrected]) -> None:
        """Take in corrected birth dates: the newest replaces what is known, whichever comes first."""
        ...

    async def record_enrolments(self, rows: Sequence[tuple[str, Enrolment]]) -> None:
        """Take in enrolments, in any order; one of a known sequence is known."""
        ...

    async def record_deaths(self, rows: Sequence[tuple[str, date]]) -> None:
        """Take in days of death; what is known already stays."""
        ...

    # applications

    async def add_application(self, draft: Application) -> None:
        """Store a new draft."""
        ...

    async def application(self, application_id: UUID, *, lock: bool = False) -> Application | None:
        """An application with its proofs; with `lock`, nobody else changes it until this unit of work ends."""
        ...

    async def save_application(self, application: Application) -> None:
        """Store what steps change: what is asked for, state, consent, review, relation, sequence; not the proofs.

        Raises:
            RelationExists: another application of the pair waits.
        """
        ...

    async def pending_application(self, payer_psn_no: str, beneficiary_psn_no: str) -> UUID | None:
        """The application of a pair that waits for a clerk or a decision."""
        ...

    async def applications_of_person(self, psn_no: str, after: Place | None, limit: int) -> list[Application]:
        """A person's applications as payer or beneficiary, newest draft first."""
        ...

    async def lock_lapsed_applications(self, open_since: datetime, limit: int) -> list[Application]:
        """Drafts from that moment or before, and applications that were returned then or before, the oldest first.

        Locked; what another unit of work has in hand is left out.
        """
        ...

    async def add_consent(self, consent: Consent) -> None:
        """Keep a consent with its evidence, for good."""
        ...

    async def add_proof(self, application_id: UUID, proof: Proof, content_ct: bytes) -> Proof:
        """Store a proof, unless the application has the same file of that kind: then that one."""
        ...

    async def proof_content(self, application_id: UUID, proof_id: UUID) -> bytes | None:
        """The encrypted bytes of a proof; None when the application has none of that id."""
        ...

    async def add_proof_view(self, view: ProofView) -> None:
        """Keep a look at a proof, for good."""
        ...

    async def proof_views(self, application_id: UUID, after: Place | None, limit: int) -> list[ProofView]:
        """Looks at the proofs of an application, the latest first."""
        ...

    async def remove_proof(self, application_id: UUID, proof_id: UUID) -> None:
        """Delete a proof with its bytes."""
        ...

    # reviews

    async def database_time(self) -> datetime:
        """The time of the database: what leases are judged by."""
        ...

    async def queue(self, wanted: QueueFilter, after: QueuePlace | None, limit: int) -> list[Application]:
        """Submitted and claimed applications, oldest due first."""
        ...

    async def queue_counts(self, region: str, today: date) -> list[QueueCount]:
        """The queue in figures, by region; of one region unless it is empty."""
        ...

    async def next_waiting(self, region: str, clerk: Clerk) -> Application | None:
        """The oldest due one that the clerk may claim, locked; what another unit of work has locked is passed over."""
        ...

    async def renew_claim(self, application: Application) -> None:
        """Store when the claim runs out, and nothing else."""
        ...

    async def lock_applications(self, application_ids: Collection[UUID]) -> dict[UUID, Application]:
        """The known ones among these; nobody else changes them until this unit of work ends."""
        ...

    async def add_review_steps(self, steps: Sequence[ReviewStep]) -> None:
        """Write down, for good, what clerks did."""
        ...

    async def review_steps_of_items(self, clerk: str, request_ids: Collection[UUID]) -> dict[UUID, ReviewStep]:
        """What a clerk did by items of batches with these request ids."""
        ...

    async def figures_by_clerk(
        self, period: Period, after: ClerkDay | None, limit: int
    ) -> list[tuple[ClerkDay, Figures]]:
        """What each clerk did on each day of a period, by day, then clerk."""
        ...

    async def figures_by_region(self, period: Period) -> dict[str, Figures]:
        """What was done in each region in a period."""
        ...

    async def review_steps(self, application_id: UUID) -> list[ReviewStep]:
        """What was done with an application, in order."""
        ...

    # relations

    async def relations_on_record(self, psn_nos: Collection[str]) -> list[Relation]:
        """Every relation that has one of these as payer or beneficiary, ended ones too, by id."""
        ...

    async def relation(self, relation_id: UUID, *, lock: bool = False) -> Relation | None:
        """A relation; with `lock`, nobody else changes or spends under it until this unit of work ends."""
        ...

    async def relations_of_beneficiary(self, psn_no: str) -> list[Relation]:
        """Every relation of a beneficiary, ended ones too."""
        ...

    async def relations_of_person(self, psn_no: str, after: Place | None, limit: int) -> list[Relation]:
        """A person's relations as payer or beneficiary, newest approval first."""
        ...

    async def unended_relations_of(self, psn_no: str, side: Side, limit: int) -> list[Relation]:
        """Relations that have not ended with this person on that side: by priority, then approval, then id."""
        ...

    async def lock_unended_relations(self, psn_nos: Collection[str]) -> list[Relation]:
        """Relations that have not ended and have one of these as payer or beneficiary, locked, by id."""
        ...

    async def add_relation(self, relation: Relation) -> None:
        """Store a new relation.

        Raises:
            RelationExists: the pair has one that has not ended.
        """
        ...

    async def save_relation(self, relation: Relation) -> None:
        """Store what changes: limits, last day, priority, state, end, sequence."""
        ...

    # what has become due; locked, and what somebody else has locked is left for the next time

    async def lock_expired(self, day: date, limit: int) -> list[Relation]:
        """Relations that have not ended and whose last day is before this one, the longest over first."""
        ...

    async def lock_expiring(self, valid_to: Days, limit: int) -> list[Relation]:
        """Relations that have not ended, whose last day is one of these and was not told of."""
        ...

    async def lock_coming_of_age(self, born: Days, limit: int) -> list[tuple[Relation, date]]:
        """Relations that have not ended, whose untold, living beneficiary was born in these days; and that day."""
        ...

    async def note_told(self, kind: NoticeKind, about: Sequence[tuple[UUID, date]]) -> set[UUID]:
        """Note that these relations are told of a day; those that were not before."""
        ...

    async def await_enrolments(self, due: Collection[tuple[str, date]]) -> None:
        """Remember that a statement about a person begins on a later day."""
        ...

    async def take_due_enrolments(self, day: date, limit: int) -> list[str]:
        """Persons about whom a remembered statement has begun; they are forgotten, and may repeat."""
        ...

    async def uses(self, keys: Collection[CounterKey]) -> dict[CounterKey, Use]:
        """What is used and held in these windows; one that counts nothing may be left out."""
        ...

    # histories

    async def add_history(self, changes: Sequence[Change]) -> None:
        """Add a row for each, in order, after those that its application or relation has; both are locked."""
        ...

    async def history(self, kind: AggregateKind, aggregate_id: UUID, after: int, limit: int) -> list[Entry]:
        """The rows of one history behind position `after`, oldest first."""
        ...

    async def nearly_used_told(self, keys: Collection[CounterKey]) -> set[CounterKey]:
        """Those of these windows of which it was told that they are nearly used."""
        ...

    async def note_nearly_used(self, notices: Sequence[NearlyUsed]) -> None:
        """Remember that these are told, so that they are told once; their relations are locked."""
        ...

    # authorizations

    async def held(self, min_age_seconds: float, after: Place | None, limit: int) -> list[Recorded]:
        """What has been HELD for so long by the database's clock, the longest first, behind a place."""
        ...

    async def captured(self, first: UUID, limit: int) -> list[Recorded]:
        """What is CAPTURED, by id, from one on."""
        ...

    async def recorded(self, ids: Collection[UUID]) -> list[Recorded]:
        """The authorizations of these ids in whatever state, those that there are, in no order."""
        ...

    async def end_holds(self, outcomes: Sequence[Outcome], nearly_used_percent: int) -> list[Outcome]:
        """End the holds that outcomes end without touching anything else (`binding.domain.ends`), before any book.

        Returns the outcomes that are left for a book of the same unit of work; those may be all.
        """
        ...

    async def open_book(self, requests: Sequence[Request], outcomes: Sequence[Outcome], *, hold: bool) -> Book:
        """Everything that these requests (with the outcomes that they carry) and outcomes touch.

        Whatever an outcome may move is locked, with `hold` also what a request replaces and every payer's relation.
        """
        ...

    async def close_book(self, book: Book) -> None:
        """Write what changed, under the same locks.

        Raises:
            GuardBroken: a grant would exceed a limit; nothing may be committed then.
            asyncpg.SerializationError: somebody else has made one of the new authorizations meanwhile; `retrying` runs
                the unit of work again, which finds it then.
        """
        ...
