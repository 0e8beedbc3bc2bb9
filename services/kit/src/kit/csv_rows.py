"""Rows in a CSV file (`.csv` or `.csv.gz`): each line is a row by itself, so a bad one spoils no other.

Line 1 is the header; row n is on line n + 1. A row may not go over several lines: a quote that is left open would take
the rest of the file with it. Memory does not grow with the file, with a line, or with what a `.gz` unfolds to.
"""

import csv
import gzip
import hashlib
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal, cast

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


class LineRefused(Exception):
    """A line cannot be read; the sentence says why, without its content."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds, known before anything is taken from it."""

    sha256: bytes
    """Of the unpacked content."""
    row_count: int


def examine(path: Path, encoding: Encoding, columns: Sequence[str]) -> Content:
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
        _header(path, file, encoding, columns)
        _check_encoding(path, file, encoding)
    return Content(digest.digest(), lines - 1)


def lines_from(
    path: Path, encoding: Encoding, columns: Sequence[str], first_row: int = 1
) -> tuple[tuple[int, ...], Iterator[bytes | None]]:
    """Where each column is in a line, and the lines of an examined file from a row on; None: a line that is too long.

    Raises:
        UnusableFile: header or packing are broken; of the packing also while reading on.
    """
    lines = _rows(path, encoding, columns, first_row)
    places = next(lines)
    return cast("tuple[int, ...]", places), cast("Iterator[bytes | None]", lines)


def _rows(
    path: Path, encoding: Encoding, columns: Sequence[str], first_row: int
) -> Iterator[tuple[int, ...] | bytes | None]:
    with _opened(path) as file:
        yield _header(path, file, encoding, columns)
        lines = _lines(file)
        for _ in range(1, first_row):
            next(lines, None)
        yield from lines


class FieldReader:
    """Makes fields of lines, in the order of the columns."""

    def __init__(self, places: tuple[int, ...], encoding: Encoding) -> None:
        self._places = places
        self._in_order = places == tuple(range(len(places)))
        self._encoding = encoding

    def fields(self, line: bytes | None) -> list[str]:
        """The fields of a line (None: a line that is too long).

        Raises:
            LineRefused: it cannot be read; the sentence names no value.
        """
        if line is None:
            raise LineRefused(f"the line is longer than {MAX_LINE_BYTES} bytes")
        try:
            text = line.decode(self._encoding)
        except UnicodeDecodeError:
            raise LineRefused(f"the line is not {self._encoding}") from None
        fields = _unquoted(text) if '"' in text else text.split(",")
        if len(fields) != len(self._places):
            what = f"the line has {len(fields)} fields; {len(self._places)} are needed"
            raise LineRefused(what if text.strip() else "the line is empty")
        return fields if self._in_order else [fields[place] for place in self._places]


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


def _header(path: Path, file: BinaryIO, encoding: Encoding, columns: Sequence[str]) -> tuple[int, ...]:
    """Where each of the columns is in a line; the file stands behind the header then."""
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
    if sorted(found) != sorted(columns):
        missing = [name for name in columns if name not in found]
        what = f"lacks {', '.join(missing)}" if missing else "has columns that are unknown or twice"
        raise UnusableFile(f"{path.name}, line 1: the header {what}; it must be {','.join(columns)}")
    return tuple(found.index(name) for name in columns)


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


def _unquoted(text: str) -> list[str]:
    try:
        (fields,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError):
        raise LineRefused("a quotation mark is not closed on its line, or stands inside a field") from None
    return fields
