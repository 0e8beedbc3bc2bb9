"""Comparing an institution's lines with ours, and the worklist of what differs: one transaction for each use."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final
from uuid import UUID

from kit.clock import Clock
from kit.db import Work, retrying
from kit.ids import uuid7
from settlement.difference_repository import DifferenceRepository
from settlement.domain.differences import (
    Change,
    Compared,
    Difference,
    DifferenceState,
    LineKey,
    Mismatch,
    brought_up_to_date,
    resolved,
)
from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.reconciliation import Amounts

COMPARED_LINES_MAX: Final = 50_000
"""Of one comparison: more than the largest institution settles in a day, and some 20 MB while they are compared."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What somebody says became of a difference."""

    difference_id: UUID
    state: DifferenceState
    note: str
    by: str
    institution: str | None
    """The institution that says so; None when an operator does."""


class DifferenceService:
    """The worklist."""

    def __init__(self, work: Work[DifferenceRepository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def compare(self, fixmedins_code: str, day: date, there: Mapping[LineKey, Amounts]) -> Compared:
        """Compare an institution's lines of a day with ours, and bring the day's worklist up to date."""
        return await retrying(lambda: self._compare(fixmedins_code, day, there))

    async def _compare(self, fixmedins_code: str, day: date, there: Mapping[LineKey, Amounts]) -> Compared:
        def begin(mismatch: Mismatch, change: Change) -> Difference:
            return Difference(uuid7(), fixmedins_code, day, mismatch, (change,))

        async with self._work() as repository:
            compared = await repository.compare(fixmedins_code, day, there)
            known = await repository.of_day(fixmedins_code, day)
            # In a thread: of tens of thousands of lines it takes the time of many settlements.
            changed = await asyncio.to_thread(brought_up_to_date, known, compared.mismatches, begin, self._clock.now())
            await repository.save(changed)
        return replace(compared, solved=sum(each.state is DifferenceState.SOLVED for each in changed))

    async def page(
        self,
        fixmedins_code: str,
        day: date | None,
        state: DifferenceState | None,
        after: UUID | None,
        limit: int,
    ) -> Sequence[Difference]:
        """At most `limit` of an institution's differences, oldest first, after that one."""
        async with self._work() as repository:
            return await repository.page(fixmedins_code, day, state, after, limit)

    async def resolve(self, resolution: Resolution) -> Difference:
        """The difference after somebody said what became of it.

        Raises:
            SettlementRefusedError: NOT_FOUND, FORBIDDEN_INSTITUTION, or what `resolved` refuses.
        """
        async with self._work() as repository:
            known = _of(resolution.institution, await repository.lock(resolution.difference_id))
            change = Change(resolution.state, resolution.by, resolution.note, self._clock.now())
            after = resolved(known, change, by_institution=resolution.institution is not None)
            await repository.save([after])
            return after


def _of(institution: str | None, difference: Difference | None) -> Difference:
    if difference is None:
        raise SettlementRefusedError(Reason.NOT_FOUND, "there is no such difference")
    if institution not in {None, difference.fixmedins_code}:
        raise SettlementRefusedError(Reason.FORBIDDEN_INSTITUTION, "this difference is another institution's")
    return difference
