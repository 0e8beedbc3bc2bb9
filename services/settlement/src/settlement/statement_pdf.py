"""Draws a statement as a PDF in Chinese; as a program, from a sheet on its standard input to its standard output.

A process of its own draws: it takes seconds of a processor, and the font takes memory, which no server has to spare.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate
from typing import Any, Final, cast

from fpdf import FPDF
from fpdf.enums import Align
from fpdf.fonts import TTFFont

from settlement.statement_font import BOLD, REGULAR, fonts_of
from settlement.statement_sheet import COLUMNS, Row, Sheet

TITLE: Final = "医疗保险个人账户对账单"
SUBTITLE: Final = "职工基本医疗保险 · 家庭共济"
NOTE: Final = "金额单位：人民币元。退款记入收入，代家人支付的记入支出。对账单如有疑问，请向参保地医疗保险经办机构查询。"
EMPTY: Final = "本期没有收支"
FONT: Final = "noto"
WIDE_MM, HIGH_MM, MARGIN_MM = 297.0, 210.0, 12.0
INNER_MM: Final = WIDE_MM - 2 * MARGIN_MM
WIDTHS_MM: Final = (33.0, 27.0, 44.0, 29.0, 62.0, 25.0, 25.0, 28.0)
LEFTS_MM: Final = tuple(accumulate(WIDTHS_MM[:-1], initial=MARGIN_MM))
AMOUNTS_FROM: Final = 5
"""The first of the columns that have amounts, which stand to the right."""
ROW_MM: Final = 6.0
TABLE_TOP_MM, BOTTOM_MM, FOOTER_TOP_MM = 64.0, HIGH_MM - 21.0, HIGH_MM - 16.0
"""Where the table begins on the first page, below the title; where it ends; where the footer is."""
BOX_MM: Final = 12.0
LEAST_POINTS: Final = 5.5
"""Smaller is hard to read: what is still too long takes two lines."""
TWO_LINES_POINTS: Final = 6.5
"""The most that two lines of one row have room for."""
NICENESS: Final = 10

Color = tuple[int, int, int]
INK: Final = (32, 36, 44)
PALE: Final = (110, 118, 130)
SHADE: Final = (243, 246, 250)
LINE: Final = (205, 212, 222)


@dataclass(frozen=True, slots=True)
class _Look:
    points: float = 8.0
    color: Color = INK
    style: str = ""
    align: Align = Align.L


@dataclass(frozen=True, slots=True)
class _Box:
    left_mm: float
    top_mm: float
    width_mm: float
    height_mm: float = ROW_MM


_TEXT, _BOLD = _Look(), _Look(style="B")
_SMALL: Final = _Look(7.0, PALE)


def pages_of(rows: Sequence[Row]) -> list[Sequence[Row]]:
    """The rows of each page."""
    first, others = _capacity(TABLE_TOP_MM), _capacity(MARGIN_MM)
    return [rows[:first], *(rows[start : start + others] for start in range(first, len(rows), others))]


def _capacity(top_mm: float) -> int:
    return int((BOTTOM_MM - top_mm) // ROW_MM) - 1  # one row is the columns' names


def draw(sheet: Sheet) -> bytes:
    """The file's bytes."""
    pages = pages_of(sheet.rows)
    drawing = _Drawing(sheet)
    for number, rows in enumerate(pages, start=1):
        top_mm = drawing.first_page() if number == 1 else drawing.next_page()
        drawing.table(rows, top_mm, closing=number == len(pages))
        drawing.footer(f"第 {number} 页，共 {len(pages)} 页")
    return drawing.output()


class _Drawing:
    """A PDF, from the top of its first page to the foot of its last."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._pdf = pdf = FPDF(orientation="landscape", unit="mm", format="A4")
        pdf.set_auto_page_break(auto=False)
        pdf.c_margin = 1.2
        pdf.set_title(TITLE)
        pdf.set_lang("zh-CN")
        pdf.set_creation_date(datetime.fromisoformat(sheet.made_at))
        # What `add_font` does with a file. These are made just now, and a server may have nowhere to write.
        for style, file in zip(("", "B"), fonts_of(_characters(sheet), (REGULAR, BOLD)), strict=True):
            pdf.fonts[FONT + style] = TTFFont(pdf, cast("Any", file), FONT + style, style)

    def first_page(self) -> float:
        """Begin it, with the title; where its table begins."""
        self._pdf.add_page()
        top_mm = MARGIN_MM
        self._write(_Box(MARGIN_MM, top_mm, INNER_MM, 9), TITLE, _Look(17, style="B", align=Align.C))
        self._write(_Box(MARGIN_MM, top_mm + 9, INNER_MM), SUBTITLE, _Look(color=PALE, align=Align.C))
        self._facts(self._sheet.facts, top_mm + 17, _Look(9))
        self._facts(self._sheet.sums, top_mm + 19 + BOX_MM, _Look(11, style="B"))
        self._write(_Box(MARGIN_MM, top_mm + 20 + 2 * BOX_MM, INNER_MM, 5), NOTE, _SMALL)
        return TABLE_TOP_MM

    def next_page(self) -> float:
        """Begin one more; where its table begins."""
        self._pdf.add_page()
        return MARGIN_MM

    def table(self, rows: Sequence[Row], top_mm: float, *, closing: bool) -> None:
        """Rows below the columns' names; the last one is the statement's last."""
        self._fill(_Box(MARGIN_MM, top_mm, INNER_MM), LINE)
        self._row(COLUMNS, top_mm, _BOLD)
        for number, row in enumerate(rows, start=1):
            top_mm += ROW_MM
            if number % 2 == 0:
                self._fill(_Box(MARGIN_MM, top_mm, INNER_MM), SHADE)
            self._row(row, top_mm, _BOLD if closing and number == len(rows) else _TEXT)
        bottom_mm = top_mm + ROW_MM
        self._pdf.set_draw_color(*LINE)
        self._pdf.line(MARGIN_MM, bottom_mm, MARGIN_MM + INNER_MM, bottom_mm)
        if len(self._sheet.rows) == len(("opening", "closing")):
            self._write(_Box(MARGIN_MM, bottom_mm + 2, INNER_MM), EMPTY, _Look(color=PALE, align=Align.C))

    def footer(self, number: str) -> None:
        """Whose statement it is, and the page's number."""
        whose = "　".join(value for name, value in self._sheet.facts if name in {"人员编号", "账期"})
        self._write(_Box(MARGIN_MM, FOOTER_TOP_MM, INNER_MM / 2), whose, _SMALL)
        self._write(_Box(WIDE_MM / 2, FOOTER_TOP_MM, INNER_MM / 2), number, replace(_SMALL, align=Align.R))

    def output(self) -> bytes:
        """The file, complete."""
        return bytes(self._pdf.output())

    def _facts(self, facts: Sequence[tuple[str, str]], top_mm: float, look: _Look) -> None:
        width_mm = INNER_MM / len(facts)
        self._fill(_Box(MARGIN_MM, top_mm, INNER_MM, BOX_MM), SHADE)
        for place, (name, value) in enumerate(facts):
            left_mm = MARGIN_MM + place * width_mm + 1
            self._write(_Box(left_mm, top_mm + 1, width_mm - 2, 4), name, _SMALL)
            self._write(_Box(left_mm, top_mm + 5, width_mm - 2), value, look)

    def _row(self, texts: Sequence[str], top_mm: float, look: _Look) -> None:
        places = zip(LEFTS_MM, WIDTHS_MM, texts, strict=True)
        for number, (left_mm, width_mm, text) in enumerate(places):
            aligned = replace(look, align=Align.R) if number >= AMOUNTS_FROM else look
            self._write_in_row(_Box(left_mm, top_mm, width_mm), text, aligned)

    def _write_in_row(self, box: _Box, text: str, look: _Look) -> None:
        if self._fitting(text, box, look).points >= LEAST_POINTS:
            self._write(box, text, look)
            return
        middle, half_mm = (len(text) + 1) // 2, box.height_mm / 2
        smaller = replace(look, points=TWO_LINES_POINTS)
        self._write(replace(box, height_mm=half_mm), text[:middle], smaller)
        self._write(replace(box, top_mm=box.top_mm + half_mm, height_mm=half_mm), text[middle:], smaller)

    def _write(self, box: _Box, text: str, look: _Look) -> None:
        """Write one line into a box, smaller if it is too long for it."""
        fitting = self._fitting(text, box, look)
        self._pdf.set_font(FONT, style=fitting.style, size=fitting.points)
        self._pdf.set_text_color(*fitting.color)
        self._pdf.set_xy(box.left_mm, box.top_mm)
        self._pdf.cell(box.width_mm, box.height_mm, text, align=fitting.align)

    def _fitting(self, text: str, box: _Box, look: _Look) -> _Look:
        self._pdf.set_font(FONT, style=look.style, size=look.points)
        room_mm = box.width_mm - 2 * self._pdf.c_margin
        needed_mm = self._pdf.get_string_width(text)
        return replace(look, points=look.points * room_mm / needed_mm) if needed_mm > room_mm else look

    def _fill(self, box: _Box, color: Color) -> None:
        self._pdf.set_fill_color(*color)
        self._pdf.rect(box.left_mm, box.top_mm, box.width_mm, box.height_mm, style="F")


def _characters(sheet: Sheet) -> set[str]:
    texts: Iterable[str] = (text for group in (*sheet.facts, *sheet.sums, *sheet.rows, COLUMNS) for text in group)
    return set("".join((TITLE, SUBTITLE, NOTE, EMPTY, "第页，共　 0123456789", *texts)))


if __name__ == "__main__":
    os.nice(NICENESS)
    sys.stdout.buffer.write(draw(Sheet.from_bytes(sys.stdin.buffer.read())))
