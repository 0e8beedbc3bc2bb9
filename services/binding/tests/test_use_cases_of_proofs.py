"""What families and clerks do with proofs, on the fake."""

from datetime import timedelta

import pytest

from binding.domain.applications import ProofKind
from binding.domain.errors import Forbidden, NotFound, StateForbids
from binding.domain.history import ChangeKind
from binding.domain.proofs import MAX_PROOFS, ProofUnacceptable
from binding.repository import Place
from binding.service.proofs import ProofDamagedError, proof_context
from binding.testing import (
    pdf_file,
    png_file,
    ring,
)
from binding.testing_desk import DAD, KID, LI, MUM, OPS, STRANGER, WANG, Desk
from kit.crypto import DecryptionError
from kit.ids import uuid7


async def test_a_proof_is_stored_encrypted_for_its_application_only(desk: Desk) -> None:
    application_id = await desk.draft()
    proof = await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, pdf_file())
    sealed = desk.state.contents[proof.proof_id]
    assert b"%PDF" not in sealed
    assert ring().decrypt(sealed, proof_context(application_id, proof.sha256)) == pdf_file()
    assert (proof.media_type, proof.size_bytes) == ("application/pdf", len(pdf_file()))


async def test_the_same_file_again_is_the_same_proof(desk: Desk) -> None:
    application_id = await desk.draft()
    first = await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, png_file())
    assert await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, png_file()) == first


async def test_an_application_takes_only_so_many_proofs(desk: Desk) -> None:
    application_id = await desk.draft()
    for number in range(MAX_PROOFS):
        await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, pdf_file(number))
    with pytest.raises(ProofUnacceptable):
        await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, pdf_file(99))
    await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, pdf_file(0))


async def test_a_file_that_lies_about_itself_is_not_stored(desk: Desk) -> None:
    application_id = await desk.draft()
    with pytest.raises(ProofUnacceptable):
        await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, b"%PDF-1.7 <script>")
    assert desk.state.contents == {}


async def test_proofs_are_the_payers_to_upload_while_it_is_open(desk: Desk) -> None:
    application_id = await desk.draft()
    with pytest.raises(Forbidden):
        await desk.proofs.expect(MUM, application_id)
    with pytest.raises(NotFound):
        await desk.proofs.expect(DAD, uuid7())
    submitted = await desk.submitted()
    with pytest.raises(StateForbids):
        await desk.proofs.expect(DAD, submitted)
    with pytest.raises(StateForbids):
        await desk.proofs.add(DAD, submitted, ProofKind.BIRTH_CERTIFICATE, pdf_file())


async def test_parties_and_staff_look_at_a_proof_and_nobody_else(desk: Desk) -> None:
    application_id = await desk.draft()
    proof = await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, pdf_file())
    for caller in (DAD, KID, WANG, LI, OPS):
        file = await desk.proofs.download(caller, application_id, proof.proof_id)
        assert (file.proof, file.content) == (proof, pdf_file())
    for caller in (MUM, STRANGER):
        with pytest.raises(Forbidden):
            await desk.proofs.download(caller, application_id, proof.proof_id)
    with pytest.raises(NotFound):
        await desk.proofs.download(DAD, application_id, uuid7())
    other = await desk.draft()
    with pytest.raises(NotFound):
        await desk.proofs.download(DAD, other, proof.proof_id)


async def test_each_look_of_the_staff_is_kept_and_shown_in_the_history(desk: Desk) -> None:
    application_id = await desk.draft()
    proof = await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, pdf_file())
    for caller in (DAD, WANG, WANG, LI, KID):
        desk.clock.advance(timedelta(minutes=1))
        await desk.proofs.download(caller, application_id, proof.proof_id)
    views = await desk.proofs.views(application_id, None, 10)
    assert [(view.who.subject, view.proof_id) for view in views] == [
        (LI.subject, proof.proof_id),
        (WANG.subject, proof.proof_id),
        (WANG.subject, proof.proof_id),
    ]
    place = Place(views[0].at, views[0].view_id)
    assert await desk.proofs.views(application_id, place, 1) == [views[1]]
    history = await desk.applications.history(DAD, application_id, 0, 100)
    looks = [entry for entry in history if entry.mark.what is ChangeKind.PROOF_VIEWED]
    assert [(entry.mark.who.subject, entry.mark.who.role) for entry in looks] == [("", "handler")] * 2 + [
        ("", "decider")
    ]
    await desk.proofs.remove(DAD, application_id, proof.proof_id)
    assert await desk.proofs.views(application_id, None, 10) == views


async def test_a_proof_that_is_not_what_was_stored_is_not_shown(desk: Desk) -> None:
    application_id = await desk.draft()
    proof = await desk.proofs.add(DAD, application_id, ProofKind.BIRTH_CERTIFICATE, pdf_file())
    context = proof_context(application_id, proof.sha256)
    desk.state.contents[proof.proof_id] = ring().encrypt(pdf_file(1), context)
    with pytest.raises(ProofDamagedError):
        await desk.proofs.download(DAD, application_id, proof.proof_id)
    desk.state.contents[proof.proof_id] = ring().encrypt(pdf_file(), b"of another application")
    with pytest.raises(DecryptionError):
        await desk.proofs.download(DAD, application_id, proof.proof_id)
