"""A statement as a CSV file in Chinese, which office programs open as it is: UTF-8 with a mark, lines end with CRLF."""

import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Final

from settlement.domain.accounts import StatementLine
from settlement.domain.ledger import EntryKind
from settlement.domain.reconciliation import SHANGHAI
from settlement.domain.statements import Period, Summary

HEADER: Final = ("时间", "类型", "收入（元）", "支出（元）", "余额（元）", "业务编号", "就诊人", "定点医药机构")
KINDS: Final[Mapping[EntryKind, str]] = {
    EntryKind.CONTRIBUTION: "缴费划入",
    EntryKind.INTEREST: "利息",
    EntryKind.SETTLEMENT: "就医支付",
    EntryKind.REFUND: "退款",
    EntryKind.PAYOUT: "注销清退",
    EntryKind.PREMIUM: "代缴居民医保费",
    EntryKind.PREMIUM_REFUND: "居民医保费退费",
}
MARK: Final = "\ufeff"
_FEN_A_YUAN: Final = 100


def yuan(amount_fen: int) -> str:
    """An amount that is not negative, in yuan with two decimals."""
    return f"{amount_fen // _FEN_A_YUAN}.{amount_fen % _FEN_A_YUAN:02}"


def file_name(psn_no: str, period: Period, suffix: str = "csv") -> str:
    """What the file is called."""
    return f"{psn_no}_{period.first:%Y%m%d}_{period.last:%Y%m%d}.{suffix}"


async def csv_file(
    period: Period, summary: Summary, pages: AsyncIterator[Sequence[StatementLine]]
) -> AsyncGenerator[bytes, None]:
    """The bytes of the file, a part for each page; the same entries are always the same bytes."""
    yield (MARK + _text([HEADER, opening_row(period, summary)])).encode()
    async for page in pages:
        yield _text([statement_row(line) for line in page]).encode()
    yield _text([closing_row(period, summary)]).encode()


def opening_row(period: Period, summary: Summary) -> Sequence[str]:
    """The first row: the balance before."""
    return (f"{period.first}", "期初余额", "", "", yuan(summary.opening_fen), "", "", "")


def closing_row(period: Period, summary: Summary) -> Sequence[str]:
    """The last row: what came and went, and the balance after."""
    sums = (yuan(summary.came_in_fen), yuan(summary.went_out_fen), yuan(summary.closing_fen))
    return (f"{period.last}", "期末余额", *sums, "", "", "")


def statement_row(line: StatementLine) -> Sequence[str]:
    """An entry."""
    came, went = (yuan(line.amount_fen), "") if line.amount_fen > 0 else ("", yuan(-line.amount_fen))
    at = f"{line.posted_at.astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}"
    amounts = (came, went, yuan(line.balance_after_fen))
    return at, KINDS[line.kind], *amounts, line.reference, line.patient_psn_no, line.fixmedins_code


def _text(rows: Sequence[Sequence[str]]) -> str:
    output = io.StringIO()
    csv.writer(output).writerows(rows)
    return output.getvalue()
