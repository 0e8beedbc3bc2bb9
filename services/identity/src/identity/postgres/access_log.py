"""The access log on PostgreSQL."""

from collections.abc import Sequence
from dataclasses import astuple

import asyncpg

from identity.postgres.rows import Rows
from identity.repository import Access, AccessFilter, LoggedAccess, Operation

_LOG_ACCESS = """
INSERT INTO access_log (occurred_at, caller, operation, means, outcome, request_id, psn_no, jti, stated_reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_LOGGED = """
SELECT id, occurred_at, caller, operation, means, outcome, request_id, psn_no, jti, stated_reason FROM access_log
WHERE ($1::text IS NULL OR psn_no = $1) AND ($2::text IS NULL OR caller = $2)
  AND ($3::timestamptz IS NULL OR occurred_at >= $3) AND ($4::timestamptz IS NULL OR occurred_at < $4)
  AND ($5::bigint IS NULL OR id < $5)
ORDER BY id DESC LIMIT $6
"""


class PostgresAccessLog(Rows):
    """See `identity.repository.access_log`."""

    async def log_access(self, access: Access) -> None:
        """See the protocol."""
        await self._raw.execute(_LOG_ACCESS, *astuple(access))

    async def accesses_logged(self, wanted: AccessFilter, before: int | None, limit: int) -> Sequence[LoggedAccess]:
        """See the protocol."""
        return [_logged(row) for row in await self._raw.fetch(_LOGGED, *astuple(wanted), before, limit)]


def _logged(row: asyncpg.Record) -> LoggedAccess:
    line_id, occurred_at, caller, operation, *rest = row
    return LoggedAccess(line_id, Access(occurred_at, caller, Operation(operation), *rest))
