r"""Examines one proof, in a process of its own: `python -m binding.proof_check MEDIA_TYPE < file > answer`.

What strangers upload is parsed here and nowhere else, under the operating system's limits of processor time and memory.
The answer is `OK\n` and the file as it is kept, or `NO\n` and why it is refused; no answer is a refusal too.

Pictures are decoded and written anew, so that nothing but pixels is left. A PDF stays as it is, if it holds no active
content: scripts, embedded files, actions that start or send something, XFA forms, encryption.
"""

import io
import re
import resource
import sys
import warnings
import zlib
from collections.abc import Iterator

from PIL import Image, ImageOps
from pypdf import PdfReader
from pypdf.filters import ASCII85Decode, ASCIIHexDecode
from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject, StreamObject

from binding.domain.proofs import JPEG, MAX_PIXELS, PDF, PNG

OK, NO = b"OK\n", b"NO\n"
CPU_SECONDS = 8
MEMORY_BYTES = 1024 * 1024 * 1024
MAX_PAGES = 100
MAX_OBJECTS = 20_000
MAX_NODES = 500_000
MAX_STREAM_BYTES = 64 * 1024 * 1024
MAX_STREAMS_BYTES = 256 * 1024 * 1024
_QUALITY = 90
_FORMATS = {JPEG: "JPEG", PNG: "PNG"}
_MODES = frozenset({"L", "RGB"})

_SCRIPTS = ("/JavaScript", "/JS", "/AA", "/XFA", "/Rendition", "/RichMedia", "/RichMediaContent")
_FILES = ("/EmbeddedFile", "/EmbeddedFiles", "/EF", "/FileAttachment", "/Movie", "/Sound", "/Screen", "/3D")
_ACTIONS = ("/Launch", "/SubmitForm", "/ImportData", "/GoToE", "/GoToR")
_ACTIVE_NAMES = frozenset(_SCRIPTS + _FILES + _ACTIONS)
"""As a key, or as the kind of an object, each of these makes a document do more than be looked at."""
_RAW_NAMES = re.compile(rb"/(?:JavaScript|Launch|EmbeddedFiles?|RichMedia|XFA)(?![A-Za-z0-9])")
"""The longer ones are also looked for in the plain bytes: readers that repair a file find objects that it hides."""
_NAME = re.compile(rb"/[A-Za-z0-9#]{2,60}")
_ESCAPE = re.compile(rb"#([0-9A-Fa-f]{2})")
_FLATE = frozenset({"/FlateDecode", "/Fl"})
_IMAGE_FILTERS = frozenset({"/DCTDecode", "/DCT", "/CCITTFaxDecode", "/CCF", "/JBIG2Decode", "/JPXDecode"})
_HEX_FILTERS = frozenset({"/ASCIIHexDecode", "/AHx"})
_PLAIN_FILTERS = _HEX_FILTERS | {"/ASCII85Decode", "/A85"}


class Unacceptable(Exception):
    """Why a proof is refused."""


def examine(media_type: str, content: bytes) -> bytes:
    """The file as it is kept. Raises Unacceptable."""
    if media_type == PDF:
        refuse_active_pdf(content)
        return content
    return picture_anew(media_type, content)


def picture_anew(media_type: str, content: bytes) -> bytes:
    """The picture's pixels in a new file of the same type: upright, without metadata, thumbnails or anything behind."""
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(content), formats=[_FORMATS[media_type]]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Unacceptable("the picture has too many pixels")
            upright = ImageOps.exif_transpose(picture)
            pixels = upright if upright.mode in _MODES else upright.convert("RGB")
            bare = Image.frombytes(pixels.mode, pixels.size, pixels.tobytes())
    made = io.BytesIO()
    if media_type == JPEG:
        bare.save(made, "JPEG", quality=_QUALITY)
    else:
        bare.save(made, "PNG")
    return made.getvalue()


def refuse_active_pdf(content: bytes) -> None:
    """Raises Unacceptable for what is no document to be looked at, or costs too much to look at."""
    if _RAW_NAMES.search(content) or any(_RAW_NAMES.fullmatch(name) for name in _escaped_names(content)):
        raise Unacceptable("the PDF has active content")
    reader = PdfReader(io.BytesIO(content), strict=True)
    if reader.is_encrypted:
        raise Unacceptable("the PDF is encrypted")
    unpacked = 0
    _refuse_active(reader.trailer, "the trailer")
    for thing in _objects(reader):
        _refuse_active(thing, "an object")
        if isinstance(thing, StreamObject):
            unpacked += _unpacked_bytes(thing)
            if unpacked > MAX_STREAMS_BYTES:
                raise Unacceptable("the PDF unpacks to too much")
    if not 1 <= len(reader.pages) <= MAX_PAGES:
        raise Unacceptable(f"the PDF has to have 1 to {MAX_PAGES} pages")


def _escaped_names(content: bytes) -> Iterator[bytes]:
    for name in _NAME.findall(content):
        if b"#" in name:
            yield _ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), name)


def _objects(reader: PdfReader) -> Iterator[object]:
    """Every object of every revision that the tables know, also those that no page leads to."""
    known = {(number, generation) for generation, table in reader.xref.items() for number in table}
    known |= {(number, 0) for number in reader.xref_objStm}
    if len(known) > MAX_OBJECTS:
        raise Unacceptable("the PDF has too many objects")
    for number, generation in sorted(known):
        if number:
            yield reader.get_object(IndirectObject(number, generation, reader))


def _refuse_active(thing: object, where: str) -> None:
    """Looks at an object and the parts in it; what it refers to is looked at on its own."""
    waiting, seen = [thing], 0
    while waiting:
        part = waiting.pop()
        seen += 1
        if seen > MAX_NODES:
            raise Unacceptable(f"{where} of the PDF has too many parts")
        if isinstance(part, DictionaryObject):
            _refuse_keys(part)
            waiting += [part.raw_get(key) for key in part]
        elif isinstance(part, ArrayObject):
            waiting += list(part)


def _refuse_keys(part: DictionaryObject) -> None:
    kinds = {str(part.raw_get(key)) for key in ("/S", "/Subtype", "/Type") if key in part}
    found = _ACTIVE_NAMES & (set(map(str, part)) | kinds)
    if found:
        raise Unacceptable("the PDF has active content")


def _unpacked_bytes(stream: StreamObject) -> int:
    """How large a stream gets, measured without keeping it."""
    filters = stream.get("/Filter", ArrayObject())
    names = [str(name) for name in filters] if isinstance(filters, ArrayObject) else [str(filters)]
    if str(stream.get("/Subtype", "")) == "/Image":
        _refuse_large_image(stream)
    packed = stream._data  # noqa: SLF001 - the bytes as they stand in the file; get_data would unpack them all
    if names and names[0] in _PLAIN_FILTERS:
        packed = (ASCIIHexDecode if names[0] in _HEX_FILTERS else ASCII85Decode).decode(packed)
        names = names[1:]
    if not names or (len(names) == 1 and names[0] in _IMAGE_FILTERS):
        return len(packed)
    if names[0] not in _FLATE or not set(names[1:]) <= _IMAGE_FILTERS:
        raise Unacceptable("the PDF packs a stream in a way that is not accepted")
    return _inflated_bytes(packed)


def _refuse_large_image(stream: StreamObject) -> None:
    width, height = stream.get("/Width", 0), stream.get("/Height", 0)
    if not isinstance(width, int) or not isinstance(height, int) or width * height > MAX_PIXELS:
        raise Unacceptable("a picture in the PDF has too many pixels")


def _inflated_bytes(packed: bytes) -> int:
    inflater, total, rest = zlib.decompressobj(), 0, packed
    while rest and not inflater.eof:
        total += len(inflater.decompress(rest, 1024 * 1024))
        rest = inflater.unconsumed_tail
        if total > MAX_STREAM_BYTES:
            raise Unacceptable("a stream of the PDF unpacks to too much")
    return total


def main() -> int:
    """The process: reads a file, writes the answer."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        answer = OK + examine(sys.argv[1], sys.stdin.buffer.read())
    except Unacceptable as refusal:
        answer = NO + str(refusal).encode()
    except Exception:  # noqa: BLE001 - whatever a parser says of a stranger's file, the file is at fault
        answer = NO + b"the file is damaged or cannot be read"
    sys.stdout.buffer.write(answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
