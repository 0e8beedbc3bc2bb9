"""Tells since when a day is over that is not closed; a probe of `kit.sampling`."""

from settlement import metrics
from settlement.domain.reconciliation import bounds
from settlement.reconciliation_service import ReconciliationService


class UnclosedDays:
    """Asks which days are not closed."""

    def __init__(self, service: ReconciliationService) -> None:
        self._service = service

    async def __call__(self) -> None:
        """Read it once."""
        days = await self._service.to_close()
        metrics.UNCLOSED_SINCE.set(bounds(days[0])[1].timestamp() if days else 0)
