"""Proofs are what their content says, whole, and not too large."""

import pytest

from binding.domain.proofs import JPEG, MAX_PROOF_BYTES, PDF, PNG, ProofUnacceptable, media_type_of, refuse_too_large
from binding.testing import jpeg_file, pdf_file, png_file

WHOLE = {PDF: pdf_file(), JPEG: jpeg_file(), PNG: png_file()}


@pytest.mark.parametrize("media_type", WHOLE)
def test_a_whole_file_is_told_by_its_content(media_type: str) -> None:
    assert media_type_of(WHOLE[media_type]) == media_type


@pytest.mark.parametrize("media_type", WHOLE)
def test_a_file_that_was_cut_off_anywhere_is_refused(media_type: str) -> None:
    whole = WHOLE[media_type].rstrip()
    for length in range(len(whole)):
        with pytest.raises(ProofUnacceptable):
            media_type_of(whole[:length])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html><script>alert(1)</script></html>",
        b"MZ\x90\x00" + b"\x00" * 100,
        b"PK\x03\x04" + b"\x00" * 100,
        b"GIF89a" + b"\x00" * 100,
        b"\x00" + pdf_file(),
        b"%PDF-9.9\n%%EOF",
        b"%PDF-1.7\nstartxref\n999999\n%%EOF\n",
        b"%PDF-1.7\nstartxref\n0\n%%EOF\n",
        b"%PDF-1.7\n<script>\nstartxref\n9\n%%EOF\n",
        pdf_file() + b"MZ" + b"\x90" * 2000,
    ],
    ids=["empty", "html", "exe", "zip", "gif", "shifted", "version", "no table", "itself", "script", "appended"],
)
def test_what_is_something_else_is_refused(content: bytes) -> None:
    with pytest.raises(ProofUnacceptable):
        media_type_of(content)


@pytest.mark.parametrize(("begins_like", "rest_of"), [(PNG, JPEG), (JPEG, PDF), (PNG, PDF), (PDF, PNG)])
def test_a_file_that_only_begins_like_one_is_refused(begins_like: str, rest_of: str) -> None:
    with pytest.raises(ProofUnacceptable):
        media_type_of(WHOLE[begins_like][:12] + WHOLE[rest_of])


@pytest.mark.parametrize("position", [17, 30, 45])
def test_a_png_whose_bytes_were_changed_is_refused(position: int) -> None:
    changed = bytearray(png_file())
    changed[position] ^= 0xFF
    with pytest.raises(ProofUnacceptable):
        media_type_of(bytes(changed))


@pytest.mark.parametrize("content", [png_file(0, 1), png_file(1, 0), jpeg_file(0, 8), jpeg_file(8, 0)])
def test_a_picture_without_area_is_refused(content: bytes) -> None:
    with pytest.raises(ProofUnacceptable):
        media_type_of(content)


def test_a_jpeg_without_a_picture_is_refused() -> None:
    with pytest.raises(ProofUnacceptable):
        media_type_of(b"\xff\xd8\xff\xe0\x00\x04JF\xff\xd9")


def test_ten_mebibytes_are_taken_and_one_byte_more_is_not() -> None:
    largest = pdf_file(MAX_PROOF_BYTES - len(pdf_file()))
    while len(largest) > MAX_PROOF_BYTES:  # the offset in the trailer has more digits now
        largest = pdf_file(MAX_PROOF_BYTES - len(pdf_file()) - (len(largest) - MAX_PROOF_BYTES))
    assert len(largest) == MAX_PROOF_BYTES == 10 * 1024 * 1024
    assert media_type_of(largest) == PDF
    with pytest.raises(ProofUnacceptable) as refused:
        media_type_of(largest + b"\n")
    assert refused.value.metadata == {"max_bytes": "10485760"}


def test_the_size_is_refused_as_soon_as_it_is_exceeded() -> None:
    refuse_too_large(MAX_PROOF_BYTES)
    with pytest.raises(ProofUnacceptable):
        refuse_too_large(MAX_PROOF_BYTES + 1)
