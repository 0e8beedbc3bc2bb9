"""What a proof really is, told by its content: names and declared types are not believed."""

import re
import struct
import zlib

from binding.domain.errors import Refused

MAX_PROOF_BYTES = 10 * 1024 * 1024
MAX_PROOFS = 6
MAX_PIXELS = 40_000_000
"""Of one picture: what a telephone's camera makes, and no more than 160 MB once it is decoded."""
MAX_SIDE_PIXELS = 16_384
PDF, JPEG, PNG = "application/pdf", "image/jpeg", "image/png"

_PDF_HEADER = re.compile(rb"%PDF-[12]\.\d")
_PDF_TRAILER = re.compile(rb"startxref\s+(\d{1,12})\s+%%EOF\s*\Z")
_PDF_XREF = re.compile(rb"\s{0,8}(?:xref|\d{1,10} \d{1,5} obj)\b")
_PDF_TRAILER_BYTES = 1024
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_BYTES = 13
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_JPEG_SCAN = 0xDA
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class ProofUnacceptable(Refused):
    """The file is no whole PDF, JPEG or PNG, or too large."""

    reason = "PROOF_UNACCEPTABLE"


def media_type_of(content: bytes) -> str:
    """The media type of a whole file.

    Raises:
        ProofUnacceptable: larger than 10 MiB, cut off, or not one of the three formats.
    """
    refuse_too_large(len(content))
    if content.startswith(_PNG_SIGNATURE):
        refuse_too_many_pixels(_png_size(content))
        return _whole(PNG, whole=_is_whole_png(content))
    if content.startswith(_JPEG_START):
        return _whole(JPEG, whole=_is_whole_jpeg(content))
    if _PDF_HEADER.match(content):
        return _whole(PDF, whole=_is_whole_pdf(content))
    raise ProofUnacceptable("the file is no PDF, JPEG or PNG")


def refuse_too_large(size_bytes: int) -> None:
    """Raises ProofUnacceptable above 10 MiB; asked after every chunk, so that no more than that is ever kept."""
    if size_bytes > MAX_PROOF_BYTES:
        raise ProofUnacceptable("the file is larger than 10 MiB", {"max_bytes": str(MAX_PROOF_BYTES)})


def refuse_too_many(count: int) -> None:
    """Raises ProofUnacceptable when an application with `count` proofs takes no more."""
    if count >= MAX_PROOFS:
        raise ProofUnacceptable(f"an application has {MAX_PROOFS} proofs at most", {"max_proofs": str(MAX_PROOFS)})


def _whole(media_type: str, *, whole: bool) -> str:
    if not whole:
        raise ProofUnacceptable(f"the file begins like {media_type} but is damaged or cut off")
    return media_type


def refuse_too_many_pixels(size: tuple[int, int]) -> None:
    """Raises ProofUnacceptable for a picture that would cost too much to decode: told by its header, before that."""
    width, height = size
    if max(width, height) > MAX_SIDE_PIXELS or width * height > MAX_PIXELS:
        raise ProofUnacceptable("the picture has too many pixels", {"max_pixels": str(MAX_PIXELS)})


def _is_whole_pdf(content: bytes) -> bool:
    tail = content[-_PDF_TRAILER_BYTES:].rstrip(b"\x00")
    trailer = _PDF_TRAILER.search(tail)
    return trailer is not None and _PDF_XREF.match(content, int(trailer[1])) is not None


def _is_whole_jpeg(content: bytes) -> bool:
    """Walk the segments up to the scan: inside it 0xFF is stuffed, so the end marker can only be the end."""
    position, framed = len(_JPEG_START), False
    while position + 4 <= len(content) and content[position] == 0xFF:  # noqa: PLR2004 - the marker's first byte
        marker = content[position + 1]
        if marker == 0xFF:  # noqa: PLR2004 - a fill byte
            position += 1
            continue
        (size,) = struct.unpack_from(">H", content, position + 2)
        if marker == _JPEG_SCAN:
            return framed and content.find(_JPEG_END, position + 2 + size) >= 0
        if marker in _JPEG_FRAMES:
            framed = _has_area(content[position + 5 : position + 9])
        position += 2 + max(size, 2)
    return False


def _has_area(dimensions: bytes) -> bool:
    if len(dimensions) != 4:  # noqa: PLR2004 - two times two bytes
        return False
    height, width = struct.unpack(">HH", dimensions)
    refuse_too_many_pixels((width, height))
    return bool(width and height)


def _is_whole_png(content: bytes) -> bool:
    position, seen = len(_PNG_SIGNATURE), list[bytes]()
    while position + 12 <= len(content):
        (size,) = struct.unpack_from(">I", content, position)
        kind_and_data = content[position + 4 : position + 8 + size]
        checksum = content[position + 8 + size : position + 12 + size]
        if checksum != struct.pack(">I", zlib.crc32(kind_and_data)):
            return False
        seen.append(kind_and_data[:4])
        if seen[-1] == b"IEND":
            return _is_png_order(seen) and _png_has_area(content)
        position += 12 + size
    return False


def _is_png_order(kinds: list[bytes]) -> bool:
    return kinds[0] == b"IHDR" and b"IDAT" in kinds


def _png_size(content: bytes) -> tuple[int, int]:
    header = content[len(_PNG_SIGNATURE) + 8 : len(_PNG_SIGNATURE) + 16]
    return struct.unpack(">II", header) if len(header) == 8 else (0, 0)  # noqa: PLR2004 - two times four bytes


def _png_has_area(content: bytes) -> bool:
    size, _, width, height = struct.unpack_from(">I4sII", content, len(_PNG_SIGNATURE))
    return bool(size == _PNG_HEADER_BYTES and width and height)
