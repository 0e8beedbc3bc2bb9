"""Verifications and counted attempts in one transaction."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from identity.domain.attempts import AttemptKind, Bound
from identity.domain.verification import Verification


@dataclass(frozen=True, slots=True)
class Attempt:
    """One counted attempt. Whom it is about and who made it are kept as keyed hashes only."""

    kind: AttemptKind
    subject: str = field(repr=False)
    """A psn_no, or a certificate's number where nobody was recognised."""
    caller: str
    occurred_at: datetime
    request_id: str


class VerificationRows(Protocol):
    """Codes that were sent."""

    def code_index(self, verification_id: UUID, code: str) -> bytes:
        """The keyed hash that a code is kept as."""
        ...

    async def add_verification(self, verification: Verification, forget_before: datetime) -> None:
        """Keep a new one, and forget the person's that ran out before a moment."""
        ...

    async def lock_verification(self, verification_id: UUID) -> Verification | None:
        """The verification of an id."""
        ...

    async def save_verification(self, verification: Verification) -> None:
        """Keep tries and use of a locked verification."""
        ...


class AttemptRows(Protocol):
    """Attempts, never changed."""

    async def lock_attempts(self, subject: str, caller: str) -> None:
        """Let nobody else count attempts about this subject or by this caller until the transaction ends."""
        ...

    async def attempts_about(self, subject: str, kind: AttemptKind, bound: Bound, now: datetime) -> list[datetime]:
        """When the newest `bound.most` attempts about a subject were made, within `bound.within` of now."""
        ...

    async def attempts_by(self, caller: str, kind: AttemptKind, bound: Bound, now: datetime) -> list[datetime]:
        """The same of a caller's."""
        ...

    async def add_attempt(self, attempt: Attempt) -> None:
        """Count one."""
        ...
