"""Proofs (证明材料): uploading and removing them while an application is the applicant's to change."""

import asyncio
import hashlib
from uuid import UUID

from binding.domain import applications as rules
from binding.domain import proofs
from binding.domain.applications import Application, Proof, ProofKind, Step
from binding.domain.eligibility import Policy
from binding.domain.history import ChangeKind, Mark, change_of
from binding.repository import Repository
from binding.service.applications import locked_as_payer
from binding.service.caller import Caller
from kit.clock import Clock
from kit.crypto import KeyRing
from kit.db import Work
from kit.ids import uuid7


class Proofs:
    """What payers do with the proofs of an application."""

    def __init__(self, work: Work[Repository], clock: Clock, keyring: KeyRing, policy: Policy) -> None:
        self._work = work
        self._clock = clock
        self._keyring = keyring
        self._policy = policy

    async def expect(self, caller: Caller, application_id: UUID) -> None:
        """Raise what `add` would, before anybody sends ten megabytes."""
        async with self._work() as repository:
            await self._open(repository, caller, application_id)

    async def add(self, caller: Caller, application_id: UUID, kind: ProofKind, content: bytes) -> Proof:
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
            application = await self._open(repository, caller, application_id)
            if proof.sha256 not in {known.sha256 for known in application.proofs}:
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

    async def _open(self, repository: Repository, caller: Caller, application_id: UUID) -> Application:
        application = await locked_as_payer(repository, caller, application_id)
        rules.refuse_lapsed(application, self._clock.now(), self._policy.draft_life)
        rules.after(application.state, Step.ADD_PROOF)
        return application


def proof_context(application_id: UUID, sha256: str) -> bytes:
    """What a proof's ciphertext is bound to: it opens only as this file of this application."""
    return f"binding proof {application_id} {sha256}".encode()
