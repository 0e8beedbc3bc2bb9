"""Proofs (证明材料): uploading and removing them while an application is the applicant's to change."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from binding.domain import applications as rules
from binding.domain import proofs
from binding.domain.applications import Application, Proof, ProofKind, Step
from binding.domain.eligibility import Policy
from binding.domain.errors import NotFound
from binding.domain.history import ChangeKind, Mark, ProofView, change_of, note_of
from binding.proof_checker import Check
from binding.repository import Place, Repository
from binding.service.applications import found, locked_as_payer
from binding.service.caller import Caller
from kit.clock import Clock
from kit.crypto import KeyRing
from kit.db import Work
from kit.ids import uuid7


class ProofDamagedError(Exception):
    """A stored proof cannot be what was stored."""


class File(NamedTuple):
    """A proof with its bytes."""

    proof: Proof
    content: bytes


class Proofs:
    """What payers do with the proofs of an application."""

    def __init__(self, work: Work[Repository], clock: Clock, keyring: KeyRing, policy: Policy, check: Check) -> None:
        self._work = work
        self._clock = clock
        self._keyring = keyring
        self._policy = policy
        self._check = check

    async def expect(self, caller: Caller, application_id: UUID) -> None:
        """Raise what `add` would, before anybody sends ten megabytes."""
        async with self._work() as repository:
            await self._open(repository, caller, application_id)

    async def add(self, caller: Caller, application_id: UUID, kind: ProofKind, content: bytes) -> Proof:
        """Store a proof, examined and encrypted; the same file of the same kind gives the same proof.

        Raises:
            ProofUnacceptable: it is no whole PDF, JPEG or PNG, is too large, has too many pixels or active content, or
                the application has too many.
            StateForbids: the application is no longer open.
        """
        media_type = proofs.media_type_of(content)
        kept = await self._check(media_type, content)
        sent_sha256, kept_sha256 = (hashlib.sha256(file).hexdigest() for file in (content, kept))
        proof = Proof(uuid7(), kind, media_type, sent_sha256, len(kept), kept_sha256)
        # In a thread: ten megabytes of SM4 would keep every other call of this process waiting.
        sealed = await asyncio.to_thread(self._keyring.encrypt, kept, proof_context(application_id, sent_sha256))
        async with self._work() as repository:
            application = await self._open(repository, caller, application_id)
            if (kind, sent_sha256) not in {(known.kind, known.sha256) for known in application.proofs}:
                proofs.refuse_too_many(len(application.proofs))
            stored = await repository.add_proof(application_id, proof, sealed)
            if stored.proof_id == proof.proof_id:  # else the same file was there
                mark = Mark(ChangeKind.PROOF_ADDED, caller.who, self._clock.now())
                changed = rules.add_proof(application, proof)
                await repository.add_history([change_of(application, changed, mark)])
            return stored

    async def remove(self, caller: Caller, application_id: UUID, proof_id: UUID) -> Application:
        """Delete a proof with its bytes; one that is not there changes nothing."""
        async with self._work() as repository:
            application = await locked_as_payer(repository, caller, application_id)
            rules.refuse_lapsed(application, self._clock.now(), self._policy.draft_life)
            changed = rules.remove_proof(application, proof_id)
            if changed is not application:
                await repository.remove_proof(application_id, proof_id)
                mark = Mark(ChangeKind.PROOF_REMOVED, caller.who, self._clock.now())
                await repository.add_history([change_of(application, changed, mark)])
            return changed

    async def download(self, caller: Caller, application_id: UUID, proof_id: UUID) -> File:
        """A proof with its bytes, for parties and staff. A clerk's look is on record before a byte leaves.

        Raises:
            NotFound: the application has no such proof.
            ProofDamagedError: what is stored is not what was stored; nothing of it is shown.
        """
        async with self._work() as repository:
            application = await found(repository, application_id, lock=caller.is_staff)
            caller.require_sight(application)
            proof = next((it for it in application.proofs if it.proof_id == proof_id), None)
            sealed = await repository.proof_content(application_id, proof_id)
            if proof is None or sealed is None:
                raise NotFound("the application has no such proof")
            if caller.is_staff:
                await self._note_view(repository, caller, application, proof)
        context = proof_context(application_id, proof.sha256)
        content = await asyncio.to_thread(self._keyring.decrypt, sealed, context)
        if hashlib.sha256(content).hexdigest() != (proof.kept_sha256 or proof.sha256):
            raise ProofDamagedError("a stored proof has another checksum than when it was stored")
        return File(proof, content)

    async def _note_view(self, repository: Repository, caller: Caller, application: Application, proof: Proof) -> None:
        mark = Mark(ChangeKind.PROOF_VIEWED, caller.who, self._clock.now())
        await repository.add_proof_view(
            ProofView(uuid7(), application.application_id, proof.proof_id, mark.at, mark.who)
        )
        await repository.add_history([note_of(application, mark, proof_id=str(proof.proof_id))])

    async def views(self, application_id: UUID, after: Place | None, limit: int) -> Sequence[ProofView]:
        """Who of the staff looked at the proofs of an application, the latest first; also of proofs that are gone."""
        async with self._work() as repository:
            await found(repository, application_id)
            return await repository.proof_views(application_id, after, limit)

    async def _open(self, repository: Repository, caller: Caller, application_id: UUID) -> Application:
        application = await locked_as_payer(repository, caller, application_id)
        rules.refuse_lapsed(application, self._clock.now(), self._policy.draft_life)
        rules.after(application.state, Step.ADD_PROOF)
        return application


def proof_context(application_id: UUID, sha256: str) -> bytes:
    """What a proof's ciphertext is bound to: it opens only as this file of this application."""
    return f"binding proof {application_id} {sha256}".encode()
