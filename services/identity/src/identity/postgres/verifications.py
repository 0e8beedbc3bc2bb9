"""Verifications and attempts on PostgreSQL."""

from datetime import datetime
from typing import Final
from uuid import UUID

from identity.domain.attempts import AttemptKind, Bound
from identity.domain.verification import Purpose, Verification
from identity.postgres.rows import Rows
from identity.repository.verifications import Attempt

_FORGET: Final = "DELETE FROM verification WHERE psn_no = $1 AND expires_at < $2"
_ADD: Final = """
INSERT INTO verification (verification_id, psn_no, purpose, caller, code_index, expires_at, wrong_tries, used_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_LOCK: Final = """
SELECT verification_id, psn_no, purpose, caller, code_index, expires_at, wrong_tries, used_at
FROM verification WHERE verification_id = $1 FOR UPDATE
"""
_SAVE: Final = "UPDATE verification SET wrong_tries = $2, used_at = $3 WHERE verification_id = $1"
# Attempts that are not there yet cannot be locked by their rows. In one order, so that two never wait in a circle.
_LOCK_ATTEMPTS: Final = "SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS key"
_ABOUT: Final = """
SELECT occurred_at FROM attempt
WHERE subject_index = $1 AND kind = $2 AND occurred_at > $3 AND occurred_at < $4
ORDER BY occurred_at DESC LIMIT $5
"""
_BY: Final = """
SELECT occurred_at FROM attempt
WHERE caller_index = $1 AND kind = $2 AND occurred_at > $3 AND occurred_at < $4
ORDER BY occurred_at DESC LIMIT $5
"""
_COUNT: Final = """
INSERT INTO attempt (kind, subject_index, caller_index, occurred_at, request_id) VALUES ($1, $2, $3, $4, $5)
"""


class PostgresVerifications(Rows):
    """See `identity.repository.verifications`."""

    def code_index(self, verification_id: UUID, code: str) -> bytes:
        """See the protocol."""
        return self._vault.code_index(verification_id, code)

    async def add_verification(self, verification: Verification, forget_before: datetime) -> None:
        """See the protocol."""
        await self._raw.execute(_FORGET, verification.psn_no, forget_before)
        await self._raw.execute(
            _ADD,
            verification.verification_id,
            verification.psn_no,
            verification.purpose,
            verification.caller,
            verification.code_index,
            verification.expires_at,
            verification.wrong_tries,
            verification.used_at,
        )

    async def lock_verification(self, verification_id: UUID) -> Verification | None:
        """See the protocol."""
        row = await self._raw.fetchrow(_LOCK, verification_id)
        return Verification(**{**dict(row), "purpose": Purpose(row["purpose"])}) if row else None

    async def save_verification(self, verification: Verification) -> None:
        """See the protocol."""
        await self._raw.execute(_SAVE, verification.verification_id, verification.wrong_tries, verification.used_at)

    async def lock_attempts(self, subject: str, caller: str) -> None:
        """See the protocol."""
        indexes = (self._vault.subject_index(subject), self._vault.caller_index(caller))
        keys = sorted(int.from_bytes(index[:8], signed=True) for index in indexes)
        await self._raw.execute(_LOCK_ATTEMPTS, keys)

    async def attempts_about(self, subject: str, kind: AttemptKind, bound: Bound, now: datetime) -> list[datetime]:
        """See the protocol."""
        return await self._attempts(_ABOUT, self._vault.subject_index(subject), kind, bound, now)

    async def attempts_by(self, caller: str, kind: AttemptKind, bound: Bound, now: datetime) -> list[datetime]:
        """See the protocol."""
        return await self._attempts(_BY, self._vault.caller_index(caller), kind, bound, now)

    async def _attempts(
        self, select: str, index: bytes, kind: AttemptKind, bound: Bound, now: datetime
    ) -> list[datetime]:
        rows = await self._raw.fetch(select, index, kind, now - bound.within, now + bound.within, bound.most)
        return [row["occurred_at"] for row in rows]

    async def add_attempt(self, attempt: Attempt) -> None:
        """See the protocol."""
        subject, caller = self._vault.subject_index(attempt.subject), self._vault.caller_index(attempt.caller)
        await self._raw.execute(_COUNT, attempt.kind, subject, caller, attempt.occurred_at, attempt.request_id)
