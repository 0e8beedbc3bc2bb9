"""All that identity's database holds sealed moves to a new key, and opens by that alone."""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from identity.domain.certificate import Certificate, CertificateType
from identity.postgres import PostgresRepository
from identity.repository import Repository
from identity.sealed import TABLES
from identity.testing import identity_card, person, vault
from identity.vault import Vault
from kit.crypto import KeyRing
from kit.db import Database, PostgresWork
from kit.reencrypt import Pace, reencrypt
from kit.testing import patient_database
from kit.testing_sealed import alone, empty_columns, sealed_in, stated_by, succeeding


def work(database: Database, ring: KeyRing) -> AbstractAsyncContextManager[Repository]:
    return PostgresWork[Repository](database, lambda transaction: PostgresRepository(transaction, Vault(ring)))()


async def test_every_person_opens_by_the_new_key_alone(database_url: str) -> None:
    database = patient_database(database_url)
    assert await sealed_in(database) == stated_by(TABLES)
    passport = Certificate(CertificateType.PASSPORT, "E12345678")
    known = replace(person("P1", tel="13800000001", card_sn="C1"), certificates=(identity_card(), passport))
    ring = vault()._ring
    async with work(database, ring) as before:
        await before.save_persons([known, person("P2", sequence=3, tel="", card_sn="")])
    assert await empty_columns(database, TABLES) == {"request.answer_ct"}

    new = succeeding(ring)
    await reencrypt(database, TABLES, new, Pace())
    async with work(database, alone(new)) as after:
        assert await after.person("P1") == known
        assert await after.psn_no_by_name(known.name, passport) == "P1"
    await database.close()
