"""Reconciliation: one transaction for each use."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from kit.clock import Clock, shanghai_date
from kit.db import Work, retrying
from settlement.domain.reconciliation import (
    ClearingStatement,
    ClosedDay,
    DetailLine,
    StatementDay,
    Total,
    Totals,
    days_of,
    days_to_close,
    first_looked_at,
    last_over,
    require_over,
)
from settlement.reconciliation_repository import ReconciliationRepository

PAGE_LINES: Final = 500
"""Of details, in one transaction and one message."""


@dataclass(frozen=True, slots=True)
class Closing:
    """A closed day and what it comes to over all institutions."""

    closed: ClosedDay
    institutions: int
    total: Total


class ReconciliationService:
    """What a day comes to, and its closing."""

    def __init__(self, work: Work[ReconciliationRepository], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def daily_totals(self, fixmedins_code: str, day: date) -> tuple[ClosedDay | None, Totals]:
        """What a day comes to for an institution: as it was frozen, or while the day is open, as it is now."""
        async with self._work() as repository:
            closed = await repository.closed_day(day)
            read = repository.totals if closed is None else repository.frozen
            return closed, await read(day, fixmedins_code)

    async def statement(self, fixmedins_code: str, month: date) -> ClearingStatement:
        """What a month comes to for an institution; `month` is any day of it.

        Closed days are read as they were frozen, in one go; of an open day, of which there are few, what its rows say.
        """
        days = days_of(month)
        async with self._work() as repository:
            closed = await repository.closed_between(days[0], days[-1])
            frozen = await repository.frozen_between(days[0], days[-1], fixmedins_code)
            today = shanghai_date(self._clock.now())
            going_on = {
                day: await repository.totals(day, fixmedins_code) for day in days if day not in closed and day <= today
            }
        totals = {**going_on, **frozen}
        return ClearingStatement(tuple(StatementDay(day, closed.get(day), totals.get(day, {})) for day in days))

    async def details(self, fixmedins_code: str, day: date) -> AsyncGenerator[Sequence[DetailLine], None]:
        """A day's lines in their order, page by page: each its own transaction, as a reader may be slow."""
        last: DetailLine | None = None
        while True:
            async with self._work() as repository:
                page = await repository.details(day, fixmedins_code, last, PAGE_LINES)
            if page:
                yield page
            if len(page) < PAGE_LINES:
                return
            last = page[-1]

    async def to_close(self) -> list[date]:
        """The days that are over and not closed, the oldest first."""
        last = last_over(self._clock.now())
        async with self._work() as repository:
            first = await repository.first_day()
            if first is None:
                return []
            begin = first_looked_at(first, last)
            closed = await repository.closed_between(begin, last)
            return days_to_close(begin, await repository.opened_until(last), closed, last)

    async def is_to_close(self, day: date) -> bool:
        """Whether a day is still open.

        Raises:
            SettlementRefusedError: DAY_NOT_OVER.
        """
        require_over(day, self._clock.now())
        async with self._work() as repository:
            return await repository.closed_day(day) is None

    async def close_day(self, day: date, closed_by: str) -> Closing:
        """Close a day, unless it is closed already.

        Raises:
            SettlementRefusedError: DAY_NOT_OVER.
        """
        return await retrying(lambda: self._close_day(day, closed_by))

    async def _close_day(self, day: date, closed_by: str) -> Closing:
        now = self._clock.now()
        require_over(day, now)
        async with self._work() as repository:
            closed = await repository.lock_day(day)
            if closed is None:
                closed = ClosedDay(day, now, closed_by)
                await repository.close(closed)
            return Closing(closed, *await repository.frozen_of_all(day))
