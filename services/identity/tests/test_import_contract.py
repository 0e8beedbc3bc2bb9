"""One suite for both repositories, of what only imports need: what the fake promises, PostgreSQL keeps."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta

import asyncpg
import pytest

from identity.domain.certificate import Certificate, CertificateType
from identity.domain.enrolment import InsuranceStatus
from identity.domain.person import Person, Registration
from identity.domain.register import RegisterRow
from identity.domain.register_import import FINGERPRINT_BYTES, Batch, RefusedRow
from identity.memory import MemoryRepository
from identity.postgres import PostgresRepository
from identity.repository import Repository
from identity.repository.imports import SealedRow, StatedRow
from identity.testing import ADULT, NOW, TODAY, enrolment, identity_card, person, register_row, vault
from kit.db import Database, PostgresWork, Work
from kit.testing import MemoryWork

BATCH = Batch("b1", "service/operator", NOW, NOW, bytes(32), 6, 2, 1, 2)
PASSPORT = Certificate(CertificateType.PASSPORT, "G12345678")


def stated(row: RegisterRow) -> StatedRow:
    return StatedRow(row, vault().stated_index(row.name, row.certificate, row.brdy, row.tel, row.card_sn))


def sealed(row: RegisterRow) -> SealedRow:
    ((person_columns, certificate_columns),) = vault().seal_rows([(row, stated(row).stated_index)])
    return SealedRow(row, person_columns, certificate_columns)


def registered() -> Person:
    return person(registration=Registration(NOW, "P1"), died_on=TODAY, version=3)


async def keep(work: Work[Repository], *persons: Person) -> None:
    async with work() as repository:
        await repository.save_persons(persons)


class Contract:
    """The suite; the two classes below say on what."""

    async def test_a_batch_comes_back_as_kept_and_is_replaced(self, work: Work[Repository]) -> None:
        after = replace(
            BATCH, updated_at=NOW + timedelta(hours=1), next_row=8, changed_count=4, complete=True, content_sha256=None
        )
        for batch in (BATCH, after):
            async with work() as repository:
                await repository.save_batch(batch)
            async with work() as repository:
                assert await repository.lock_batch("b1") == batch
                assert await repository.batch("b1") == batch
        async with work() as repository:
            assert await repository.lock_batch("b2") is None
            assert await repository.batch("b2") is None

    async def test_batches_are_listed_from_the_newest_page_by_page(self, work: Work[Repository]) -> None:
        for name in ("b1", "b2", "b3"):
            async with work() as repository:
                await repository.save_batch(replace(BATCH, batch_id=name))
        async with work() as repository:
            await repository.save_batch(replace(BATCH, complete=True))
            first = await repository.batches(None, 2)
            assert [batch.batch_id for _, batch in first] == ["b3", "b2"]
            rest = await repository.batches(first[-1][0], 2)
            assert [(batch.batch_id, batch.complete) for _, batch in rest] == [("b1", True)]
            assert list(await repository.batches(rest[-1][0], 2)) == []

    async def test_fingerprints_are_found_across_chunks(self, work: Work[Repository]) -> None:
        prints = [bytes([number]) * FINGERPRINT_BYTES for number in range(1, 6)]
        async with work() as repository:
            await repository.save_batch(BATCH)
            await repository.keep_chunk("b1", 1, b"".join(prints[:3]), [])
            await repository.keep_chunk("b1", 4, b"".join(prints[3:]), [])
        async with work() as repository:
            for first in range(1, 6):
                for count in range(1, 6 - first + 1):
                    wanted = b"".join(prints[first - 1 : first - 1 + count])
                    assert await repository.fingerprints("b1", first, count) == wanted
            assert await repository.fingerprints("b2", 1, 1) == b""

    async def test_refused_rows_come_in_order_between_two_numbers(self, work: Work[Repository]) -> None:
        refused = [RefusedRow(2, "why"), RefusedRow(3, "因为"), RefusedRow(5, "why")]
        async with work() as repository:
            await repository.save_batch(BATCH)
            await repository.keep_chunk("b1", 1, bytes(3 * FINGERPRINT_BYTES), refused[:2])
            await repository.keep_chunk("b1", 4, bytes(2 * FINGERPRINT_BYTES), refused[2:])
        async with work() as repository:
            assert list(await repository.refused_rows("b1", 1, None, 10)) == refused
            assert list(await repository.refused_rows("b1", 3, 5, 10)) == refused[1:2]
            assert list(await repository.refused_rows("b1", 1, None, 2)) == refused[:2]
            assert list(await repository.refused_rows("b2", 1, None, 10)) == []

    async def test_who_exists_is_told_without_a_lock(self, work: Work[Repository]) -> None:
        await keep(work, person())
        async with work() as repository:
            assert await repository.existing(["P2", "P1"]) == {"P1"}
            assert await repository.existing([]) == frozenset()

    async def test_a_row_is_on_record_only_if_all_of_it_is(self, work: Work[Repository]) -> None:
        later = enrolment(TODAY, psn_insu_stas=InsuranceStatus.ENDED)
        await keep(work, person(enrolments=(enrolment(), later)), person("P2", sequence=2, enrolments=()))
        rows = [
            register_row("P9"),
            register_row(name="李四"),
            register_row(tel=""),
            register_row(card_sn=""),
            register_row(certificate=identity_card(ADULT, 9)),
            register_row(certificate=PASSPORT),
            register_row(brdy=date(1985, 3, 3)),
            register_row("P2", sequence=2),
            register_row(enrolment=later),
        ]
        async with work() as repository:
            found = await repository.on_record([stated(row) for row in rows])
            assert {place: tuple(told) for place, told in found.items()} == {8: (enrolment(), later)}
            assert dict(await repository.on_record([])) == {}

    async def test_whoever_was_saved_is_found_on_record_by_any_certificate(self, work: Work[Repository]) -> None:
        await keep(work, person(certificates=(identity_card(), PASSPORT)))
        await keep(work, person(name="李四", certificates=(identity_card(), PASSPORT)))
        rows = [register_row(), register_row(name="李四"), register_row(name="李四", certificate=PASSPORT)]
        async with work() as repository:
            assert set(await repository.on_record([stated(row) for row in rows])) == {1, 2}

    async def test_certificates_lead_to_their_holders(self, work: Work[Repository]) -> None:
        await keep(work, person())
        asked = (identity_card(), PASSPORT)
        async with work() as repository:
            holders = await repository.holders({one: vault().number_index(one) for one in asked})
            assert holders == {identity_card(): "P1"}
            assert await repository.holders({}) == {}

    @pytest.mark.parametrize("ahead", ["sealed ahead", "sealed for another state", "not sealed"])
    async def test_new_persons_come_back_as_added(self, work: Work[Repository], ahead: str) -> None:
        row = register_row()
        prepared = {
            "sealed ahead": {"P1": sealed(row)},
            "sealed for another state": {"P1": sealed(replace(row, name="李四", tel=""))},
            "not sealed": {},
        }
        bare = person("P2", sequence=2, tel="", card_sn="", died_on=TODAY, enrolments=(enrolment(), enrolment(TODAY)))
        async with work() as repository:
            await repository.add_persons([person(), bare], prepared[ahead])
        async with work() as repository:
            assert [await repository.person(one) for one in ("P1", "P2")] == [person(), bare]
            assert set(await repository.on_record([stated(row)])) == {0}
            assert await repository.psn_no_by_name(row.name, row.certificate) == "P1"
            assert await repository.psn_no_by_card(row.certificate.number, row.card_sn) == "P1"

    @pytest.mark.parametrize("known", [person(), person(certificates=(identity_card(), PASSPORT)), registered()])
    @pytest.mark.parametrize(
        "row",
        [
            register_row(),
            register_row(name="李四"),
            register_row(tel=""),
            register_row(card_sn="X2"),
            register_row(certificate=PASSPORT),
            None,
        ],
    )
    async def test_persons_are_told_as_they_are_whatever_a_row_says_of_them(
        self, work: Work[Repository], known: Person, row: RegisterRow | None
    ) -> None:
        await keep(work, known)
        async with work() as repository:
            told = {"P1": stated(row) if row else None, "P2": stated(register_row("P2"))}
            assert await repository.lock_stated_persons(told) == {"P1": known}

    async def test_enrolments_are_added_to_persons_who_stay_as_they_are(self, work: Work[Repository]) -> None:
        others = person("P2", sequence=2)
        await keep(work, registered(), others)
        new = (enrolment(TODAY), enrolment(TODAY, psn_insu_stas=InsuranceStatus.ENDED))
        after = replace(registered(), enrolments=(*registered().enrolments, *new), version=registered().version + 2)
        async with work() as repository:
            await repository.add_enrolments([(registered(), after)])
        async with work() as repository:
            assert [await repository.person(one) for one in ("P1", "P2")] == [after, others]
            assert set(await repository.on_record([stated(register_row())])) == {0}


class TestInMemory(Contract):
    @pytest.fixture
    def work(self) -> Work[Repository]:
        return MemoryWork[Repository](MemoryRepository())


class TestOnPostgres(Contract):
    @pytest.fixture
    async def work(self, database_url: str) -> AsyncIterator[Work[Repository]]:
        database = Database(database_url, 2)
        yield PostgresWork[Repository](database, lambda transaction: PostgresRepository(transaction, vault()))
        await database.close()

    async def test_counts_that_do_not_add_up_are_refused_by_the_table(self, work: Work[Repository]) -> None:
        with pytest.raises(asyncpg.CheckViolationError):
            await self.save(work, replace(BATCH, next_row=7))

    async def save(self, work: Work[Repository], batch: Batch) -> None:
        async with work() as repository:
            await repository.save_batch(batch)
