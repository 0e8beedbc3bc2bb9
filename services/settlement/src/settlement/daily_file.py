"""The daily file (对账明细文件): a day's lines as a zipped TAB-separated text, written page by page.

UTF-8, lines end with LF, the first line names the columns. Amounts are in yuan with two decimals, as in the national
file, and never negative: those of a line whose refd_setl_flag is 1 were given back.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from datetime import date
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from settlement.domain.reconciliation import SHANGHAI, DetailLine

CHUNK_BYTES: Final = 64 * 1024
_FEN_A_YUAN: Final = 100


def yuan(fen: int) -> str:
    """An amount that is not negative, in yuan."""
    return f"{fen // _FEN_A_YUAN}.{fen % _FEN_A_YUAN:02}"


COLUMNS: Final[dict[str, Callable[[DetailLine], str]]] = {
    "psn_no": lambda line: line.psn_no,
    "mdtrt_id": lambda line: line.mdtrt_id,
    "setl_id": lambda line: str(line.setl_id),
    "msgid": lambda line: line.msgid,
    "setl_time": lambda line: f"{line.at.astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}",
    "med_type": lambda line: str(int(line.med_type)),
    "clr_type": lambda line: str(int(line.column.clr_type)),
    "insutype": lambda line: str(int(line.column.insutype)) if line.column.insutype else "",
    "refd_setl_flag": lambda line: str(int(line.refd_setl_flag)),
    "medfee_sumamt": lambda line: yuan(line.amounts.medfee_sumamt_fen),
    "fund_pay_sumamt": lambda line: yuan(line.amounts.fund_pay_sumamt_fen),
    "hosp_part_amt": lambda line: yuan(line.amounts.hosp_part_amt_fen),
    "acct_pay": lambda line: yuan(line.amounts.acct_pay_fen),
    "psn_cash_pay": lambda line: yuan(line.amounts.psn_cash_pay_fen),
    "acct_mulaid_pay": lambda line: yuan(line.amounts.acct_mulaid_pay_fen),
}
"""By name in their order; mutual aid, which the national file does not have, comes last."""

HEADER: Final = "\t".join(COLUMNS) + "\n"


def file_name(fixmedins_code: str, day: date, suffix: str = "zip") -> str:
    """What the file is called."""
    return f"{fixmedins_code}_{day:%Y%m%d}.{suffix}"


async def daily_file(
    fixmedins_code: str, day: date, pages: AsyncIterator[Sequence[DetailLine]]
) -> AsyncGenerator[bytes, None]:
    """The bytes of a day's file, in chunks; the same lines are always the same bytes."""
    growing = _GrowingZip(file_name(fixmedins_code, day, "txt"), day)
    try:
        growing.write(HEADER)
        async for page in pages:
            growing.write("".join(map(_row, page)))
            for chunk in growing.chunks():
                yield chunk
    finally:
        # Also when the reader has gone: a zip that is let go of while it is being written complains.
        growing.end()
    for chunk in growing.chunks():
        yield chunk


def _row(line: DetailLine) -> str:
    return "\t".join(cell(line) for cell in COLUMNS.values()) + "\n"


class _Sink:
    """What a zip is written into: it can only go on, so the zip needs no more than what has not been taken yet."""

    def __init__(self) -> None:
        self.waiting = bytearray()

    def write(self, data: bytes) -> int:
        self.waiting += data
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back here."""

    def close(self) -> None:
        """What is waiting may still be taken."""


class _GrowingZip:
    """A zip of one text that is taken away while it grows."""

    def __init__(self, name: str, day: date) -> None:
        self._sink = _Sink()
        self._zip = ZipFile(self._sink, "w")
        # The day, not the moment: of the same lines the same bytes.
        info = ZipInfo(name, (day.year, day.month, day.day, 0, 0, 0))
        info.compress_type = ZIP_DEFLATED
        self._text = self._zip.open(info, "w")

    def write(self, text: str) -> None:
        self._text.write(text.encode())

    def end(self) -> None:
        self._text.close()
        self._zip.close()

    def chunks(self) -> list[bytes]:
        """What has been written since."""
        taken = bytes(self._sink.waiting)
        self._sink.waiting.clear()
        return [taken[start : start + CHUNK_BYTES] for start in range(0, len(taken), CHUNK_BYTES)]
