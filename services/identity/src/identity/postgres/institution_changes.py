"""Proposals of changes of institutions on PostgreSQL."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from identity.domain.institution_change import ChangeState, InstitutionChange
from identity.postgres.institutions import institution_of, institution_values
from identity.postgres.rows import Rows
from identity.repository import VersionedChange

_COLUMNS = """
change_id, c.fixmedins_code, c.fixmedins_name, c.fixmedins_type, c.admdvs, c.designations_from, c.designations_to,
c.remote_settlement, c.suspended, base_version, proposed_by, proposed_at, reason, state, decided_by, decided_at,
rejection_reason
"""
_ADD = """
INSERT INTO institution_change (change_id, fixmedins_code, fixmedins_name, fixmedins_type, admdvs, designations_from,
                                designations_to, remote_settlement, suspended, base_version, proposed_by, proposed_at,
                                reason, state, rejection_reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
"""
_ONE = f"SELECT {_COLUMNS} FROM institution_change AS c WHERE change_id = $1"  # noqa: S608 - only our own names
_DECIDE = """
UPDATE institution_change SET state = $2, decided_by = $3, decided_at = $4, rejection_reason = $5 WHERE change_id = $1
"""
_LISTED = f"""
SELECT {_COLUMNS}, coalesce(i.version, 0) AS current_version
FROM institution_change AS c LEFT JOIN institution AS i USING (fixmedins_code)
WHERE ($1::text IS NULL OR c.fixmedins_code = $1) AND ($2::text IS NULL OR state = $2)
  AND ($3::uuid IS NULL OR change_id < $3)
ORDER BY change_id DESC LIMIT $4
"""  # noqa: S608 - only our own names


class PostgresInstitutionChanges(Rows):
    """See `identity.repository.institution_changes`."""

    async def add_change(self, change: InstitutionChange) -> None:
        """See the protocol."""
        made = (change.base_version, change.proposed_by, change.proposed_at, change.reason)
        values = (change.change_id, *institution_values(change.proposed), *made)
        await self._raw.execute(_ADD, *values, change.state, change.rejection_reason)

    async def change(self, change_id: UUID) -> InstitutionChange | None:
        """See the protocol."""
        return _change_or_none(await self._raw.fetchrow(_ONE, change_id))

    async def lock_change(self, change_id: UUID) -> InstitutionChange | None:
        """See the protocol."""
        return _change_or_none(await self._raw.fetchrow(f"{_ONE} FOR UPDATE", change_id))

    async def save_decision(self, change: InstitutionChange) -> None:
        """See the protocol."""
        decided = (change.state, change.decided_by, change.decided_at, change.rejection_reason)
        await self._raw.execute(_DECIDE, change.change_id, *decided)

    async def changes(
        self, fixmedins_code: str | None, state: ChangeState | None, before: UUID | None, limit: int
    ) -> Sequence[VersionedChange]:
        """See the protocol."""
        rows = await self._raw.fetch(_LISTED, fixmedins_code, state, before, limit)
        return [VersionedChange(_change(row), row["current_version"]) for row in rows]


def _change_or_none(row: asyncpg.Record | None) -> InstitutionChange | None:
    return _change(row) if row else None


def _change(row: asyncpg.Record) -> InstitutionChange:
    return InstitutionChange(
        change_id=row["change_id"],
        proposed=institution_of(row),
        base_version=row["base_version"],
        proposed_by=row["proposed_by"],
        proposed_at=row["proposed_at"],
        reason=row["reason"],
        state=ChangeState(row["state"]),
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
        rejection_reason=row["rejection_reason"],
    )
