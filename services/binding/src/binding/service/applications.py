"""Applications: drafts, proofs, consent, handing in."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from binding import events
from binding.domain import applications as rules
from binding.domain import proofs
from binding.domain.applications import Application, Proof, ProofKind, Step
from binding.domain.eligibility import Circumstances, Policy, is_minor, refuse_ineligible, refuse_self
from binding.domain.errors import Forbidden, NotFound
from binding.domain.history import ChangeKind, Entry, Mark, change_of
from binding.domain.reviews import queue_place
from binding.domain.working_days import Promise
from binding.repository import Repository
from binding.service.caller import Caller
from binding.service.history import history_for, save_application
from kit.clock import Clock, shanghai_date
from kit.crypto import KeyRing
from kit.db import Work
from kit.errors import FieldViolation, InvalidFields, Refusal
from kit.ids import uuid7

MAX_PROOFS = 10
_NOT_PAYER = "only the payer, who is a minor's parent, may do this"


class Applications:
    """What payers and beneficiaries do with an application."""

    def __init__(
        self, work: Work[Repository], clock: Clock, keyring: KeyRing, policy: Policy, promise: Promise
    ) -> None:
        self._work = work
        self._clock = clock
        self._keyring = keyring
        self._policy = policy
        self._promise = promise

    async def create(self, caller: Caller, draft: Application, request_id: UUID) -> UUID:
        """Store a draft; the same request id gives the same application.

        Raises:
            Forbidden: the caller is not the payer.
            InvalidFields: the dates exclude each other.
            Refusal: `REQUEST_ID_REUSED`, with another body.
        """
        caller.require_self(draft.payer_psn_no, _NOT_PAYER)
        refuse_self(draft.payer_psn_no, draft.beneficiary_psn_no)
        body_hash = _hash_of(draft)
        async with self._work() as repository:
            created = await repository.create_application(draft, request_id, body_hash)
            if created.body_hash != body_hash:
                raise Refusal("REQUEST_ID_REUSED", "this request_id was used for another application; take a new one")
            if created.application_id == draft.application_id:  # a repeat is answered also when its dates have passed
                now = self._clock.now()
                _refuse_dates(draft, now)
                await repository.add_history([change_of(None, draft, Mark(ChangeKind.CREATED, caller.who, now))])
        return created.application_id

    async def expect_proof(self, caller: Caller, application_id: UUID) -> None:
        """Raise what `add_proof` would, before anybody sends ten megabytes."""
        async with self._work() as repository:
            await _open_for_proof(repository, caller, application_id)

    async def add_proof(self, caller: Caller, application_id: UUID, kind: ProofKind, content: bytes) -> Proof:
        """Store a proof, encrypted; the same file of the same kind gives the same proof.

        Raises:
            ProofUnacceptable: it is no whole PDF, JPEG or PNG, is too large, or the application has too many.
            StateForbids: the application is no longer open.
        """
        proof = Proof(
            proof_id=uuid7(),
            kind=kind,
            media_type=proofs.media_type_of(content),
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
        )
        # In a thread: ten megabytes of SM4 would keep every other call of this process waiting.
        sealed = await asyncio.to_thread(self._keyring.encrypt, content, proof_context(application_id, proof.sha256))
        async with self._work() as repository:
            application = await _open_for_proof(repository, caller, application_id)
            if len(application.proofs) >= MAX_PROOFS and proof.sha256 not in {p.sha256 for p in application.proofs}:
                raise proofs.ProofUnacceptable(f"an application has {MAX_PROOFS} proofs at most")
            stored = await repository.add_proof(application_id, proof, sealed)
            if stored.proof_id == proof.proof_id:  # else the same file was there
                changed = replace(application, proofs=(*application.proofs, proof))
                mark = Mark(ChangeKind.PROOF_ADDED, caller.who, self._clock.now())
                await repository.add_history([change_of(application, changed, mark)])
            return stored

    async def consent(self, caller: Caller, application_id: UUID) -> datetime:
        """Record the adult beneficiary's consent (R4); when it was given first."""
        now = self._clock.now()
        async with self._work() as repository:
            application = await locked(repository, application_id)
            caller.require_self(application.beneficiary_psn_no, "only the beneficiary consents")
            persons = await repository.persons([application.beneficiary_psn_no])
            if is_minor(persons.get(application.beneficiary_psn_no), shanghai_date(now), self._policy):
                raise Forbidden("a minor does not consent; a parent applies (R4)")
            consented = rules.consent(application, now)
            if consented is not application:
                mark = Mark(ChangeKind.CONSENTED, caller.who, now)
                await save_application(repository, application, consented, mark)
        return consented.consented_at or now

    async def submit(self, caller: Caller, application_id: UUID) -> Application:
        """Hand in, if the rules allow it today; again, it is what it has become since."""
        now = self._clock.now()
        async with self._work() as repository:
            application = await locked(repository, application_id)
            caller.require_self(application.payer_psn_no, _NOT_PAYER)
            submitted = rules.submit(application, now)
            if submitted is application:
                return application
            facts = await circumstances(repository, application, now)
            refuse_ineligible(application, facts, self._policy)
            submitted = queue_place(submitted, facts.payer, facts.day, self._promise.due_on(facts.day))
            submitted = events.counted(submitted)
            mark = Mark(ChangeKind.SUBMITTED, caller.who, now)
            await save_application(repository, application, submitted, mark)
            await repository.outbox.add([events.application_submitted(submitted, now)])
            return submitted

    async def get(self, caller: Caller, application_id: UUID) -> Application:
        """One application, for its parties and staff."""
        async with self._work() as repository:
            application = await _found(repository, application_id)
        caller.require_sight(application)
        return application

    async def history(self, caller: Caller, application_id: UUID, after: int, limit: int) -> Sequence[Entry]:
        """A page of its history, for its parties and staff."""
        async with self._work() as repository:
            application = await _found(repository, application_id)
            return await history_for(repository, caller, application, after, limit)


def proof_context(application_id: UUID, sha256: str) -> bytes:
    """What a proof's ciphertext is bound to: it opens only as this file of this application."""
    return f"binding proof {application_id} {sha256}".encode()


async def locked(repository: Repository, application_id: UUID) -> Application:
    """The application, locked. Raises NotFound."""
    return await _found(repository, application_id, lock=True)


async def circumstances(repository: Repository, application: Application, now: datetime) -> Circumstances:
    """What an application is judged by today. Nobody concerned can be recorded dead before it is decided."""
    persons = await repository.persons(application.parties, lock=True)
    return Circumstances(
        payer=persons.get(application.payer_psn_no),
        beneficiary=persons.get(application.beneficiary_psn_no),
        relations=tuple(await repository.relations_of_beneficiary(application.beneficiary_psn_no)),
        pending_application_id=await repository.pending_application(
            application.payer_psn_no, application.beneficiary_psn_no
        ),
        day=shanghai_date(now),
    )


async def _open_for_proof(repository: Repository, caller: Caller, application_id: UUID) -> Application:
    application = await locked(repository, application_id)
    caller.require_self(application.payer_psn_no, _NOT_PAYER)
    rules.after(application.state, Step.ADD_PROOF)
    return application


async def _found(repository: Repository, application_id: UUID, *, lock: bool = False) -> Application:
    application = await repository.application(application_id, lock=lock)
    if application is None:
        raise NotFound("there is no such application")
    return application


def _hash_of(draft: Application) -> bytes:
    limits = draft.limits
    body = (
        draft.payer_psn_no,
        draft.beneficiary_psn_no,
        draft.relationship.value,
        (limits.settlement_fen, limits.day_fen, limits.month_fen, limits.year_fen, limits.total_fen),
        draft.valid_from,
        draft.valid_to,
        draft.priority,
        draft.pledge_version,
    )
    return hashlib.sha256(repr(body).encode()).digest()


def _refuse_dates(draft: Application, now: datetime) -> None:
    first = draft.valid_from or shanghai_date(now)
    if draft.valid_to < first:
        raise InvalidFields([FieldViolation("valid_to", "lies before the first day of validity")])
