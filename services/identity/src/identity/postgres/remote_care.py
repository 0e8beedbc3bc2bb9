"""Filings of care elsewhere on PostgreSQL."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import asyncpg

from identity.domain.remote_care import RemoteCareKind, RemoteFiling
from identity.postgres.rows import Rows

# DO UPDATE and not DO NOTHING, so that the row of an earlier filing is returned as well.
_FILE = """
INSERT INTO remote_filing (filing_id, psn_no, admdvs, valid_from, valid_to, kind) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (psn_no, admdvs, kind, valid_from, valid_to) WHERE cancelled_on IS NULL
    DO UPDATE SET psn_no = excluded.psn_no
RETURNING filing_id
"""
_SELECT = "SELECT filing_id, psn_no, admdvs, valid_from, valid_to, kind, cancelled_on FROM remote_filing"
_FILINGS = f"{_SELECT} WHERE psn_no = $1 ORDER BY filing_id"
_LOCK_FILING = f"{_SELECT} WHERE psn_no = $1 AND filing_id = $2 FOR UPDATE"
_CANCEL = "UPDATE remote_filing SET cancelled_on = $2 WHERE filing_id = $1"
_LISTED = f"""
{_SELECT} WHERE psn_no = $1 AND ($2::uuid IS NULL OR filing_id < $2) ORDER BY filing_id DESC LIMIT $3
"""


class PostgresRemoteCare(Rows):
    """See `identity.repository.remote_care`."""

    async def file_remote_care(self, filing: RemoteFiling) -> RemoteFiling:
        """See the protocol."""
        row = (filing.filing_id, filing.psn_no, filing.admdvs, filing.valid_from, filing.valid_to, filing.kind)
        return replace(filing, filing_id=await self._raw.fetchval(_FILE, *row))

    async def filings(self, psn_no: str) -> Sequence[RemoteFiling]:
        """See the protocol."""
        return [_filing(row) for row in await self._raw.fetch(_FILINGS, psn_no)]

    async def lock_filing(self, psn_no: str, filing_id: UUID) -> RemoteFiling | None:
        """See the protocol."""
        row = await self._raw.fetchrow(_LOCK_FILING, psn_no, filing_id)
        return _filing(row) if row else None

    async def save_cancellation(self, filing: RemoteFiling) -> None:
        """See the protocol."""
        await self._raw.execute(_CANCEL, filing.filing_id, filing.cancelled_on)

    async def filings_listed(self, psn_no: str, before: UUID | None, limit: int) -> Sequence[RemoteFiling]:
        """See the protocol."""
        return [_filing(row) for row in await self._raw.fetch(_LISTED, psn_no, before, limit)]


def _filing(row: asyncpg.Record) -> RemoteFiling:
    return RemoteFiling(**{**dict(row), "kind": RemoteCareKind(row["kind"])})
