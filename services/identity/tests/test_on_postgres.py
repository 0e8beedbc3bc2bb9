"""What only a real database shows: guards of the schema, gapless numbers under contention, no plain text at rest."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from gongji.identity.events.v1 import events_pb2
from identity.domain.attempts import AttemptKind
from identity.domain.certificate import Certificate, CertificateType
from identity.domain.enrolment import InsuranceStatus
from identity.domain.person import Person, Registration
from identity.domain.refusals import CertificateTaken, ChangeDecided, ChangeOutdated
from identity.domain.register import RegisterRow
from identity.domain.verification import VerificationInvalid
from identity.main import person_services
from identity.postgres import PostgresRepository
from identity.postgres.attempts import CountedAttempts
from identity.repository import Access, Attempt, CorrectionMade, Operation, Repository
from identity.service import (
    ImportService,
    InstitutionChangeService,
    InstitutionService,
    Means,
    Registrant,
    ShownCode,
    Viewer,
)
from identity.service.verifications import Started
from identity.servicer import PersonServices
from identity.testing import (
    CHILD,
    NOW,
    enrolment,
    identity_card,
    institution,
    load,
    opened,
    register_row,
    registering,
    vault,
    vault_of_another_key,
)
from kit.clock import FixedClock
from kit.db import Database, PostgresWork, Work
from kit.testing import patient_database

CLERK = Viewer("service/portal clerk:wang", Means.OPERATOR, "r")
NEWCOMER = Registrant("service/portal new:1", None, "r")

_SEALED = """
SELECT i.name_ct, i.tel_ct, i.card_sn_ct, c.number_ct, c.stated_index, c.ctid FROM insured AS i
JOIN insured_certificate AS c USING (psn_no)
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = patient_database(database_url)
    yield database
    await database.close()


@pytest.fixture
def work(database: Database) -> Work[Repository]:
    return PostgresWork[Repository](database, lambda transaction: PostgresRepository(transaction, vault()))


@pytest.fixture
def persons(work: Work[Repository]) -> PersonServices:
    return person_services(work, registering(work), FixedClock(NOW), vault())


async def sent_code(persons: PersonServices, database: Database, row: RegisterRow) -> tuple[Started, str]:
    """A verification, and the code that its owner got."""
    started = await persons.verifications.start(row.name, row.certificate, NEWCOMER)
    async with database.transaction() as transaction:
        payload = await transaction.raw.fetchval("SELECT payload FROM outbox_event ORDER BY id DESC LIMIT 1")
    return started, opened(events_pb2.VerificationCodeIssued.FromString(payload))[1]


async def sequences(database: Database) -> dict[str, list[int]]:
    """The numbers of each key's events, in the order in which they are published."""
    async with database.transaction() as transaction:
        rows = await transaction.raw.fetch("SELECT key, sequence FROM outbox_event ORDER BY id")
    told: dict[str, list[int]] = {}
    for row in rows:
        told.setdefault(row["key"], []).append(row["sequence"])
    return told


@pytest.mark.parametrize("table", ["access_log", "correction", "enrolment"])
@pytest.mark.parametrize("change", ["UPDATE {} SET psn_no = 'P2'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_what_was_logged_or_recorded_is_never_changed(
    persons: PersonServices, work: Work[Repository], database_url: str, table: str, change: str
) -> None:
    await load(persons.imports, [register_row()])
    async with work() as repository:
        await repository.log_access(Access(NOW, "c", Operation.IDENTIFY, "01", "RECOGNISED", "r", "P1"))
        await repository.add_correction(CorrectionMade("P1", NOW, "service/operator", ("tel",), "改号"))
    connection = await asyncpg.connect(database_url)
    try:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never changed"):
            await connection.execute(change.format(table))
        assert await connection.fetchval(f"SELECT count(*) FROM {table} WHERE psn_no = 'P1'") == 1  # noqa: S608 - the test's own
    finally:
        await connection.close()


async def test_attempts_are_dropped_once_they_have_long_ceased_to_count_and_not_before(
    work: Work[Repository], database: Database, database_url: str
) -> None:
    async with work() as repository:
        for number in range(5):
            await repository.add_attempt(Attempt(AttemptKind.MISMATCH, "s", "c", NOW, str(number)))
    connection = await asyncpg.connect(database_url)
    try:
        for change in ("DELETE FROM attempt", "TRUNCATE attempt", "UPDATE attempt SET occurred_at = created_at"):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never changed"):
                await connection.execute(change)
        await connection.execute(
            "INSERT INTO attempt (kind, subject_index, caller_index, occurred_at, request_id, created_at)"
            " SELECT kind, subject_index, caller_index, occurred_at, 'old', clock_timestamp() - interval '25 hours'"
            " FROM attempt"
        )
        attempts = CountedAttempts(database)
        assert [await attempts.forget(3) for _ in range(3)] == [3, 2, 0]
        assert await connection.fetchval("SELECT array_agg(request_id ORDER BY id) FROM attempt") == list("01234")
    finally:
        await connection.close()


async def test_imports_at_the_same_time_neither_collide_nor_tell_twice(
    persons: PersonServices, database: Database
) -> None:
    rows = [register_row(f"P{number}", sequence=number) for number in range(1, 6)]
    taken = await asyncio.gather(*[load(persons.imports, rows) for _ in range(4)])
    assert sorted(one.changed_count for one in taken) == [0, 0, 0, 5]
    assert await sequences(database) == {f"P{number}": [1] for number in range(1, 6)}


async def test_an_enrolment_that_changes_leaves_what_is_sealed_as_it_is_and_opens_none_of_it(
    work: Work[Repository], database: Database
) -> None:
    row = register_row()
    await load(ImportService(work, vault(), FixedClock(NOW)), [row])
    async with database.transaction() as transaction:
        before = await transaction.raw.fetch(_SEALED)
    blind = vault_of_another_key()
    elsewhere = PostgresWork[Repository](database, lambda transaction: PostgresRepository(transaction, blind))
    moved = [replace(row, enrolment=enrolment(arrears=True)), replace(row, enrolment=enrolment(NOW.date()))]
    taken = await load(ImportService(elsewhere, blind, FixedClock(NOW)), moved)
    assert taken.changed_count == 2
    async with database.transaction() as transaction:
        assert await transaction.raw.fetch(_SEALED) == before
    async with work() as repository:
        known = await repository.person("P1")
        assert known is not None
        assert (known.enrolments, known.version) == ((row.enrolment, *[one.enrolment for one in moved]), 3)


async def test_whoever_was_kept_without_a_stated_index_has_one_after_the_next_change(
    work: Work[Repository], database: Database
) -> None:
    imports = ImportService(work, vault(), FixedClock(NOW))
    await load(imports, [register_row()])
    async with database.transaction() as transaction:
        await transaction.raw.execute("UPDATE insured_certificate SET stated_index = NULL")
    assert (await load(imports, [register_row(enrolment=enrolment(arrears=True))])).changed_count == 1
    async with database.transaction() as transaction:
        assert await transaction.raw.fetchval("SELECT stated_index IS NOT NULL FROM insured_certificate")


async def test_changes_of_one_person_at_the_same_time_are_numbered_without_a_gap(
    persons: PersonServices, database: Database
) -> None:
    await load(persons.imports, [register_row()])
    first = enrolment().valid_from
    stated = [enrolment(first + timedelta(days=day), insuplc_admdvs=f"6540{day:02d}") for day in range(1, 9)]
    changed = await asyncio.gather(*[persons.enrolments.record_enrolment("P1", one) for one in stated])
    assert all(changed)
    assert await sequences(database) == {"P1": list(range(1, 10))}


async def test_an_institution_registered_many_times_at_once_is_told_once(
    work: Work[Repository], database: Database
) -> None:
    institutions = InstitutionService(work, FixedClock(NOW))
    changed = await asyncio.gather(*[institutions.register(institution()) for _ in range(6)])
    assert sorted(changed) == [False] * 5 + [True]
    await institutions.register(institution(suspended=True))
    assert await sequences(database) == {institution().fixmedins_code: [1, 2]}


async def test_one_number_given_to_two_persons_at_once_goes_to_one(persons: PersonServices) -> None:
    rows = [register_row(f"P{number}", CHILD, number, certificate=birth_certificate(number)) for number in (1, 2)]
    await load(persons.imports, rows)
    number = identity_card(CHILD, 7)
    given = await asyncio.gather(
        *[persons.persons.add_certificate(psn_no, number, CLERK) for psn_no in ("P1", "P2")], return_exceptions=True
    )
    assert [type(one) for one in given if one is not True] == [CertificateTaken]


def birth_certificate(number: int) -> Certificate:
    return Certificate(CertificateType.BIRTH_CERTIFICATE, f"Q65001234{number}")


async def test_of_two_operators_who_confirm_at_once_one_is_refused(work: Work[Repository], database: Database) -> None:
    changes = InstitutionChangeService(work, FixedClock(NOW))
    proposals = [await changes.propose(institution(suspended=suspended), "wang", "改") for suspended in (False, True)]
    decided = await asyncio.gather(*[changes.confirm(one.change_id, "li") for one in proposals], return_exceptions=True)
    assert len([one for one in decided if isinstance(one, ChangeOutdated)]) == 1
    again = await asyncio.gather(
        *[changes.confirm(one.change_id, name) for one in proposals for name in ("li", "zhao")],
        return_exceptions=True,
    )
    assert {type(one) for one in again} <= {ChangeOutdated, ChangeDecided}
    assert await sequences(database) == {institution().fixmedins_code: [1]}


async def test_two_first_registrations_at_once_are_one(persons: PersonServices, database: Database) -> None:
    row = register_row()
    await load(persons.imports, [row])
    started, code = await sent_code(persons, database, row)
    shown = ShownCode(started.verification.verification_id, code)
    registered = await asyncio.gather(
        *[persons.registrations.register(row.name, row.certificate, shown, NEWCOMER) for _ in range(4)],
        return_exceptions=True,
    )
    (person,) = [one for one in registered if isinstance(one, Person)]
    assert person.registration == Registration(NOW, "P1")
    assert sum(isinstance(one, VerificationInvalid) for one in registered) == 3
    assert (await sequences(database))["P1"] == [1, 2]


async def test_the_history_keeps_what_was_replaced(persons: PersonServices, database: Database) -> None:
    await load(persons.imports, [register_row()])
    await persons.enrolments.record_enrolment("P1", enrolment(psn_insu_stas=InsuranceStatus.ENDED))
    async with database.transaction() as transaction:
        rows = await transaction.raw.fetch("SELECT position, psn_insu_stas FROM enrolment ORDER BY position")
    assert [tuple(row) for row in rows] == [(1, "1"), (2, "4")]
