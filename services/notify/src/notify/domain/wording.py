"""What reads the same in every language: amounts, clerks' reasons, and the clocks that times are told by."""

from typing import Final
from zoneinfo import ZoneInfo

SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
FEN_A_YUAN: Final = 100
_END_MARKS: Final = "。.；;，,！! \t\n"


def yuan(amount_fen: int) -> str:
    """¥1,234.56."""
    whole, rest = divmod(abs(amount_fen), FEN_A_YUAN)
    return f"{'-' if amount_fen < 0 else ''}¥{whole:,}.{rest:02}"


def reason(catalogued: str, words: str) -> str:
    """A clerk's reason: what the catalogue says, with the clerk's own words; either alone where there is only one."""
    own = trimmed(words)
    return f"{catalogued}（{own}）" if catalogued and own else catalogued or own


def trimmed(words: str) -> str:
    """Words on one line and without the mark that ended them: a text puts its own behind them."""
    return " ".join(words.split()).rstrip(_END_MARKS)
