"""The access log on PostgreSQL."""

from dataclasses import astuple

from identity.postgres.rows import Rows
from identity.repository import Access

_LOG_ACCESS = """
INSERT INTO access_log (occurred_at, caller, operation, means, outcome, request_id, psn_no, jti)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


class PostgresAccessLog(Rows):
    """See `identity.repository.access_log`."""

    async def log_access(self, access: Access) -> None:
        """See the protocol."""
        await self._raw.execute(_LOG_ACCESS, *astuple(access))
