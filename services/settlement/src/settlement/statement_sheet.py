"""A statement as the texts that a printed one has; drawing them is `statement_pdf`'s."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from kit.errors import FieldViolation, InvalidFields
from settlement.domain.accounts import StatementLine
from settlement.domain.reconciliation import SHANGHAI
from settlement.domain.statements import Period, Summary, masked_name
from settlement.statement_file import KINDS

MAX_ENTRIES: Final = 5000
"""Entries of one printed statement, some 180 pages; a longer period is cut, or taken as CSV."""
COLUMNS: Final = ("时间", "类型", "就诊人", "定点医药机构", "业务编号", "收入", "支出", "余额")

_FEN_A_YUAN: Final = 100

Row = tuple[str, str, str, str, str, str, str, str]
"""What stands in each of the columns."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """All that is printed."""

    facts: Sequence[tuple[str, str]]
    """Whose account, of which days, made when."""
    sums: Sequence[tuple[str, str]]
    rows: Sequence[Row]
    """The balance before, the entries, and what they come to."""
    made_at: str
    """ISO 8601."""

    def to_bytes(self) -> bytes:
        """For the process that draws it."""
        # Not by `asdict`, which would copy each of the texts first.
        parts = {"facts": self.facts, "sums": self.sums, "rows": self.rows, "made_at": self.made_at}
        return json.dumps(parts).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """What `to_bytes` gave."""
        return cls(**json.loads(raw))


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose statement it is."""

    psn_no: str
    name: str
    """Empty: it is not known here, and none is printed."""


def refuse_too_long(summary: Summary) -> None:
    """Return if a period's entries fit a printed statement.

    Raises:
        InvalidFields: there are more than `MAX_ENTRIES`.
    """
    if summary.entry_count > MAX_ENTRIES:
        told = (
            f"the period has {summary.entry_count} entries and a PDF at most {MAX_ENTRIES}: shorten it, or ask for CSV"
        )
        raise InvalidFields([FieldViolation("to_day", told)])


def sheet_of(
    holder: Holder, period: Period, summary: Summary, lines: Sequence[StatementLine], made_at: datetime
) -> Sheet:
    """The statement of a period, with the owner's name masked."""
    at = made_at.astimezone(SHANGHAI)
    facts = [
        *([("姓名", masked_name(holder.name))] if holder.name else []),
        ("人员编号", holder.psn_no),
        ("账期", f"{period.first} 至 {period.last}"),
        ("制表时间", f"{at:%Y-%m-%d %H:%M:%S}"),
    ]
    sums = [
        ("期初余额", yuan_sign(summary.opening_fen)),
        ("收入合计", yuan_sign(summary.came_in_fen)),
        ("支出合计", yuan_sign(summary.went_out_fen)),
        ("期末余额", yuan_sign(summary.closing_fen)),
    ]
    opening: Row = (f"{period.first}", "期初余额", "", "", "", "", "", sums[0][1])
    closing: Row = (
        f"{period.last}",
        "期末余额",
        "",
        "",
        f"共 {summary.entry_count} 笔",
        sums[1][1],
        sums[2][1],
        sums[3][1],
    )
    return Sheet(facts, sums, [opening, *map(_row, lines), closing], at.isoformat())


def yuan_sign(amount_fen: int) -> str:
    """An amount that is not negative, as people write it: ¥1,234.56."""
    return f"¥{amount_fen // _FEN_A_YUAN:,}.{amount_fen % _FEN_A_YUAN:02}"


def _row(line: StatementLine) -> Row:
    came, went = (yuan_sign(line.amount_fen), "") if line.amount_fen > 0 else ("", yuan_sign(-line.amount_fen))
    at = f"{line.posted_at.astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}"
    about = (line.patient_psn_no, line.fixmedins_code, line.reference)
    return at, KINDS[line.kind], *about, came, went, yuan_sign(line.balance_after_fen)
