"""Filings of care elsewhere as a list."""

from collections.abc import Sequence
from dataclasses import replace

from identity.domain.visit import RemoteFiling


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
