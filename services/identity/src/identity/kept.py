"""What identity keeps by months; see docs/operations/retention.md."""

from typing import Final

from identity.access_months import ACCESS_LOG
from kit.kept import OUTBOX, Kept

KEPT: Final[tuple[Kept, ...]] = (OUTBOX, ACCESS_LOG)
