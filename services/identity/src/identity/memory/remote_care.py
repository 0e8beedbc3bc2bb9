"""Filings of care elsewhere as a list."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from identity.domain.remote_care import RemoteFiling


class MemoryRemoteCare:
    """See `identity.repository.remote_care`."""

    def __init__(self) -> None:
        super().__init__()
        self.kept_filings: list[RemoteFiling] = []

    async def file_remote_care(self, filing: RemoteFiling) -> RemoteFiling:
        """See the protocol."""
        for kept in self.kept_filings:
            if replace(kept, filing_id=filing.filing_id) == filing:
                return kept
        self.kept_filings.append(filing)
        return filing

    async def filings(self, psn_no: str) -> Sequence[RemoteFiling]:
        """See the protocol."""
        return [filing for filing in self.kept_filings if filing.psn_no == psn_no]

    async def lock_filing(self, psn_no: str, filing_id: UUID) -> RemoteFiling | None:
        """See the protocol."""
        return next((one for one in self.kept_filings if (one.psn_no, one.filing_id) == (psn_no, filing_id)), None)

    async def save_cancellation(self, filing: RemoteFiling) -> None:
        """See the protocol."""
        self.kept_filings = [filing if one.filing_id == filing.filing_id else one for one in self.kept_filings]

    async def filings_listed(self, psn_no: str, before: UUID | None, limit: int) -> Sequence[RemoteFiling]:
        """See the protocol."""
        newest_first = sorted(await self.filings(psn_no), key=lambda one: one.filing_id, reverse=True)
        return [one for one in newest_first if before is None or one.filing_id < before][:limit]
