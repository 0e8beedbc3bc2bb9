"""The printed statement: its texts, its pages, its font, and the process that draws it."""

import asyncio
import io
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pytest
from fpdf import FPDF
from fpdf.enums import Align
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from kit.errors import InvalidFields, Refusal
from kit.testing import eventually
from settlement.domain.accounts import StatementLine
from settlement.domain.ledger import EntryKind
from settlement.domain.statements import Period, Summary, masked_name
from settlement.statement_pdf import EMPTY, HIGH_MM, TABLE_TOP_MM, TITLE, WIDE_MM, draw, pages_of
from settlement.statement_printing import AT_ONCE, DrawingFailedError, Printing
from settlement.statement_sheet import COLUMNS, MAX_ENTRIES, Holder, Sheet, refuse_too_long, sheet_of, yuan_sign

NOON: Final = datetime(2025, 6, 10, 4, tzinfo=UTC)
JUNE: Final = Period(date(2025, 6, 1), date(2025, 6, 30))
LONGEST: Final = 64
"""Of a contribution's id."""


def line(number: int, amount_fen: int = -100, reference: str = "r", patient: str = "child") -> StatementLine:
    kind = EntryKind.CONTRIBUTION if amount_fen > 0 else EntryKind.SETTLEMENT
    return StatementLine(number, kind, amount_fen, 10**6 + number, NOON, reference, patient, "H65270100001")


def sheet(*lines: StatementLine, holder: Holder | None = None) -> Sheet:
    summary = Summary(0, 123_456_789, 9, len(lines), len(lines))
    return sheet_of(holder or Holder("65270000000000000001", "张建国"), JUNE, summary, lines, NOON)


def texts_of(content: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(content)).pages]


@given(st.integers(0, 10**15))
def test_an_amount_is_written_as_people_write_it(amount_fen: int) -> None:
    text = yuan_sign(amount_fen)
    assert int(text.removeprefix("¥").replace(",", "").replace(".", "")) == amount_fen
    whole = text.removeprefix("¥").split(".")[0]
    assert [len(group) for group in whole.split(",")[1:]] == [3] * whole.count(",")


def test_amounts_have_their_sign_groups_and_two_decimals() -> None:
    assert [yuan_sign(each) for each in (0, 5, 123456, 100000000)] == ["¥0.00", "¥0.05", "¥1,234.56", "¥1,000,000.00"]


@given(st.text(min_size=1, max_size=50))
def test_no_more_than_the_first_character_of_a_name_is_shown(name: str) -> None:
    shown = masked_name(name)
    assert len(shown) == len(name)
    assert set(shown[1:]) <= {"*"}
    assert shown[0] in {"*", name[0]}
    assert len(name) > 1 or shown == "*"


def test_a_statement_without_a_name_has_none() -> None:
    names = [name for name, _ in sheet(holder=Holder("father", "")).facts]
    assert names == ["人员编号", "账期", "制表时间"]


@settings(deadline=None)  # the first page loads the font
@given(st.integers(0, 400))
def test_every_row_stands_on_one_page_in_its_order(count: int) -> None:
    rows = sheet(*map(line, range(count))).rows
    pages = pages_of(rows)
    assert list(chain.from_iterable(pages)) == list(rows)
    assert all(pages)
    assert max(map(len, pages)) <= 28


@pytest.fixture(scope="module")
def long_statement() -> bytes:
    return draw(sheet(*(line(number, reference=f"ref-{number}") for number in range(70))))


def test_a_long_statement_has_its_columns_on_each_page_and_says_how_many_there_are(long_statement: bytes) -> None:
    pages = texts_of(long_statement)
    assert len(pages) == 3
    for number, text in enumerate(pages, start=1):
        assert f"第 {number} 页，共 3 页" in text
        assert all(name in text for name in COLUMNS)
        assert "65270000000000000001" in text
    assert all(f"ref-{number} " in "".join(pages) for number in range(70))
    assert [TITLE in text for text in pages] == [True, False, False]
    assert [name in pages[0] for name in ("张**", "2025-06-01 至 2025-06-30", "期初余额", "¥1,234,567.89")] == [
        True
    ] * 4
    assert "张建国" not in "".join(pages)
    assert "期末余额" in pages[-1]
    assert "共 70 笔" in pages[-1]


def test_a_period_without_entries_says_so(long_statement: bytes) -> None:
    (page,) = texts_of(draw(sheet(holder=Holder("father", "\U000e0001𓀀"))))  # the font has no such letters: boxes
    assert EMPTY in page
    assert EMPTY not in "".join(texts_of(long_statement))


def test_the_font_is_in_the_file_in_two_weights_that_every_viewer_shows(long_statement: bytes) -> None:
    resources: Any = PdfReader(io.BytesIO(long_statement)).pages[0]["/Resources"]
    fonts = [font.get_object() for font in resources["/Font"].values()]
    assert len(fonts) == 2
    for font in fonts:
        (descendant,) = font["/DescendantFonts"]
        assert descendant.get_object()["/Subtype"] == "/CIDFontType2"
        assert "/FontFile2" in descendant.get_object()["/FontDescriptor"].get_object()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[float, float, float, float, Align, str]]]:
    """Left, top, width of the box, width of the text in it, where it stands."""
    cells, cell = list[tuple[float, float, float, float, Align, str]](), FPDF.cell

    def noted(self: FPDF, w: float, h: float, text: str, **more: Any) -> Any:
        cells.append((self.get_x(), self.get_y(), w, self.get_string_width(text), more["align"], text))
        return cell(self, w, h, text, **more)

    monkeypatch.setattr(FPDF, "cell", noted)
    yield cells
    assert cells


@pytest.mark.parametrize("letter", ["W", "."])
def test_no_text_leaves_its_box_and_no_box_the_page(letter: str, written: list[Any]) -> None:
    most = 10**15
    long = StatementLine(
        1, EntryKind.PREMIUM_REFUND, most, most, NOON, letter * LONGEST, letter * 30, "H" + letter * 11
    )
    summary = Summary(most, most, most, 1, 1)
    holder = Holder(letter * 30, "阿卜杜" * 16)
    (page,) = texts_of(draw(sheet_of(holder, JUNE, summary, [long], NOON)))
    assert page
    for left_mm, top_mm, width_mm, text_mm, align, text in written:
        assert align == (Align.R if text.startswith("¥") and top_mm > TABLE_TOP_MM else align)
        assert text_mm <= width_mm + 0.01, text
        assert left_mm >= 0
        assert left_mm + width_mm <= WIDE_MM + 0.01
        assert 0 <= top_mm <= HIGH_MM
    assert letter * LONGEST in "".join(text for *_, text in written)


def test_a_period_with_more_entries_than_may_be_printed_is_refused() -> None:
    refuse_too_long(Summary(0, 0, 0, MAX_ENTRIES, MAX_ENTRIES))
    with pytest.raises(InvalidFields, match="to_day"):
        refuse_too_long(Summary(0, 0, 0, MAX_ENTRIES + 1, MAX_ENTRIES + 1))


async def test_a_statement_is_drawn_by_a_process_of_its_own() -> None:
    whole = sheet(line(1, reference="ref-1"))
    assert Sheet.from_bytes(whole.to_bytes()).to_bytes() == whole.to_bytes()
    assert "ref-1" in texts_of(await Printing()(whole))[0]


async def test_a_statement_is_drawn_where_nothing_can_be_written() -> None:
    program = (
        "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
        "runpy.run_module('settlement.statement_pdf', run_name='__main__')"
    )
    assert (
        "ref-1"
        in texts_of(await Printing(command=(sys.executable, "-c", program))(sheet(line(1, reference="ref-1"))))[0]
    )


async def test_what_draws_sees_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GONGJI_SECRET", "s3cret")
    content = await Printing(command=(sys.executable, "-c", "import os; print(sorted(os.environ))"))(sheet())
    assert b"GONGJI" not in content
    assert b"PYTHONPATH" in content


async def test_a_drawing_that_fails_is_our_fault_and_one_that_takes_too_long_is_sent_again() -> None:
    with pytest.raises(DrawingFailedError, match="status 7"):
        await Printing(command=(sys.executable, "-c", "raise SystemExit(7)"))(sheet())
    with pytest.raises(Refusal, match="too long") as refused:
        await Printing(0.1, (sys.executable, "-c", "input(); import time; time.sleep(60)"))(sheet())
    assert refused.value.reason == "OVERLOADED"


async def test_one_drawing_too_many_is_refused_until_a_place_is_free_also_if_its_caller_has_gone(
    tmp_path: Path,
) -> None:
    go = tmp_path / "go"
    wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)\nprint('drawn')"
    printing = Printing(command=(sys.executable, "-c", wait))
    drawings = [asyncio.ensure_future(printing(sheet())) for _ in range(AT_ONCE)]
    while not printing._places.locked():  # noqa: ASYNC110 - nothing tells it but the flag
        await asyncio.sleep(0)
    for drawing in drawings:
        drawing.cancel()
    await asyncio.wait(drawings)
    with pytest.raises(Refusal, match="moment") as refused:
        await printing(sheet())
    assert refused.value.reason == "OVERLOADED"
    go.touch()
    await eventually(lambda: not printing._places.locked())
    assert await printing(sheet()) == b"drawn\n"
