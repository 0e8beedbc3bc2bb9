"""Proofs that lie about their type, are huge, or do more than be looked at are refused and leave nothing behind."""

import struct
import zlib
from datetime import date

import grpc
import pytest
from support.applying import make_pair

from gongji.binding.v1 import application_pb2, relation_pb2
from gongji_local.client import Connections, ProofFile, reason_of
from gongji_local.client.proofs import pdf, png
from gongji_local.stack import Stack


def huge_png(side_pixels: int) -> bytes:
    """A small file whose header says that it is a huge picture."""
    real = png(1, 2, 3)
    header = b"IHDR" + struct.pack(">II", side_pixels, side_pixels) + real[24:29]
    return real[:12] + header + struct.pack(">I", zlib.crc32(header)) + real[33:]


def scripted_pdf() -> bytes:
    """A document that runs a script when it is opened; its tables stay right, as the text keeps its length."""
    return pdf("x" * 40).replace(b"(" + b"x" * 40 + b")", b"(x)/AA<</S/JavaScript/JS(app.alert(1))>>  ")


LIES = {
    "a program": b"MZ\x90\x00" + b"\x00" * 200,
    "a web page that says it is a PDF": b"%PDF-1.7\n<script>alert(1)</script>\n%%EOF\n",
    "a picture of 50,000 by 50,000 pixels": huge_png(50_000),
    "a PDF with a script": scripted_pdf(),
}


async def test_such_proofs_are_refused_and_a_good_one_is_taken(stack: Stack, connections: Connections) -> None:
    pair = await make_pair(stack, connections, date(2015, 9, 1))
    application_id = await pair.portal.create_application(pair.request(relation_pb2.RELATIONSHIP_CHILD))
    kind = application_pb2.PROOF_KIND_BIRTH_CERTIFICATE
    for what, content in LIES.items():
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await pair.portal.upload_proof(application_id, ProofFile(kind, content))
        assert reason_of(refused.value) == "PROOF_UNACCEPTABLE", what
    assert not (await pair.portal.application(application_id)).proofs
    await pair.portal.upload_proof(application_id, ProofFile(kind, png(1, 2, 3)))
    (kept,) = (await pair.portal.application(application_id)).proofs
    assert kept.media_type == "image/png"
