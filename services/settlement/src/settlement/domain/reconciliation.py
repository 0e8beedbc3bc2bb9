"""Daily reconciliation (对账): what a day comes to, and when it may be closed. All amounts in fen.

A settlement counts on the Asia/Shanghai day on which it was settled, a reversal on the day on which it happened,
whenever that was settled. So what a day comes to never changes once it is over.
"""

from calendar import monthrange
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from typing import Final, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from settlement.domain.bill import ClearingType, MedicalType
from settlement.domain.reasons import Reason, SettlementRefusedError
from settlement.domain.state import OrderKind, Settlement
from settlement.domain.visit import InsuranceType

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
ENDS_LATE: Final = timedelta(minutes=1)
"""For so long other replicas' clocks may still say yesterday, and what began before midnight may be posting."""
MOST_DAYS_BACK: Final = 366
"""So far back days are closed on which nothing was posted; a day that was opened is, however long ago."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """A sum over settlements or over reversals; `medfee_sumamt_fen` is the sum of the parts below it (R16)."""

    count: int = 0
    medfee_sumamt_fen: int = 0
    fund_pay_sumamt_fen: int = 0
    hosp_part_amt_fen: int = 0
    acct_pay_fen: int = 0
    acct_mulaid_pay_fen: int = 0
    psn_cash_pay_fen: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(*(mine + theirs for mine, theirs in zip(self.parts, other.parts, strict=True)))

    def __sub__(self, other: Self) -> Self:
        return type(self)(*(mine - theirs for mine, theirs in zip(self.parts, other.parts, strict=True)))

    @property
    def parts(self) -> tuple[int, ...]:
        """Count and amounts, in their order."""
        return tuple(getattr(self, each.name) for each in fields(self))

    @property
    def to_pay_fen(self) -> int:
        """What is owed to the institution for it: all but cash, and but what it carries itself."""
        return self.fund_pay_sumamt_fen + self.acct_pay_fen + self.acct_mulaid_pay_fen


@dataclass(frozen=True, slots=True)
class Total:
    """Both sides of a day; of one clearing type and insurance, or over several."""

    gross: Amounts = Amounts()
    refunds: Amounts = Amounts()
    """What was given back; never negative."""

    def __add__(self, other: Self) -> Self:
        return type(self)(self.gross + other.gross, self.refunds + other.refunds)

    @property
    def net(self) -> Amounts:
        """What is left of the one after the other; may be negative."""
        return self.gross - self.refunds


@dataclass(frozen=True, slots=True)
class Column:
    """What a row of totals is about."""

    fixmedins_code: str
    clr_type: ClearingType
    insutype: InsuranceType | None

    @property
    def place(self) -> tuple[str, int, int]:
        """Where it stands among others."""
        return self.fixmedins_code, self.clr_type, self.insutype or 0


Totals = Mapping[Column, Total]


@dataclass(frozen=True, slots=True)
class ClosedDay:
    """A day that never changes again."""

    day: date
    closed_at: datetime
    closed_by: str


@dataclass(frozen=True, slots=True)
class StatementDay:
    """What a day of a month comes to for an institution."""

    day: date
    closed: ClosedDay | None
    totals: Totals


@dataclass(frozen=True, slots=True)
class ClearingStatement:
    """A month of an institution (清算)."""

    days: tuple[StatementDay, ...]
    """All of the month, in their order."""

    @property
    def totals(self) -> Totals:
        """The month by column, in their order."""
        return merged(day.totals for day in self.days)

    @property
    def open_days(self) -> tuple[date, ...]:
        """While there are any, the statement may still change."""
        return tuple(day.day for day in self.days if day.closed is None)


@dataclass(frozen=True, slots=True)
class DetailLine:
    """One settlement or one reversal as a day's details show it."""

    setl_id: UUID
    refd_setl_flag: bool
    """Whether it is the reversal; its amounts are those that were given back, never negative."""
    at: datetime
    """When it was settled or reversed."""
    msgid: str
    """Of the settlement, on both its lines."""
    column: Column
    psn_no: str
    mdtrt_id: str
    med_type: MedicalType
    amounts: Amounts

    @property
    def place(self) -> tuple[bool, datetime, UUID]:
        """Where it stands in a day: settlements by time, then reversals by time."""
        return self.refd_setl_flag, self.at, self.setl_id


def grand_total(totals: Iterable[Total]) -> Total:
    """Over all of them."""
    return sum(totals, Total())


def merged(several: Iterable[Totals]) -> dict[Column, Total]:
    """What several totals come to together, by column in its order."""
    together: dict[Column, Total] = {}
    for totals in several:
        for column, total in totals.items():
            together[column] = together.get(column, Total()) + total
    return {column: together[column] for column in sorted(together, key=lambda each: each.place)}


def totals_of(lines: Iterable[DetailLine]) -> dict[Column, Total]:
    """What lines come to, by column in its order."""
    return merged({line.column: _total_of(line)} for line in lines)


def _total_of(line: DetailLine) -> Total:
    return Total(refunds=line.amounts) if line.refd_setl_flag else Total(gross=line.amounts)


def lines_of(settlement: Settlement) -> Iterator[DetailLine]:
    """The lines of a settlement: none unless it was settled, two if it was reversed since.

    A premium is no institution's, so it has none.
    """
    order, split = settlement.order, settlement.split
    if order is None or split is None or settlement.setl_time is None or order.kind is not OrderKind.BILL:
        return
    bill = order.bill
    for refd_setl_flag, at in ((False, settlement.setl_time), (True, settlement.reversed_at)):
        if at is not None:
            yield DetailLine(
                setl_id=settlement.settlement_id,
                refd_setl_flag=refd_setl_flag,
                at=at,
                msgid=settlement.msgid,
                column=Column(settlement.fixmedins_code, bill.clr_type, settlement.insutype),
                psn_no=bill.psn_no,
                mdtrt_id=bill.mdtrt_id,
                med_type=bill.med_type,
                amounts=_amounts_of(settlement),
            )


def _amounts_of(settlement: Settlement) -> Amounts:
    order, split = settlement.order, settlement.split
    if order is None or split is None:
        return Amounts()
    return Amounts(
        count=1,
        medfee_sumamt_fen=order.bill.medfee_sumamt_fen,
        fund_pay_sumamt_fen=order.bill.fund_pay_sumamt_fen,
        hosp_part_amt_fen=order.bill.hosp_part_amt_fen,
        acct_pay_fen=split.acct_pay_fen,
        acct_mulaid_pay_fen=split.acct_mulaid_pay_fen,
        psn_cash_pay_fen=split.psn_cash_pay_fen,
    )


def bounds(day: date) -> tuple[datetime, datetime]:
    """The first moment of a day in Shanghai, and the first one after it."""
    return datetime.combine(day, time(), SHANGHAI), datetime.combine(day + timedelta(days=1), time(), SHANGHAI)


def days_of(month: date) -> list[date]:
    """The days of a month, which a day of it names."""
    length = monthrange(month.year, month.month)[1]
    return [month.replace(day=number + 1) for number in range(length)]


def last_over(now: datetime) -> date:
    """The last day that may be closed."""
    return (now - ENDS_LATE).astimezone(SHANGHAI).date() - timedelta(days=1)


def first_looked_at(first: date, last: date) -> date:
    """From when on days are looked at that nothing was posted on.

    From the first of the month in which the first day was opened, because the statement of a month is final only when
    all of its days are closed.
    """
    return max(first.replace(day=1), last - timedelta(days=MOST_DAYS_BACK))


def days_to_close(first: date, opened: Collection[date], closed: Collection[date], last: date) -> list[date]:
    """The days up to `last` that are not closed, the oldest first.

    Args:
        first: from when on every day is to be closed, whether anything was posted on it or not.
        opened: days that something was posted on and that are not closed, of any age.
        closed: those that are closed, from `first` on.
        last: the last day that may be closed.
    """
    every = {first + timedelta(days=number) for number in range((last - first).days + 1)}
    return sorted((every - set(closed)) | {day for day in opened if day <= last})


def require_over(day: date, now: datetime) -> None:
    """Return if a day may be closed.

    Raises:
        SettlementRefusedError: DAY_NOT_OVER.
    """
    if day > last_over(now):
        raise SettlementRefusedError(Reason.DAY_NOT_OVER, f"{day} can be closed from a minute after its end")
