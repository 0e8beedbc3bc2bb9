"""All that binding's database holds sealed moves to a new key, and opens by that alone."""

import hashlib

from binding.domain.applications import Proof, ProofKind
from binding.repository import PostgresRepository
from binding.sealed import TABLES
from binding.service.proofs import proof_context
from binding.testing import application, pdf_file, ring
from kit.db import Database, PostgresWork
from kit.ids import uuid7
from kit.reencrypt import Pace, reencrypt
from kit.testing_sealed import alone, empty_columns, sealed_in, stated_by, succeeding


async def test_every_proof_opens_by_the_new_key_alone(
    database: Database, postgres_work: PostgresWork[PostgresRepository]
) -> None:
    assert await sealed_in(database) == stated_by(TABLES)
    draft, files = application(), [pdf_file(padding) for padding in range(6)]
    proofs = [
        Proof(uuid7(), ProofKind.BIRTH_CERTIFICATE, "application/pdf", hashlib.sha256(file).hexdigest(), len(file))
        for file in files
    ]
    async with postgres_work() as repository:
        await repository.add_application(draft)
        for proof, file in zip(proofs, files, strict=True):
            context = proof_context(draft.application_id, proof.sha256)
            await repository.add_proof(draft.application_id, proof, ring().encrypt(file, context))
    assert await empty_columns(database, TABLES) == {"request.answer_ct"}

    new = succeeding(ring())
    await reencrypt(database, TABLES, new, Pace())
    async with postgres_work() as repository:
        for proof, file in zip(proofs, files, strict=True):
            sealed = await repository.proof_content(draft.application_id, proof.proof_id)
            assert sealed is not None
            assert alone(new).decrypt(sealed, proof_context(draft.application_id, proof.sha256)) == file
