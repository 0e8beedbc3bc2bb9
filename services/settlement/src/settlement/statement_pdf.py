"""A statement as a PDF in Chinese, for the command alone: reading the font takes seconds, which no server has to spare.

The font, Noto Sans CJK, comes as a package, and what is used of it is in the file: it looks the same everywhere.
"""

from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from settlement.domain.accounts import StatementLine
from settlement.domain.statements import Period, Summary
from settlement.statement_file import HEADER, closing_row, opening_row, statement_row

FONT: Final = "noto"
FONT_PACKAGE: Final = "manimgx_fonts_cjk"
FONT_FILE: Final = "NotoSansCJK-VF.otf.ttc"
SIMPLIFIED_CHINESE: Final = 2
"""Which font of the collection it is."""
WIDTHS_MM: Final = (34, 26, 22, 22, 24, 70, 44, 34)
ROW_MM: Final = 6
TITLE_POINTS, TEXT_POINTS = 14, 8


class _Pages(FPDF):
    """Landscape pages, each with the columns' names on top and its number below."""

    def header(self) -> None:
        """On each page, the names of the columns."""
        self.set_font(FONT, size=TEXT_POINTS)
        add_row(self, HEADER)

    def footer(self) -> None:
        """On each page, its number."""
        self.set_y(-12)
        self.cell(0, ROW_MM, f"第{self.page_no()}页", align="C")


def add_row(pages: FPDF, cells: Sequence[str]) -> None:
    """One row of the table; a text that is too long for its cell is set smaller."""
    for width_mm, text in zip(WIDTHS_MM, cells, strict=True):
        pages.set_font_size(TEXT_POINTS)
        needed_mm = pages.get_string_width(text) + 2 * pages.c_margin
        pages.set_font_size(TEXT_POINTS * min(1.0, width_mm / needed_mm))
        pages.cell(width_mm, ROW_MM, text, border=1)
    pages.ln()


class StatementPdf:
    """Takes a statement page by page and writes the file.

    Args:
        psn_no: whose it is.
        period: of which days.
        summary: what they come to.
    """

    def __init__(self, psn_no: str, period: Period, summary: Summary) -> None:
        self._period, self._summary = period, summary
        self._pages = _Pages(orientation="landscape")
        with as_file(files(FONT_PACKAGE) / FONT_FILE) as font:
            self._pages.add_font(FONT, fname=str(font), collection_font_number=SIMPLIFIED_CHINESE)
        self._pages.add_page()
        title = f"医疗保险个人账户对账单　人员编号 {psn_no}　{period.first} 至 {period.last}"
        self._pages.set_font(FONT, size=TITLE_POINTS)
        self._pages.cell(0, 2 * ROW_MM, title, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self._pages.set_font(FONT, size=TEXT_POINTS)
        add_row(self._pages, opening_row(period, summary))

    def add(self, lines: Sequence[StatementLine]) -> None:
        """The next entries."""
        for line in lines:
            add_row(self._pages, statement_row(line))

    def write(self, target: Path) -> int:
        """Write the file, complete; how many bytes it has."""
        add_row(self._pages, closing_row(self._period, self._summary))
        self._pages.output(str(target))
        return target.stat().st_size
