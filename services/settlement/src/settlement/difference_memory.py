"""Differences in memory: the double of `PostgresDifferenceRepository`, over settlements in memory."""

from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID

from settlement.domain.differences import Compared, Difference, DifferenceState, LineKey, compare
from settlement.domain.reconciliation import Amounts, bounds, lines_of
from settlement.memory import MemorySettlements


class MemoryDifferences:
    """See `settlement.difference_repository.DifferenceRepository`. Use with `kit.testing.MemoryWork`."""

    def __init__(self, settlements: MemorySettlements) -> None:
        self.settlements = settlements
        self.differences: dict[UUID, Difference] = {}

    async def compare(self, fixmedins_code: str, day: date, there: Mapping[LineKey, Amounts]) -> Compared:
        """See `DifferenceRepository.compare`."""
        begin, end = bounds(day)
        lines = [line for each in self.settlements.settlements.values() for line in lines_of(each)]
        here = {
            (line.msgid, line.refd_setl_flag): line.amounts
            for line in lines
            if line.column.fixmedins_code == fixmedins_code and begin <= line.at < end
        }
        return compare(here, there)

    async def of_day(self, fixmedins_code: str, day: date) -> Sequence[Difference]:
        """See `DifferenceRepository.of_day`."""
        return await self.page(fixmedins_code, day, None, None, len(self.differences))

    async def save(self, differences: Sequence[Difference]) -> None:
        """See `DifferenceRepository.save`."""
        self.differences |= {each.difference_id: each for each in differences}

    async def lock(self, difference_id: UUID) -> Difference | None:
        """See `DifferenceRepository.lock`."""
        return self.differences.get(difference_id)

    async def page(
        self,
        fixmedins_code: str,
        day: date | None,
        state: DifferenceState | None,
        after: UUID | None,
        limit: int,
    ) -> Sequence[Difference]:
        """See `DifferenceRepository.page`."""
        wanted = [
            each
            for each in self.differences.values()
            if each.fixmedins_code == fixmedins_code
            and day in {None, each.day}
            and state in {None, each.state}
            and (after is None or each.difference_id > after)
        ]
        return sorted(wanted, key=lambda each: each.difference_id)[:limit]
