"""Days and what they come to: rows ⇄ the domain."""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Final, Protocol

import asyncpg

from kit.db import Transaction
from settlement import reconciliation_sql as sql
from settlement.domain.bill import ClearingType, MedicalType
from settlement.domain.reconciliation import Amounts, ClosedDay, Column, DetailLine, Total, Totals, bounds
from settlement.domain.visit import InsuranceType

_PARTS: Final = len(sql.COLUMNS) // 2


class ReconciliationRepository(Protocol):
    """Days, settlements and reversals, in one unit of work."""

    async def closed_day(self, day: date) -> ClosedDay | None:
        """How a day was closed; None while it is open."""
        ...

    async def lock_day(self, day: date) -> ClosedDay | None:
        """The same, after waiting for what is being posted on it; nothing is posted until the unit of work ends."""
        ...

    async def close(self, closed: ClosedDay) -> None:
        """Close a locked day and freeze what its settlements and reversals come to."""
        ...

    async def first_day(self) -> date | None:
        """The first day that was opened or closed; None before anything was posted."""
        ...

    async def opened_until(self, last: date) -> Sequence[date]:
        """The days up to `last` that were opened by a posting and are not closed."""
        ...

    async def totals(self, day: date, fixmedins_code: str) -> Totals:
        """What a day comes to for an institution by its settlements and reversals, as they are now."""
        ...

    async def frozen(self, day: date, fixmedins_code: str) -> Totals:
        """The same as it was when the day was closed."""
        ...

    async def closed_between(self, first: date, last: date) -> Mapping[date, ClosedDay]:
        """The closed days of a period."""
        ...

    async def frozen_between(self, first: date, last: date, fixmedins_code: str) -> Mapping[date, Totals]:
        """What the closed days of a period came to for an institution, those that have something."""
        ...

    async def frozen_of_all(self, day: date) -> tuple[int, Total]:
        """How many institutions a closed day has totals of, and what they come to together."""
        ...

    async def details(
        self, day: date, fixmedins_code: str, after: DetailLine | None, limit: int
    ) -> Sequence[DetailLine]:
        """At most `limit` lines of a day, in its order, after that one."""
        ...


class PostgresReconciliationRepository:
    """See `ReconciliationRepository`."""

    def __init__(self, transaction: Transaction) -> None:
        self._raw = transaction.raw

    async def closed_day(self, day: date) -> ClosedDay | None:
        """See `ReconciliationRepository.closed_day`."""
        return _closed(await self._raw.fetchrow(sql.DAY, day))

    async def lock_day(self, day: date) -> ClosedDay | None:
        """See `ReconciliationRepository.lock_day`."""
        await self._raw.execute(sql.OPEN_DAY, day)
        return _closed(await self._raw.fetchrow(sql.LOCK_DAY, day))

    async def close(self, closed: ClosedDay) -> None:
        """See `ReconciliationRepository.close`."""
        await self._raw.execute(sql.FREEZE, closed.day, *bounds(closed.day))
        await self._raw.execute(sql.CLOSE, closed.day, closed.closed_at, closed.closed_by)

    async def first_day(self) -> date | None:
        """See `ReconciliationRepository.first_day`."""
        first: date | None = await self._raw.fetchval(sql.FIRST_DAY)
        return first

    async def opened_until(self, last: date) -> Sequence[date]:
        """See `ReconciliationRepository.opened_until`."""
        return [row["day"] for row in await self._raw.fetch(sql.OPENED_UNTIL, last)]

    async def totals(self, day: date, fixmedins_code: str) -> Totals:
        """See `ReconciliationRepository.totals`."""
        return _totals(await self._raw.fetch(sql.TOTALS_OF_INSTITUTION, day, *bounds(day), fixmedins_code))

    async def frozen(self, day: date, fixmedins_code: str) -> Totals:
        """See `ReconciliationRepository.frozen`."""
        return _totals(await self._raw.fetch(sql.FROZEN, fixmedins_code, day))

    async def closed_between(self, first: date, last: date) -> Mapping[date, ClosedDay]:
        """See `ReconciliationRepository.closed_between`."""
        found = [_closed(row) for row in await self._raw.fetch(sql.CLOSED_BETWEEN, first, last)]
        return {closed.day: closed for closed in found if closed is not None}

    async def frozen_between(self, first: date, last: date, fixmedins_code: str) -> Mapping[date, Totals]:
        """See `ReconciliationRepository.frozen_between`."""
        rows = await self._raw.fetch(sql.FROZEN_BETWEEN, fixmedins_code, first, last)
        return {day: _totals(list(group)) for day, group in groupby(rows, key=lambda row: row["day"])}

    async def frozen_of_all(self, day: date) -> tuple[int, Total]:
        """See `ReconciliationRepository.frozen_of_all`."""
        row = await self._raw.fetchrow(sql.FROZEN_OF_ALL, day)
        return (row["institutions"], _total(row)) if row else (0, Total())

    async def details(
        self, day: date, fixmedins_code: str, after: DetailLine | None, limit: int
    ) -> Sequence[DetailLine]:
        """See `ReconciliationRepository.details`."""
        rows: list[asyncpg.Record] = []
        if after is None or not after.refd_setl_flag:
            place = (after.at, after.setl_id) if after else (None, None)
            rows += await self._raw.fetch(sql.SETTLED_PAGE, day, fixmedins_code, *place, limit)
        if len(rows) < limit:
            place = (after.at, after.setl_id) if after and after.refd_setl_flag else (None, None)
            rest = limit - len(rows)
            rows += await self._raw.fetch(sql.REVERSED_PAGE, *bounds(day), fixmedins_code, *place, rest)
        return [_line(row) for row in rows]


def _closed(row: asyncpg.Record | None) -> ClosedDay | None:
    if row is None or row["state"] != "CLOSED":
        return None
    return ClosedDay(row["day"], row["closed_at"], row["closed_by"] or "")


def _totals(rows: list[asyncpg.Record]) -> dict[Column, Total]:
    return {_column(row): _total(row) for row in rows}


def _column(row: asyncpg.Record) -> Column:
    insutype = InsuranceType(row["insutype"]) if row["insutype"] else None
    return Column(row["fixmedins_code"], ClearingType(row["clr_type"]), insutype)


def _line(row: asyncpg.Record) -> DetailLine:
    return DetailLine(
        setl_id=row["id"],
        refd_setl_flag=row["refund"],
        at=row["at"],
        msgid=row["msgid"],
        column=_column(row),
        psn_no=row["psn_no"],
        mdtrt_id=row["mdtrt_id"],
        med_type=MedicalType(row["med_type"]),
        amounts=Amounts(1, *(row[each] for each in sql.SUMMED)),
    )


def _total(row: asyncpg.Record) -> Total:
    parts = [row[each] for each in sql.COLUMNS]
    return Total(Amounts(*parts[:_PARTS]), Amounts(*parts[_PARTS:]))
