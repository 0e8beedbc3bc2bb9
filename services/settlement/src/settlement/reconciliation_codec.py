"""Reconciliation ⇄ the contract."""

from collections.abc import Sequence
from datetime import date
from typing import Final

from gongji.settlement.v1 import reconciliation_pb2 as pb2
from kit.days import stated_day
from kit.errors import FieldViolation, InvalidFields
from kit.timestamps import timestamp
from settlement import enums
from settlement.domain.reconciliation import (
    Amounts,
    ClearingStatement,
    ClosedDay,
    Column,
    DetailLine,
    StatementDay,
    Total,
    Totals,
    grand_total,
)
from settlement.reconciliation_service import Closing

YEARS: Final = range(2000, 2200)


def day_of(text: str, field: str = "day") -> date:
    """The day in a field of the request.

    Raises:
        InvalidFields: no calendar has it, or it is of another age.
    """
    stated = stated_day(text, field)
    if stated.year not in YEARS:
        raise InvalidFields([FieldViolation(field, f"is not of the years {YEARS.start} to {YEARS.stop - 1}")])
    return stated


def amounts_message(amounts: Amounts) -> pb2.Amounts:
    """A sum."""
    return pb2.Amounts(
        count=amounts.count,
        medfee_sumamt=amounts.medfee_sumamt_fen,
        fund_pay_sumamt=amounts.fund_pay_sumamt_fen,
        hosp_part_amt=amounts.hosp_part_amt_fen,
        acct_pay=amounts.acct_pay_fen,
        acct_mulaid_pay=amounts.acct_mulaid_pay_fen,
        psn_cash_pay=amounts.psn_cash_pay_fen,
    )


def total_message(total: Total, column: Column | None = None) -> pb2.DailyTotal:
    """A row of totals; without a column, the one over all."""
    return pb2.DailyTotal(
        clr_type=enums.clearing_type(column.clr_type if column else None),
        insutype=enums.insurance_type(column.insutype if column else None),
        gross=amounts_message(total.gross),
        refunds=amounts_message(total.refunds),
        net=amounts_message(total.net),
        to_pay=total.net.to_pay_fen,
    )


def totals_message(closed: ClosedDay | None, totals: Totals) -> pb2.GetDailyTotalsResponse:
    """A day's totals."""
    return pb2.GetDailyTotalsResponse(
        closed_at=timestamp(closed.closed_at) if closed else None,
        totals=[total_message(total, column) for column, total in totals.items()],
        total=total_message(grand_total(totals.values())),
    )


def statement_message(statement: ClearingStatement) -> pb2.GetClearingStatementResponse:
    """A month."""
    return pb2.GetClearingStatementResponse(
        days=[_day_message(day) for day in statement.days if day.totals],
        totals=[total_message(total, column) for column, total in statement.totals.items()],
        total=total_message(grand_total(statement.totals.values())),
        open_days=[day.isoformat() for day in statement.open_days],
    )


def _day_message(day: StatementDay) -> pb2.ClearingDay:
    return pb2.ClearingDay(
        day=day.day.isoformat(),
        closed_at=timestamp(day.closed.closed_at) if day.closed else None,
        total=total_message(grand_total(day.totals.values())),
    )


def details_message(lines: Sequence[DetailLine]) -> pb2.StreamDetailsResponse:
    """Some lines of a day."""
    return pb2.StreamDetailsResponse(lines=map(_line_message, lines))


def _line_message(line: DetailLine) -> pb2.DetailLine:
    return pb2.DetailLine(
        setl_id=str(line.setl_id),
        msgid=line.msgid,
        refd_setl_flag=line.refd_setl_flag,
        setl_time=timestamp(line.at),
        psn_no=line.psn_no,
        mdtrt_id=line.mdtrt_id,
        med_type=enums.medical_type(line.med_type),
        clr_type=enums.clearing_type(line.column.clr_type),
        insutype=enums.insurance_type(line.column.insutype),
        medfee_sumamt=line.amounts.medfee_sumamt_fen,
        fund_pay_sumamt=line.amounts.fund_pay_sumamt_fen,
        hosp_part_amt=line.amounts.hosp_part_amt_fen,
        acct_pay=line.amounts.acct_pay_fen,
        acct_mulaid_pay=line.amounts.acct_mulaid_pay_fen,
        psn_cash_pay=line.amounts.psn_cash_pay_fen,
    )


def closing_message(closing: Closing) -> pb2.CloseDayResponse:
    """A closed day."""
    return pb2.CloseDayResponse(
        closed_at=timestamp(closing.closed.closed_at),
        closed_by=closing.closed.closed_by,
        institutions=closing.institutions,
        total=total_message(closing.total),
    )
