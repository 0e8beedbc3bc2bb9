"""Reconciliation in memory: the double of `PostgresReconciliationRepository`, over settlements in memory."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from kit.clock import shanghai_date
from settlement.domain.reconciliation import (
    ClosedDay,
    Column,
    DetailLine,
    Total,
    Totals,
    bounds,
    grand_total,
    lines_of,
    totals_of,
)
from settlement.memory import MemorySettlements


class MemoryReconciliation:
    """See `settlement.reconciliation_repository.ReconciliationRepository`. Use with `kit.testing.MemoryWork`."""

    def __init__(self, settlements: MemorySettlements) -> None:
        self.settlements = settlements
        self.closed: dict[date, ClosedDay] = {}
        self.kept: dict[date, dict[Column, Total]] = {}

    async def closed_day(self, day: date) -> ClosedDay | None:
        """See `ReconciliationRepository.closed_day`."""
        return self.closed.get(day)

    async def lock_day(self, day: date) -> ClosedDay | None:
        """See `ReconciliationRepository.lock_day`."""
        return self.closed.get(day)

    async def close(self, closed: ClosedDay) -> None:
        """See `ReconciliationRepository.close`."""
        self.closed[closed.day] = closed
        self.settlements.closed_days.add(closed.day)
        self.kept[closed.day] = totals_of(self._lines(closed.day))

    async def first_day(self) -> date | None:
        """See `ReconciliationRepository.first_day`."""
        return min(self._opened() | self.closed.keys(), default=None)

    async def opened_until(self, last: date) -> Sequence[date]:
        """See `ReconciliationRepository.opened_until`."""
        return sorted(day for day in self._opened() - self.closed.keys() if day <= last)

    async def totals(self, day: date, fixmedins_code: str) -> Totals:
        """See `ReconciliationRepository.totals`."""
        return totals_of(line for line in self._lines(day) if line.column.fixmedins_code == fixmedins_code)

    async def frozen(self, day: date, fixmedins_code: str) -> Totals:
        """See `ReconciliationRepository.frozen`."""
        kept = self.kept.get(day, {})
        return {column: total for column, total in kept.items() if column.fixmedins_code == fixmedins_code}

    async def closed_between(self, first: date, last: date) -> Mapping[date, ClosedDay]:
        """See `ReconciliationRepository.closed_between`."""
        return {day: closed for day, closed in self.closed.items() if first <= day <= last}

    async def frozen_between(self, first: date, last: date, fixmedins_code: str) -> Mapping[date, Totals]:
        """See `ReconciliationRepository.frozen_between`."""
        frozen = {day: await self.frozen(day, fixmedins_code) for day in self.kept if first <= day <= last}
        return {day: totals for day, totals in frozen.items() if totals}

    async def frozen_of_all(self, day: date) -> tuple[int, Total]:
        """See `ReconciliationRepository.frozen_of_all`."""
        kept = self.kept.get(day, {})
        return len({column.fixmedins_code for column in kept}), grand_total(kept.values())

    async def details(
        self, day: date, fixmedins_code: str, after: DetailLine | None, limit: int
    ) -> Sequence[DetailLine]:
        """See `ReconciliationRepository.details`."""
        lines = (line for line in self._lines(day) if line.column.fixmedins_code == fixmedins_code)
        rest = (line for line in lines if after is None or line.place > after.place)
        return sorted(rest, key=lambda line: line.place)[:limit]

    def _opened(self) -> set[date]:
        lines = (line for settlement in self.settlements.settlements.values() for line in lines_of(settlement))
        return {shanghai_date(line.at) for line in lines}

    def _lines(self, day: date) -> Iterator[DetailLine]:
        begin, end = bounds(day)
        for settlement in self.settlements.settlements.values():
            yield from (line for line in lines_of(settlement) if begin <= line.at < end)
