"""What has become due, for the scheduler: rows that nobody else works on, each batch bounded. asyncpg."""

from collections.abc import Collection, Sequence
from datetime import date
from uuid import UUID

from binding.domain.notices import Days, NoticeKind
from binding.domain.relations import Relation
from binding.repository.rows import relation_of
from kit.db import Transaction

# SKIP LOCKED: what a settlement has in hand just now is as due in the next run.
_EXPIRED = """
SELECT r.* FROM relation AS r WHERE r.state <> 'ENDED' AND r.valid_to < $1
ORDER BY r.valid_to, r.relation_id LIMIT $2 FOR NO KEY UPDATE OF r SKIP LOCKED
"""
_EXPIRING = """
SELECT r.* FROM relation AS r WHERE r.state <> 'ENDED' AND r.valid_to BETWEEN $1 AND $2 AND NOT EXISTS (
    SELECT FROM relation_notice AS n
    WHERE n.relation_id = r.relation_id AND n.kind = 'EXPIRING' AND n.about = r.valid_to)
ORDER BY r.valid_to, r.relation_id LIMIT $3 FOR NO KEY UPDATE OF r SKIP LOCKED
"""
_COMING_OF_AGE = """
SELECT r.*, p.brdy AS born_on FROM person AS p JOIN relation AS r ON r.beneficiary_psn_no = p.psn_no
WHERE p.brdy BETWEEN $1 AND $2 AND p.died_on IS NULL AND r.state <> 'ENDED' AND NOT EXISTS (
    SELECT FROM relation_notice AS n WHERE n.relation_id = r.relation_id AND n.kind = 'COMES_OF_AGE')
ORDER BY p.brdy, r.relation_id LIMIT $3 FOR NO KEY UPDATE OF r SKIP LOCKED
"""
# The keys are what makes a notice once: a query from before another's commit may still have seen it as missing.
_NOTE = """
INSERT INTO relation_notice (relation_id, kind, about)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::date[]) ON CONFLICT DO NOTHING RETURNING relation_id
"""
_AWAIT = """
INSERT INTO enrolment_to_come (psn_no, due_on)
SELECT DISTINCT a.psn_no, a.due_on FROM unnest($1::text[], $2::date[]) AS a (psn_no, due_on)
ORDER BY a.psn_no, a.due_on ON CONFLICT DO NOTHING
"""
_TAKE_DUE = """
DELETE FROM enrolment_to_come AS e USING (
    SELECT psn_no, due_on FROM enrolment_to_come WHERE due_on <= $1 ORDER BY due_on, psn_no LIMIT $2
    FOR UPDATE SKIP LOCKED
) AS d WHERE e.psn_no = d.psn_no AND e.due_on = d.due_on RETURNING e.psn_no
"""


class DueRows:
    """See `binding.repository.Repository`."""

    def __init__(self, transaction: Transaction) -> None:
        self._raw = transaction.raw

    async def lock_expired(self, day: date, limit: int) -> list[Relation]:
        """See `Repository.lock_expired`."""
        return [relation_of(row) for row in await self._raw.fetch(_EXPIRED, day, limit)]

    async def lock_expiring(self, valid_to: Days, limit: int) -> list[Relation]:
        """See `Repository.lock_expiring`."""
        return [relation_of(row) for row in await self._raw.fetch(_EXPIRING, *valid_to, limit)]

    async def lock_coming_of_age(self, born: Days, limit: int) -> list[tuple[Relation, date]]:
        """See `Repository.lock_coming_of_age`."""
        rows = await self._raw.fetch(_COMING_OF_AGE, *born, limit)
        return [(relation_of(row), row["born_on"]) for row in rows]

    async def note_told(self, kind: NoticeKind, about: Sequence[tuple[UUID, date]]) -> set[UUID]:
        """See `Repository.note_told`."""
        ids, days = [relation_id for relation_id, _ in about], [day for _, day in about]
        rows = await self._raw.fetch(_NOTE, ids, [kind.value] * len(ids), days)
        return {row["relation_id"] for row in rows}

    async def await_enrolments(self, due: Collection[tuple[str, date]]) -> None:
        """See `Repository.await_enrolments`."""
        if due:
            await self._raw.execute(_AWAIT, [psn_no for psn_no, _ in due], [day for _, day in due])

    async def take_due_enrolments(self, day: date, limit: int) -> list[str]:
        """See `Repository.take_due_enrolments`."""
        return [row["psn_no"] for row in await self._raw.fetch(_TAKE_DUE, day, limit)]
