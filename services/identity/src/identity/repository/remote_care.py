"""Filings of care elsewhere in one transaction."""

from collections.abc import Sequence
from typing import Protocol

from identity.domain.visit import RemoteFiling


class RemoteCareRows(Protocol):
    """Filings of care elsewhere."""

    async def file_remote_care(self, filing: RemoteFiling) -> RemoteFiling:
        """Keep the filing; the earlier one if the same was filed before."""
        ...

    async def filings(self, psn_no: str) -> Sequence[RemoteFiling]:
        """All filings of a person, past ones included."""
        ...
