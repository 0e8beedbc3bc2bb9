"""The register as a file: each line by itself, whatever is in it; what cannot be a register at all says so."""

import gzip
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.domain.certificate import Certificate, CertificateType
from identity.domain.enrolment import Enrolment, InsuranceStatus, InsuranceType
from identity.domain.register import RegisterRow, RowRefused
from identity.importing.csv_file import COLUMNS, RowParser, examine, read
from identity.testing import CARD_SN, NAME, TEL, identity_number
from kit import csv_rows
from kit.csv_rows import MAX_LINE_BYTES, Encoding, UnusableFile

HEADER = ",".join(COLUMNS)
FIELDS = {
    "psn_no": "P1",
    "psn_name": NAME,
    "psn_cert_type": "01",
    "certno": identity_number(),
    "brdy": "1985-03-02",
    "tel": TEL,
    "card_sn": CARD_SN,
    "insutype": "310",
    "insuplc_admdvs": "652701",
    "psn_insu_stas": "1",
    "arrears": "0",
    "valid_from": "2025-01-01",
    "valid_to": "",
}
ROW = RegisterRow(
    "P1",
    NAME,
    Certificate(CertificateType.IDENTITY_CARD, identity_number()),
    date(1985, 3, 2),
    Enrolment(InsuranceType.EMPLOYEE, "652701", InsuranceStatus.NORMAL, False, date(2025, 1, 1)),
    TEL,
    CARD_SN,
)


def line(**changed: str) -> str:
    return ",".join({**FIELDS, **changed}.values())


def file_of(folder: Path, content: bytes | Iterable[str], name: str = "register.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else ("\n".join(content) + "\n").encode())
    return path


def rows_of(path: Path, encoding: Encoding = "utf-8", first_row: int = 1) -> list[RegisterRow | str]:
    rows = read(path, encoding, first_row)
    return [str(row) if isinstance(row, RowRefused) else row for row in rows]


def refusal_of(path: Path, encoding: Encoding = "utf-8") -> str:
    with pytest.raises(UnusableFile) as refused:
        examine(path, encoding)
    return str(refused.value)


def parsed(text: str) -> RegisterRow | RowRefused:
    return RowParser(tuple(range(len(COLUMNS))), "utf-8").row(text.encode())


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["without BOM", "with BOM"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_a_file_in_utf_8_is_read(tmp_path: Path, bom: bytes, end: str) -> None:
    path = file_of(tmp_path, bom + f"{HEADER}{end}{line()}{end}{line(psn_no='P2')}".encode())
    assert examine(path, "utf-8").row_count == 2
    first, second = rows_of(path)
    assert first == ROW
    assert isinstance(second, RegisterRow)
    assert second.psn_no == "P2"


def test_a_file_in_gb18030_is_read_if_one_says_so(tmp_path: Path) -> None:
    path = file_of(tmp_path, f"{HEADER}\n{line()}\n".encode("gb18030"))
    assert examine(path, "gb18030").row_count == 1
    assert rows_of(path, "gb18030") == [ROW]
    assert "line 2: this is not utf-8; if it is gb18030, say --encoding gb18030" in refusal_of(path)


def test_a_file_in_utf_8_is_not_taken_for_gb18030(tmp_path: Path) -> None:
    path = file_of(tmp_path, [HEADER, line(psn_name="Smith"), line()])
    assert "line 3: this is not gb18030" in refusal_of(path, "gb18030")
    with_bom = file_of(tmp_path, b"\xef\xbb\xbf" + f"{HEADER}\n".encode())
    assert "leave out --encoding gb18030" in refusal_of(with_bom, "gb18030")


def test_utf_16_is_called_by_its_name(tmp_path: Path) -> None:
    assert "line 1: this is UTF-16" in refusal_of(file_of(tmp_path, f"{HEADER}\n".encode("utf-16")))


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (HEADER.replace("brdy,", ""), "lacks brdy"),
        (HEADER + ",more", "unknown or twice"),
        (HEADER + ",brdy", "unknown or twice"),
        ("", "lacks psn_no"),
        (line(), "lacks psn_no"),
    ],
)
def test_a_header_that_is_not_the_registers_is_told_with_what_it_must_be(tmp_path: Path, header: str, why: str) -> None:
    refusal = refusal_of(file_of(tmp_path, [header, line()]))
    assert "line 1" in refusal
    assert why in refusal
    assert HEADER in refusal
    assert NAME not in refusal


def test_an_empty_file_is_no_register(tmp_path: Path) -> None:
    assert "line 1: the header lacks" in refusal_of(file_of(tmp_path, b""))


def test_columns_may_come_in_another_order_and_with_quotation_marks(tmp_path: Path) -> None:
    names = list(reversed(COLUMNS))
    values = [f'"{FIELDS[name]}"' for name in names]
    path = file_of(tmp_path, [",".join(f'"{name.upper()}"' for name in names), ",".join(values)])
    examine(path, "utf-8")
    assert rows_of(path) == [ROW]


def test_a_packed_file_has_the_checksum_of_its_content(tmp_path: Path) -> None:
    plain = file_of(tmp_path, [HEADER, line()])
    packed = file_of(tmp_path, gzip.compress(plain.read_bytes()), "register.csv.gz")
    assert examine(packed, "utf-8") == examine(plain, "utf-8")
    assert rows_of(packed) == [ROW]


@pytest.mark.parametrize("broken", ["cut short", "damaged"])
def test_a_broken_packed_file_is_refused_before_anything_is_taken(tmp_path: Path, broken: str) -> None:
    whole = gzip.compress("\n".join([HEADER, *[line()] * 500]).encode(), mtime=0)
    spoilt = whole[: len(whole) // 2] if broken == "cut short" else whole[:60] + b"\xff" * 20 + whole[80:]
    assert broken in refusal_of(file_of(tmp_path, spoilt, "register.csv.gz"))


def test_what_a_packed_file_unfolds_to_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "MAX_CONTENT_BYTES", 5_000_000)
    bomb = file_of(tmp_path, gzip.compress(f"{HEADER}\n".encode() + bytes(50_000_000)), "bomb.csv.gz")
    assert "more than 5000000 bytes" in refusal_of(bomb)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    assert "cannot be read" in refusal_of(tmp_path / "none.csv")


def test_a_line_that_is_too_long_is_refused_alone_and_not_kept_in_memory(tmp_path: Path) -> None:
    path = file_of(tmp_path, [HEADER, line(), "x" * (3 * MAX_LINE_BYTES + 1), "y" * (MAX_LINE_BYTES - 1), line()])
    assert examine(path, "utf-8").row_count == 4
    first, second, third, last = rows_of(path)
    assert (first, last) == (ROW, ROW)
    assert second == f"the line is longer than {MAX_LINE_BYTES} bytes"
    assert third == "the line has 1 fields; 13 are needed"


def test_a_birth_date_that_is_left_out_is_that_of_the_identity_number(tmp_path: Path) -> None:
    assert rows_of(file_of(tmp_path, [HEADER, line(brdy=""), line(brdy=" ")])) == [ROW, ROW]


def test_a_line_that_is_not_in_the_files_encoding_is_refused_alone(tmp_path: Path) -> None:
    good = line().encode()
    path = file_of(tmp_path, b"\n".join([HEADER.encode(), good, b"\xff\xfe," + good, good]))
    examine(path, "utf-8")
    assert rows_of(path) == [ROW, "the line is not utf-8", ROW]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ('"P1' + line()[2:], "a quotation mark is not closed"),
        ('P1,"张"三' + line()[len(f"P1,{NAME}") :], "a quotation mark is not closed"),
        ("", "the line is empty"),
        (",,", "the line has 3 fields; 13 are needed"),
        (line() + ",", "the line has 14 fields; 13 are needed"),
        (line(psn_no=""), "psn_no must"),
        (line(psn_no="P-1"), "psn_no must"),
        (line(psn_no="9" * 31), "psn_no must"),
        (line(psn_name=" "), "psn_name must"),
        (line(psn_name="张" * 51), "psn_name must"),
        (line(psn_cert_type="1"), "psn_cert_type must be one of 01, 04"),
        (line(certno="123"), "certno must"),
        (line(certno="123 4567"), "certno must"),
        (line(brdy="19850302"), "brdy is not a day"),
        (line(brdy="1985-02-30"), "brdy is not a day"),
        (line(brdy="1985-W10-1"), "brdy is not a day"),
        (line(brdy="", psn_cert_type="990201", certno="Q650012345"), "brdy is required"),
        (line(brdy="", certno="652701198503020000"), "the identity number's check character is wrong"),
        (line(tel="139-9999"), "tel must"),
        (line(tel="1" * 16), "tel must"),
        (line(card_sn="X" * 33), "card_sn must"),
        (line(insutype="320"), "insutype must be one of 310, 390"),
        (line(insuplc_admdvs="65270"), "insuplc_admdvs must"),
        (line(psn_insu_stas="5"), "psn_insu_stas must be one of 0, 1, 2, 3, 4"),
        (line(psn_insu_stas="²"), "psn_insu_stas must"),
        (line(arrears="yes"), "arrears must"),
        (line(valid_from=""), "valid_from is not a day"),
        (line(valid_to="2025-13-01"), "valid_to is not a day"),
    ],
)
def test_a_bad_line_is_refused_by_what_is_wrong_with_it(bad: str, why: str) -> None:
    row = parsed(bad)
    assert isinstance(row, RowRefused)
    assert str(row).startswith(why)


def test_what_may_be_empty_or_spaced_or_in_small_letters_is_taken() -> None:
    row = parsed(
        line(tel="", card_sn=" x1 ", certno=" g123x ", arrears="", valid_to="2025-12-31", psn_name=f" {NAME} ")
    )
    assert isinstance(row, RegisterRow)
    assert (row.tel, row.card_sn, row.certificate.number, row.name) == ("", "X1", "G123X", NAME)
    assert (row.enrolment.arrears, row.enrolment.valid_to) == (False, date(2025, 12, 31))


def test_reading_goes_on_at_any_row(tmp_path: Path) -> None:
    path = file_of(tmp_path, [HEADER, *[line(psn_no=f"P{number}") for number in range(1, 6)]])
    rows = rows_of(path, first_row=4)
    assert [row.psn_no for row in rows if isinstance(row, RegisterRow)] == ["P4", "P5"]
    assert rows_of(path, first_row=6) == []
    assert rows_of(path, first_row=99) == []


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_whatever_stands_on_the_other_lines_a_good_row_is_taken_at_its_number(junk: list[bytes]) -> None:
    parser = RowParser(tuple(range(len(COLUMNS))), "utf-8")
    lines = [one.replace(b"\n", b"") for one in junk]
    rows = [parser.row(one) for one in [*lines, line().encode()]]
    assert rows[-1] == ROW
    assert all(isinstance(row, RowRefused) for row in rows[:-1])


@given(
    st.sampled_from(sorted(FIELDS)),
    st.text(st.characters(exclude_characters=',"\n\r', exclude_categories=["Cs"]), max_size=60),
)
def test_a_refusal_never_repeats_what_was_in_the_row(column: str, text: str) -> None:
    row = parsed(line(**{column: text}))
    if isinstance(row, RowRefused):
        for secret in (NAME, TEL, CARD_SN, identity_number(), "1985-03-02"):
            assert secret not in str(row)
