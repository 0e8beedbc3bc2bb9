"""How amounts, times, persons and terms read in a message."""

from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from notify.domain.facts import Pair, Terms, Window

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
FEN_A_YUAN: Final = 100
SHOWN_DIGITS: Final = 4
_END_MARKS: Final = "。.；;，,！! \t\n"


def yuan(amount_fen: int) -> str:
    """¥1,234.56."""
    whole, rest = divmod(abs(amount_fen), FEN_A_YUAN)
    return f"{'-' if amount_fen < 0 else ''}¥{whole:,}.{rest:02}"


def moment(at: datetime) -> str:
    """2025年6月10日10:05, Asia/Shanghai."""
    local = at.astimezone(SHANGHAI)
    return f"{day(local)}{local.hour:02}:{local.minute:02}"


def day(on: date) -> str:
    """2025年6月10日."""
    return f"{on.year}年{on.month}月{on.day}日"


def person(psn_no: str) -> str:
    """人员编号尾号1234: enough for a family to tell who it is, and no more than that."""
    return f"人员编号尾号{psn_no[-SHOWN_DIGITS:]}"


def beneficiary(pair: Pair) -> str:
    """您的子女（人员编号尾号1234）, as the payer says it."""
    return f"您的{pair.relationship.value}（{person(pair.beneficiary)}）"


def reason(catalogued: str, words: str) -> str:
    """A clerk's reason: what the catalogue says, with the clerk's own words; either alone where there is only one."""
    own = words.strip().rstrip(_END_MARKS)
    return f"{catalogued}（{own}）" if catalogued and own else catalogued or own


def because(reason: str) -> str:
    """原因：…。 in a sentence of its own; nothing if there is no reason."""
    words = reason.strip().rstrip(_END_MARKS)
    return f"原因：{words}。" if words else ""


def limit(window: Window, amount_fen: int) -> str:
    """每年不超过¥1,000.00."""
    return f"{window.value}不超过{yuan(amount_fen)}"


def terms(agreed: Terms) -> str:
    """The limits and the dates, as two parts of a sentence."""
    limits = "、".join(limit(window, amount_fen) for window, amount_fen in agreed.limits_fen)
    return f"支付限额为{limits}，有效期为{day(agreed.valid_from)}至{day(agreed.valid_to)}"
