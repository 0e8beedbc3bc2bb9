"""An import beside a service that serves: nobody waits longer than for one chunk, and imports take turns."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from identity.domain.enrolment import InsuranceStatus
from identity.domain.register_import import Batch
from identity.postgres import PostgresRepository
from identity.repository import Repository
from identity.service import EnrolmentService, ImportService
from identity.testing import NOW, enrolment, load, register_row, vault
from kit.clock import FixedClock
from kit.db import Database, PostgresWork, Transaction
from kit.testing import patient_database

PATIENCE_SECONDS = 60.0


class HeldRepository(PostgresRepository):
    """Holds a chunk's transaction where all of it is written but not committed."""

    written = asyncio.Event()
    go_on = asyncio.Event()

    async def save_batch(self, batch: Batch) -> None:
        await super().save_batch(batch)
        self.written.set()
        await self.go_on.wait()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = patient_database(database_url)
    yield database
    await database.close()


@pytest.fixture
def imports(database: Database) -> ImportService:
    return ImportService(PostgresWork(database, repository), vault(), FixedClock(NOW))


@pytest.fixture
def held(database: Database) -> ImportService:
    HeldRepository.written, HeldRepository.go_on = asyncio.Event(), asyncio.Event()

    def holding(transaction: Transaction) -> Repository:
        return HeldRepository(transaction, vault())

    return ImportService(PostgresWork(database, holding), vault(), FixedClock(NOW))


def repository(transaction: Transaction) -> Repository:
    return PostgresRepository(transaction, vault())


async def test_whoever_a_chunk_leaves_as_they_are_is_served_meanwhile(
    imports: ImportService, held: ImportService, database: Database
) -> None:
    await load(imports, [register_row()])
    chunk = asyncio.create_task(load(held, [register_row(), register_row("P2", sequence=2)]))
    await HeldRepository.written.wait()
    enrolments = EnrolmentService(PostgresWork(database, repository), FixedClock(NOW))
    ended = enrolment(NOW.date() + timedelta(days=1), psn_insu_stas=InsuranceStatus.ENDED)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await enrolments.record_enrolment("P1", ended)
    assert not chunk.done()
    HeldRepository.go_on.set()
    taken = await chunk
    assert (taken.changed_count, taken.unchanged_count) == (1, 1)


async def test_a_change_meanwhile_and_the_chunks_are_both_kept(
    imports: ImportService, held: ImportService, database: Database
) -> None:
    await load(imports, [register_row()])
    chunk = asyncio.create_task(load(held, [register_row(tel="")]))
    await HeldRepository.written.wait()
    enrolments = EnrolmentService(PostgresWork(database, repository), FixedClock(NOW))
    change = asyncio.create_task(enrolments.record_enrolment("P1", enrolment(psn_insu_stas=InsuranceStatus.ENDED)))
    await asyncio.sleep(0)
    HeldRepository.go_on.set()
    assert (await chunk).changed_count == 1
    assert await change
    async with PostgresWork(database, repository)() as rows:
        person = await rows.person("P1")
    assert person is not None
    assert (person.tel, person.version, len(person.enrolments)) == ("", 2, 2)


async def test_the_chunk_of_another_import_waits_for_its_turn_and_finds_the_new_persons(
    imports: ImportService, held: ImportService
) -> None:
    first = asyncio.create_task(load(held, [register_row()]))
    await HeldRepository.written.wait()
    second = asyncio.create_task(load(imports, [register_row()]))
    await asyncio.sleep(0)
    HeldRepository.go_on.set()
    assert (await first).changed_count == 1
    assert (await second).unchanged_count == 1
