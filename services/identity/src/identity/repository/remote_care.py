"""Filings of care elsewhere in one transaction."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from identity.domain.remote_care import RemoteFiling


class RemoteCareRows(Protocol):
    """Filings of care elsewhere."""

    async def file_remote_care(self, filing: RemoteFiling) -> RemoteFiling:
        """Keep the filing; the earlier one if the same was filed before and is not cancelled."""
        ...

    async def filings(self, psn_no: str) -> Sequence[RemoteFiling]:
        """All filings of a person, past ones included."""
        ...

    async def lock_filing(self, psn_no: str, filing_id: UUID) -> RemoteFiling | None:
        """A filing of this person, locked."""
        ...

    async def save_cancellation(self, filing: RemoteFiling) -> None:
        """Keep the day on which a locked filing was cancelled."""
        ...

    async def filings_listed(self, psn_no: str, before: UUID | None, limit: int) -> Sequence[RemoteFiling]:
        """A person's filings, newest first; `before` one of them, or from the newest."""
        ...
