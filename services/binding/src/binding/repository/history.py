"""Histories in one transaction: rows are added and read, nothing else; the database refuses any other change."""

import json
from collections.abc import Sequence
from uuid import UUID

from binding.domain.history import AggregateKind, Change, ChangeKind, Entry, Mark, Who
from kit.db import Transaction

# Whoever changes an aggregate has its row locked, so no two take the same position.
_ADD = """
INSERT INTO history (aggregate_kind, aggregate_id, position, at, subject, role, what, before, after, why)
SELECT $1, $2, coalesce(max(h.position), 0) + 1, $3, $4, $5, $6, $7::jsonb, $8::jsonb, $9
FROM history h WHERE h.aggregate_kind = $1 AND h.aggregate_id = $2
"""
_READ = """
SELECT position, at, subject, role, what, before::text, after::text, why FROM history
WHERE aggregate_kind = $1 AND aggregate_id = $2 AND position > $3 ORDER BY position LIMIT $4
"""


class HistoryRows:
    """Histories on PostgreSQL."""

    def __init__(self, transaction: Transaction) -> None:
        self._raw = transaction.raw

    async def add_history(self, changes: Sequence[Change]) -> None:
        """See `Repository.add_history`."""
        rows = [
            (
                *(change.kind.value, change.aggregate_id, change.mark.at, *change.mark.who, change.mark.what.value),
                *(json.dumps(facts, ensure_ascii=False) for facts in (change.before, change.after)),
                change.mark.why,
            )
            for change in changes
        ]
        await self._raw.executemany(_ADD, rows)

    async def history(self, kind: AggregateKind, aggregate_id: UUID, after: int, limit: int) -> list[Entry]:
        """See `Repository.history`."""
        return [
            Entry(
                row["position"],
                Mark(ChangeKind(row["what"]), Who(row["subject"], row["role"]), row["at"], row["why"]),
                json.loads(row["before"]),
                json.loads(row["after"]),
            )
            for row in await self._raw.fetch(_READ, kind.value, aggregate_id, after, limit)
        ]
