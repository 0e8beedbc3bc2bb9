"""Proofs as they go up and come down: real gRPC with certificates and assertions."""

import hashlib

import grpc
import pytest

from binding.testing import FATHER, MOTHER, pdf_file, png_file
from binding.testing_served import Binding, fields_refused, refused, upload_parts
from gongji.binding.v1 import (
    application_pb2,
)
from kit.errors import reason_of


async def test_a_file_of_ten_mebibytes_and_one_byte_is_refused(binding: Binding) -> None:
    application_id = await binding.draft()
    content = pdf_file(10 * 1024 * 1024 + 1 - len(pdf_file()))
    assert len(content) > 10 * 1024 * 1024
    assert await refused(binding.upload(upload_parts(application_id, content))) == "PROOF_UNACCEPTABLE"
    assert binding.state.contents == {}


async def test_a_large_proof_arrives_whole(binding: Binding) -> None:
    application_id = await binding.draft()
    content = pdf_file(3 * 1024 * 1024)
    answer = await binding.upload(upload_parts(application_id, content))
    assert answer.size_bytes == len(content)
    get = application_pb2.GetApplicationRequest(application_id=application_id)
    seen = (await binding.applications.GetApplication(get, **binding.citizen(FATHER))).application
    assert [(proof.media_type, proof.size_bytes) for proof in seen.proofs] == [("application/pdf", len(content))]


async def test_an_upload_begins_with_its_header_and_has_a_file(binding: Binding) -> None:
    application_id = await binding.draft()
    header, *chunks = upload_parts(application_id, png_file())
    for parts in (chunks, [], [header, header, *chunks], [header], [header, *chunks, header]):
        assert await fields_refused(binding.upload(parts)) <= {"header", "chunk"}
    assert binding.state.contents == {}


async def test_a_proof_comes_down_as_it_is_kept_with_its_checksum(binding: Binding) -> None:
    application_id = await binding.draft()
    content = pdf_file(200_000)
    proof_id = (await binding.upload(upload_parts(application_id, content))).proof_id
    ask_for = application_pb2.DownloadProofRequest(application_id=application_id, proof_id=proof_id)
    clerk = binding.person("clerk:wang", "handler")
    first, *chunks = [part async for part in binding.applications.DownloadProof(ask_for, **clerk)]
    assert first.WhichOneof("part") == "proof"
    assert (first.proof.size_bytes, first.proof.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert b"".join(part.chunk for part in chunks) == content
    with pytest.raises(grpc.aio.AioRpcError) as stranger:
        _ = [part async for part in binding.applications.DownloadProof(ask_for, **binding.citizen(MOTHER))]
    assert reason_of(stranger.value) == "FORBIDDEN"
    listing = application_pb2.ListProofViewsRequest(application_id=application_id)
    auditor = binding.person("clerk:audit", "auditor")
    (view,) = (await binding.applications.ListProofViews(listing, **auditor)).views
    assert (view.proof_id, view.who, view.role) == (proof_id, "clerk:wang", "handler")
    assert await refused(binding.applications.ListProofViews(listing, **binding.citizen(FATHER))) == "FORBIDDEN"


async def test_a_picture_is_kept_without_what_else_was_in_it(binding: Binding) -> None:
    application_id = await binding.draft()
    sent = png_file() + b"home address"
    assert await refused(binding.upload(upload_parts(application_id, b"\x89PNG" + sent))) == "PROOF_UNACCEPTABLE"
    answer = await binding.upload(upload_parts(application_id, sent))
    assert answer.sha256 == hashlib.sha256(sent).hexdigest()
    again = await binding.upload(upload_parts(application_id, sent))
    assert again == answer
    ask_for = application_pb2.DownloadProofRequest(application_id=application_id, proof_id=answer.proof_id)
    parts = [part async for part in binding.applications.DownloadProof(ask_for, **binding.citizen(FATHER))]
    kept = b"".join(part.chunk for part in parts)
    assert b"home address" not in kept
    assert parts[0].proof.sha256 == hashlib.sha256(kept).hexdigest()


async def test_somebody_elses_application_takes_no_proof(binding: Binding) -> None:
    application_id = await binding.draft()
    upload = binding.applications.UploadProof(upload_parts(application_id, png_file()), **binding.citizen(MOTHER))
    assert await refused(upload) == "FORBIDDEN"
