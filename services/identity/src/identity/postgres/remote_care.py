"""Filings of care elsewhere on PostgreSQL."""

from collections.abc import Sequence

from identity.domain.visit import RemoteFiling
from identity.postgres.rows import Rows

# DO UPDATE and not DO NOTHING, so that the row of an earlier filing is returned as well.
_FILE = """
INSERT INTO remote_filing (filing_id, psn_no, admdvs, valid_from, valid_to) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (psn_no, admdvs, valid_from, valid_to) DO UPDATE SET psn_no = excluded.psn_no
RETURNING filing_id
"""
_FILINGS = """
SELECT filing_id, psn_no, admdvs, valid_from, valid_to FROM remote_filing WHERE psn_no = $1 ORDER BY filing_id
"""


class PostgresRemoteCare(Rows):
    """See `identity.repository.remote_care`."""

    async def file_remote_care(self, filing: RemoteFiling) -> RemoteFiling:
        """See the protocol."""
        filing_id = await self._raw.fetchval(
            _FILE, filing.filing_id, filing.psn_no, filing.admdvs, filing.valid_from, filing.valid_to
        )
        return RemoteFiling(filing_id, filing.psn_no, filing.admdvs, filing.valid_from, filing.valid_to)

    async def filings(self, psn_no: str) -> Sequence[RemoteFiling]:
        """See the protocol."""
        return [RemoteFiling(**dict(row)) for row in await self._raw.fetch(_FILINGS, psn_no)]
