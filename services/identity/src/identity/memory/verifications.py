"""Verifications and attempts as a dictionary and a list."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from identity.domain.attempts import AttemptKind, Bound
from identity.domain.verification import Verification
from identity.repository.verifications import Attempt


class MemoryVerifications:
    """See `identity.repository.verifications`; one unit of work runs at a time anyway."""

    def __init__(self) -> None:
        super().__init__()
        self.verifications: dict[UUID, Verification] = {}
        self.attempts: list[Attempt] = []

    def code_index(self, verification_id: UUID, code: str) -> bytes:
        """See the protocol."""
        return f"{verification_id} {code}".encode()

    async def add_verification(self, verification: Verification, forget_before: datetime) -> None:
        """See the protocol."""
        for known in list(self.verifications.values()):
            if known.psn_no == verification.psn_no and known.expires_at < forget_before:
                del self.verifications[known.verification_id]
        self.verifications[verification.verification_id] = verification

    async def lock_verification(self, verification_id: UUID) -> Verification | None:
        """See the protocol."""
        return self.verifications.get(verification_id)

    async def save_verification(self, verification: Verification) -> None:
        """See the protocol."""
        self.verifications[verification.verification_id] = verification

    async def lock_attempts(self, subject: str, caller: str) -> None:
        """See the protocol."""

    async def attempts_about(self, subject: str, kind: AttemptKind, bound: Bound, now: datetime) -> list[datetime]:
        """See the protocol."""
        return self._attempts(lambda one: one.kind is kind and one.subject == subject, bound, now)

    async def attempts_by(self, caller: str, kind: AttemptKind, bound: Bound, now: datetime) -> list[datetime]:
        """See the protocol."""
        return self._attempts(lambda one: one.kind is kind and one.caller == caller, bound, now)

    async def add_attempt(self, attempt: Attempt) -> None:
        """See the protocol."""
        self.attempts.append(attempt)

    def _attempts(self, wanted: Callable[[Attempt], bool], bound: Bound, now: datetime) -> list[datetime]:
        found = [one.occurred_at for one in self.attempts if wanted(one) and abs(one.occurred_at - now) < bound.within]
        return sorted(found, reverse=True)[: bound.most]
