"""What settlement keeps by months; see docs/operations/retention.md."""

from typing import Final

from kit.kept import INBOX, OUTBOX, Kept
from settlement.entry_months import ENTRY

KEPT: Final[tuple[Kept, ...]] = (OUTBOX, INBOX, ENTRY)
