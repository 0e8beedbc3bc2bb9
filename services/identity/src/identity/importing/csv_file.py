"""The register as a CSV file (`.csv` or `.csv.gz`): each line is a row by itself, so a bad one spoils no other.

Line 1 is the header; row n is on line n + 1. A row may not go over several lines: a quote that is left open would take
the rest of the file with it. Memory does not grow with the file, with a line, or with what a `.gz` unfolds to.
"""

import csv
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final, Literal, TypeVar, cast

from identity.domain.certificate import Certificate, CertificateType, written_name
from identity.domain.enrolment import Enrolment, InsuranceStatus, InsuranceType
from identity.domain.register import RegisterRow, RowRefused, birth_date

V = TypeVar("V")

COLUMNS: Final = (
    *("psn_no", "psn_name", "psn_cert_type", "certno", "brdy", "tel", "card_sn"),
    *("insutype", "insuplc_admdvs", "psn_insu_stas", "arrears", "valid_from", "valid_to"),
)
"""The header, in any order; the national field names."""
MAX_LINE_BYTES: Final = 4096
MAX_CONTENT_BYTES: Final = 4 * 1024**3
BLOCK_BYTES: Final = 1024 * 1024
SAMPLE_LINES: Final = 1000
"""How many lines with other characters than ASCII are looked at to tell the encoding."""

Encoding = Literal["utf-8", "gb18030"]

_UTF8_BOM: Final = b"\xef\xbb\xbf"
_UTF16_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")


class UnusableFile(Exception):
    """The file cannot be imported at all; the sentence says why, on which line, and what to do."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds, known before anything is taken from it."""

    sha256: bytes
    """Of the unpacked content."""
    row_count: int


def examine(path: Path, encoding: Encoding) -> Content:
    """Read the file once: its checksum, its rows, and whether header and encoding are right.

    Raises:
        UnusableFile: nothing of it can be taken.
    """
    digest, newlines, size, last = hashlib.sha256(), 0, 0, b""
    with _opened(path) as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            newlines += block.count(b"\n")
            size += len(block)
            last = block[-1:]
            if size > MAX_CONTENT_BYTES:
                raise UnusableFile(f"{path.name}: more than {MAX_CONTENT_BYTES} bytes when unpacked; split it")
    lines = newlines + (last not in {b"", b"\n"})
    with _opened(path) as file:
        _header(path, file, encoding)
        _check_encoding(path, file, encoding)
    return Content(digest.digest(), lines - 1)


def read(path: Path, encoding: Encoding, first_row: int = 1) -> Iterator[RegisterRow | RowRefused]:
    """The rows of an examined file, from a number on.

    Raises:
        UnusableFile: header or packing are broken.
    """
    with _opened(path) as file:
        parser = RowParser(_header(path, file, encoding), encoding)
        lines = _lines(file)
        for _ in range(1, first_row):
            next(lines, None)
        for line in lines:
            yield parser.row(line)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The unpacked bytes; what is wrong with the packing is told as `UnusableFile`."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            yield cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if packed else raw
    except EOFError:
        raise UnusableFile(f"{path.name}: the packed file is cut short; copy it again") from None
    except (gzip.BadGzipFile, zlib.error):
        raise UnusableFile(f"{path.name}: the packed file is damaged; copy it again") from None
    except OSError as error:
        raise UnusableFile(f"{path.name}: cannot be read: {error.strerror or type(error).__name__}") from None


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Line by line without the line's end; None for one that is too long, of which no more is kept."""
    while line := file.readline(MAX_LINE_BYTES):
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES)
            yield None
        else:
            yield line.rstrip(b"\r\n")


def _header(path: Path, file: BinaryIO, encoding: Encoding) -> tuple[int, ...]:
    """Where each of `COLUMNS` is in a line; the file stands behind the header then."""
    line = file.readline(MAX_LINE_BYTES)
    if line.startswith(_UTF16_BOMS):
        raise UnusableFile(f"{path.name}, line 1: this is UTF-16; save the file as UTF-8 (CSV UTF-8)")
    if encoding != "utf-8" and line.startswith(_UTF8_BOM):
        raise UnusableFile(f"{path.name}, line 1: this is UTF-8; leave out --encoding {encoding}")
    try:
        names = line.removeprefix(_UTF8_BOM).decode(encoding).strip().replace('"', "").split(",")
    except UnicodeDecodeError:
        names = [""]
    found = [name.strip().lower() for name in names]
    if sorted(found) != sorted(COLUMNS):
        missing = [name for name in COLUMNS if name not in found]
        what = f"lacks {', '.join(missing)}" if missing else "has columns that are unknown or twice"
        raise UnusableFile(f"{path.name}, line 1: the header {what}; it must be {','.join(COLUMNS)}")
    return tuple(found.index(name) for name in COLUMNS)


def _check_encoding(path: Path, file: BinaryIO, encoding: Encoding) -> None:
    """Tell a wrong encoding before the first row is taken, rather than refuse half a million rows one by one."""
    sample = []
    for number, line in enumerate(_lines(file), start=2):
        if line is not None and not line.isascii():
            sample.append((number, line))
            if len(sample) == SAMPLE_LINES:
                break
    wrong = [number for number, line in sample if not _reads(line, encoding) or _is_other(line, encoding)]
    if 2 * len(wrong) <= len(sample):
        return  # single bad lines are refused as rows
    other = "gb18030" if encoding == "utf-8" else "utf-8"
    raise UnusableFile(
        f"{path.name}, line {wrong[0]}: this is not {encoding}; if it is {other}, say --encoding {other}"
    )


def _is_other(line: bytes, encoding: Encoding) -> bool:
    # Most UTF-8 can be read as GB18030, as nonsense; hardly any GB18030 can be read as UTF-8.
    return encoding == "gb18030" and _reads(line, "utf-8")


def _reads(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


_PSN_NO: Final = re.compile(r"[0-9A-Za-z]{1,30}")
_CERTNO: Final = re.compile(r"[0-9A-Z]{4,32}")
_TEL: Final = re.compile(r"(\+?[0-9]{5,15})?")
_CARD_SN: Final = re.compile(r"[0-9A-Za-z]{0,32}")
_REGION: Final = re.compile(r"[1-9][0-9]{5}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
MAX_NAME_CHARACTERS: Final = 50

_CERTIFICATE_TYPES: Final = {one.value: one for one in CertificateType}
_INSURANCE_TYPES: Final = {one.value: one for one in InsuranceType}
_STATUSES: Final = {one.value: one for one in InsuranceStatus}
_ARREARS: Final = {"": False, "0": False, "1": True}


class RowParser:
    """Makes rows of lines. Refuses what the contract of `ImportInsured` refuses, in words that name no value."""

    def __init__(self, places: tuple[int, ...], encoding: Encoding) -> None:
        self._places = places
        self._in_order = places == tuple(range(len(COLUMNS)))
        self._encoding = encoding

    def row(self, line: bytes | None) -> RegisterRow | RowRefused:
        """The row on a line (None: a line that is too long), or why it cannot be read."""
        try:
            return self._row(self._fields(line))
        except RowRefused as refusal:
            return refusal

    def _fields(self, line: bytes | None) -> list[str]:
        if line is None:
            raise RowRefused(f"the line is longer than {MAX_LINE_BYTES} bytes")
        try:
            text = line.decode(self._encoding)
        except UnicodeDecodeError:
            raise RowRefused(f"the line is not {self._encoding}") from None
        fields = _unquoted(text) if '"' in text else text.split(",")
        if len(fields) != len(COLUMNS):
            what = f"the line has {len(fields)} fields; {len(COLUMNS)} are needed"
            raise RowRefused(what if text.strip() else "the line is empty")
        return fields if self._in_order else [fields[place] for place in self._places]

    def _row(self, fields: list[str]) -> RegisterRow:
        psn_no, name, cert_type, certno, brdy, tel, card_sn, *enrolment = map(str.strip, fields)
        name = written_name(name)
        if not _PSN_NO.fullmatch(psn_no):
            raise RowRefused("psn_no must have 1 to 30 letters and digits")
        if not 1 <= len(name) <= MAX_NAME_CHARACTERS:
            raise RowRefused(f"psn_name must have 1 to {MAX_NAME_CHARACTERS} characters")
        certno, card_sn = certno.upper(), card_sn.upper()
        if not _CERTNO.fullmatch(certno):
            raise RowRefused("certno must have 4 to 32 letters and digits")
        if not _TEL.fullmatch(tel):
            raise RowRefused("tel must have 5 to 15 digits, with a leading + or without, or be empty")
        if not _CARD_SN.fullmatch(card_sn):
            raise RowRefused("card_sn must have at most 32 letters and digits")
        certificate = Certificate(_coded(_CERTIFICATE_TYPES, cert_type, "psn_cert_type"), certno)
        born = birth_date(_day(brdy, "brdy") if brdy else None, certificate)
        return RegisterRow(psn_no, name, certificate, born, _enrolment(tuple(enrolment)), tel, card_sn)


def _unquoted(text: str) -> list[str]:
    try:
        (fields,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError):
        raise RowRefused("a quotation mark is not closed on its line, or stands inside a field") from None
    return fields


@lru_cache(maxsize=4096)  # a register has few different enrolments
def _enrolment(fields: tuple[str, ...]) -> Enrolment:
    insutype, insuplc_admdvs, psn_insu_stas, arrears, valid_from, valid_to = fields
    if not _REGION.fullmatch(insuplc_admdvs):
        raise RowRefused("insuplc_admdvs must have six digits")
    if arrears not in _ARREARS:
        raise RowRefused("arrears must be 0 or 1; empty means 0")
    return Enrolment(
        _coded(_INSURANCE_TYPES, insutype, "insutype"),
        insuplc_admdvs,
        _coded(_STATUSES, psn_insu_stas, "psn_insu_stas"),
        _ARREARS[arrears],
        _day(valid_from, "valid_from"),
        _day(valid_to, "valid_to") if valid_to else None,
    )


def _coded(table: Mapping[str, V], code: str, column: str) -> V:
    try:
        return table[code]
    except KeyError:
        raise RowRefused(f"{column} must be one of {', '.join(table)}") from None


def _day(text: str, column: str) -> date:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise RowRefused(f"{column} is not a day of the calendar (YYYY-MM-DD)")
