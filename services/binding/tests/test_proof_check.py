"""What strangers upload is examined under limits: nothing active, nothing that costs too much, nothing but pixels."""

import asyncio
import io
import struct
import sys
import time
import zlib

import pytest
from PIL import Image
from pypdf import PdfWriter

from binding import proof_check
from binding.domain.proofs import JPEG, MAX_PIXELS, PDF, PNG, ProofUnacceptable, media_type_of
from binding.proof_check import Unacceptable, examine
from binding.proof_checker import ProofChecker
from binding.testing import pdf_file, pdf_of, png_file

PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>"
PAGES = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"


def document(*more: bytes, catalog: bytes = b"") -> bytes:
    return pdf_of([b"<< /Type /Catalog /Pages 2 0 R " + catalog + b" >>", PAGES, PAGE, *more])


def stream(content: bytes, attributes: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), attributes, content)


def written(change: str) -> bytes:
    writer, file = PdfWriter(), io.BytesIO()
    writer.add_blank_page(100, 100)
    if change == "encrypted":
        writer.encrypt("secret")
    elif change == "attachment":
        writer.add_attachment("a.txt", b"x")
    writer.write(file)
    return file.getvalue()


SCRIPT = b"<< /S /JavaScript /JS (app.alert(1)) >>"
ACTIVE = {
    "a script when it is opened": document(catalog=b"/OpenAction " + SCRIPT),
    "a script by an escaped name": document(catalog=b"/OpenAction << /S /J#61vaScript /J#53 (x) >>"),
    "a script by a reference": document(b"<< /JS (x) >>", catalog=b"/OpenAction 4 0 R"),
    "a script that nothing leads to": document(b"[ [ << /K << /JS (x) >> >> ] ]"),
    "a script in a stream's dictionary": document(stream(b"x", b"/A << /JS (x) >>")),
    "a script behind the tables": pdf_file().replace(b"%PDF-1.7\n", b"%PDF-1.7\n%/JavaScript\n", 1),
    "a launch": document(b"<< /S /Launch /F (cmd.exe) >>"),
    "an embedded file": document(catalog=b"/Names << /EmbeddedFiles << /Names [] >> >>"),
    "an attachment": written("attachment"),
    "an XFA form": document(catalog=b"/AcroForm << /XFA [] >>"),
    "additional actions": document(b"<< /AA << /O 3 0 R >> >>"),
    "a form that sends": document(b"<< /S /SubmitForm /F (http://x) >>"),
    "rich media": document(b"<< /Type /Annot /Subtype /RichMedia >>"),
    "another file opened": document(b"<< /S /GoToE >>"),
    "encryption": written("encrypted"),
}


@pytest.mark.parametrize("what", ACTIVE)
def test_a_pdf_that_does_more_than_be_looked_at_is_refused(what: str) -> None:
    with pytest.raises(Unacceptable):
        examine(PDF, ACTIVE[what])


FLATE = b"/Filter /FlateDecode"


def packed(hidden: bytes) -> bytes:
    """A document whose objects lie in one packed stream, as of PDF 1.5: no byte of them can be read in the file."""
    inside = [b"<< /Type /Catalog /Pages 2 0 R >>", PAGES, PAGE, hidden]
    places = [sum(len(it) + 1 for it in inside[:number]) for number in range(len(inside))]
    table = b" ".join(b"%d %d" % (number, place) for number, place in enumerate(places, 1)) + b" "
    attributes = b"/Type /ObjStm /N %d /First %d " % (len(inside), len(table))
    head = b"%PDF-1.7\n"
    body = head + b"5 0 obj\n" + stream(zlib.compress(table + b" ".join(inside)), attributes + FLATE) + b"\nendobj\n"
    in_stream = b"".join(struct.pack(">BHB", 2, 5, index) for index in range(len(inside)))
    rows = struct.pack(">BHB", 0, 0, 0) + in_stream
    rows += struct.pack(">BHB", 1, len(head), 0) + struct.pack(">BHB", 1, len(body), 0)
    xref = stream(rows, b"/Type /XRef /Size 7 /W [1 2 1] /Root 1 0 R")
    return body + b"6 0 obj\n" + xref + b"\nendobj\nstartxref\n%d\n%%%%EOF\n" % len(body)


FORBIDDEN = (
    *("JavaScript", "JS", "AA", "XFA", "Rendition", "RichMedia", "RichMediaContent"),
    *("EmbeddedFile", "EmbeddedFiles", "EF", "FileAttachment", "Movie", "Sound", "Screen", "3D"),
    *("Launch", "SubmitForm", "ImportData", "GoToE", "GoToR"),
)


@pytest.mark.parametrize("name", FORBIDDEN)
@pytest.mark.parametrize("form", ["<< /%s (x) >>", "<< /S /%s >>", "<< /Subtype /%s >>", "<< /Type /%s >>"])
def test_no_forbidden_name_hides_in_a_packed_stream(name: str, form: str) -> None:
    hidden = packed((form % name).encode())
    assert name.encode() not in hidden or len(name) == 2  # two letters may come about by chance
    with pytest.raises(Unacceptable, match="active content"):
        examine(PDF, hidden)


GOOD = {
    "as small as can be": document(),
    "with its objects packed": packed(b"<< /S /URI /URI (https://www.nhsa.gov.cn) >>"),
    "with a packed stream": document(stream(zlib.compress(b"q Q"), FLATE)),
    "with a scanned picture": document(
        stream(b"\xff\xd8", b"/Subtype /Image /Width 2480 /Height 3508 /Filter /DCTDecode")
    ),
    "with a packed picture": document(stream(zlib.compress(b"x"), b"/Filter [/FlateDecode /DCTDecode]")),
    "in letters": document(
        stream(zlib.compress(b"q Q").hex().encode() + b">", b"/Filter [/ASCIIHexDecode /FlateDecode]")
    ),
    "with a link": document(b"<< /S /URI /URI (https://www.nhsa.gov.cn) >>"),
    "opened at a page": document(catalog=b"/OpenAction [3 0 R /Fit]"),
    "of another writer": written("plain"),
}


@pytest.mark.parametrize("what", GOOD)
def test_a_pdf_to_be_looked_at_stays_as_it_is(what: str) -> None:
    assert examine(PDF, GOOD[what]) == GOOD[what]


def bomb(times: int = 1) -> bytes:
    packed = b"\x00" * (proof_check.MAX_STREAM_BYTES + 1)
    for _ in range(times):
        packed = zlib.compress(packed, 9)
    return packed


COSTLY = {
    "a stream that unpacks to too much": document(stream(bomb(), FLATE)),
    "one behind letters": document(stream(bomb().hex().encode() + b">", b"/Filter [/ASCIIHexDecode /FlateDecode]")),
    "a stream packed twice": document(stream(bomb(2), b"/Filter [/FlateDecode /FlateDecode]")),
    "another packing": document(stream(b"x", b"/Filter /LZWDecode")),
    "a picture of too many pixels": document(stream(b"x", b"/Subtype /Image /Width 50000 /Height 50000")),
    "too many objects": document(*[b"<< >>"] * proof_check.MAX_OBJECTS),
    "too many pages": pdf_of(
        [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [%s] /Count 101 >>" % (b"3 0 R " * 101), PAGE]
    ),
    "no page": pdf_of([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [] /Count 0 >>"]),
    "pages in a circle": pdf_of([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"]),
    "parts within parts within parts": document(b"[" * 100_000 + b"]" * 100_000),
}


@pytest.mark.parametrize("what", COSTLY)
async def test_a_pdf_that_costs_too_much_is_refused_within_seconds(what: str) -> None:
    started = time.monotonic()
    with pytest.raises(ProofUnacceptable):
        await ProofChecker()(PDF, COSTLY[what])
    assert time.monotonic() - started < 15


# pictures


def photo(media_type: str, **options: object) -> bytes:
    picture, file = Image.new("RGB", (40, 20), (200, 10, 10)), io.BytesIO()
    picture.save(file, {JPEG: "JPEG", PNG: "PNG"}[media_type], **options)
    return file.getvalue()


def test_a_picture_keeps_its_pixels_and_nothing_else() -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "PhoneMaker", 6  # its maker; lying on its side
    sent = photo(JPEG, exif=exif, comment=b"home address") + b"trailing secret"
    kept = examine(JPEG, sent)
    assert media_type_of(kept) == JPEG
    for secret in (b"PhoneMaker", b"Exif", b"home address", b"trailing secret"):
        assert secret in sent
        assert secret not in kept
    with Image.open(io.BytesIO(kept)) as upright:
        assert upright.size == (20, 40)


def test_a_png_loses_its_texts() -> None:
    secret = b"tEXtComment\x00home address"
    chunk = struct.pack(">I", len(secret) - 4) + secret + struct.pack(">I", zlib.crc32(secret))
    plain = photo(PNG)
    kept = examine(PNG, plain[:33] + chunk + plain[33:])
    assert b"home address" not in kept
    assert media_type_of(kept) == PNG


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_pictures_of_every_kind_are_taken(mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (7, 5)).save(file, "PNG")
    with Image.open(io.BytesIO(examine(PNG, file.getvalue()))) as kept:
        assert (kept.size, kept.mode in {"L", "RGB"}) == ((7, 5), True)


def test_the_same_picture_again_is_kept_as_the_same_bytes() -> None:
    assert examine(JPEG, photo(JPEG)) == examine(JPEG, photo(JPEG))


def huge_png(width: int, height: int) -> bytes:
    """Its header says so; there are no such pixels behind it."""
    real = png_file(1, 1)
    header = struct.pack(">II", width, height) + real[24:29]
    return real[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + real[33:]


def huge_jpeg(width: int, height: int) -> bytes:
    file = bytearray(photo(JPEG))
    frame = file.index(b"\xff\xc0")
    file[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(file)


@pytest.mark.parametrize(
    "content",
    [huge_png(50_000, 50_000), huge_png(2**31 - 1, 2**31 - 1), huge_png(1, 20_000), huge_jpeg(50_000, 50_000)],
    ids=["50,000 each way", "the most a header can say", "thin and long", "a JPEG"],
)
def test_a_huge_picture_costs_nothing_at_all(content: bytes) -> None:
    started = time.monotonic()
    with pytest.raises(ProofUnacceptable) as refused:
        media_type_of(content)
    assert time.monotonic() - started < 0.1
    assert refused.value.metadata == {"max_pixels": str(MAX_PIXELS)}


@pytest.mark.parametrize("content", [huge_png(5_000, 8_000), photo(PNG)[:-20], b"\x89PNG\r\n\x1a\nnonsense"])
async def test_a_picture_whose_pixels_are_not_there_is_refused(content: bytes) -> None:
    with pytest.raises(ProofUnacceptable):
        await ProofChecker()(media_type_of(content), content)


async def test_one_type_does_not_pass_for_another() -> None:
    with pytest.raises(ProofUnacceptable):
        await ProofChecker()(PNG, photo(JPEG))


# the process


async def test_a_file_that_takes_too_long_is_refused_and_its_process_ended() -> None:
    slow = ProofChecker(timeout_seconds=0.5, command=(sys.executable, "-c", "import time; time.sleep(60)"))
    started = time.monotonic()
    with pytest.raises(ProofUnacceptable):
        await slow(PDF, pdf_file())
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("dying", ["raise SystemExit(3)", "import os; os.kill(os.getpid(), 9)", "print('OK')", ""])
async def test_a_process_that_gives_no_answer_gives_a_refusal(dying: str) -> None:
    code = dying if dying != "print('OK')" else "import sys; print('OK', flush=True); sys.exit(1)"
    with pytest.raises(ProofUnacceptable):
        await ProofChecker(command=(sys.executable, "-c", code))(PDF, pdf_file())


async def test_the_loop_serves_others_meanwhile() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticking = asyncio.create_task(tick())
    assert await ProofChecker()(PDF, pdf_file()) == pdf_file()
    ticking.cancel()
    assert ticks > 3
