"""A hundred guesses at once get no more answers than one after another would, on PostgreSQL."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence

import asyncpg
import pytest

from gongji.identity.events.v1 import events_pb2
from identity.domain.refusals import IdentityRefusal
from identity.main import person_services
from identity.postgres import PostgresRepository
from identity.repository import Repository
from identity.service import Registrant, ShownCode
from identity.servicer import PersonServices
from identity.testing import NAME, NOW, opened, person, register_row, registering, vault
from kit.clock import FixedClock
from kit.db import Database, PostgresWork
from kit.testing import patient_database

GUESSES = 100


def newcomer(number: int = 1) -> Registrant:
    return Registrant(f"service/portal new:{number}", None, f"request-{number}")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    # Waiting is part of the test: nobody is to be turned away for want of a connection.
    opened_database = patient_database(database_url, 16)
    yield opened_database
    await opened_database.close()


@pytest.fixture
async def persons(database: Database) -> PersonServices:
    work = PostgresWork[Repository](database, lambda transaction: PostgresRepository(transaction, vault()))
    async with work() as repository:
        await repository.save_persons([person()])
    return person_services(work, registering(work), FixedClock(NOW), vault())


async def code(database: Database) -> str:
    async with database.transaction() as transaction:
        payload = await transaction.raw.fetchval("SELECT payload FROM outbox_event ORDER BY id DESC LIMIT 1")
    return opened(events_pb2.VerificationCodeIssued.FromString(payload))[1]


async def count(database: Database, table: str) -> int:
    async with database.transaction() as transaction:
        found: int = await transaction.raw.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - the test's own
    return found


async def outcomes(attempts: Sequence[Awaitable[object]]) -> Counter[str]:
    """How often each reason was answered; OK for none."""
    ended = await asyncio.gather(*attempts, return_exceptions=True)
    unexpected = [one for one in ended if isinstance(one, BaseException) and not isinstance(one, IdentityRefusal)]
    assert unexpected == []
    return Counter(one.reason if isinstance(one, IdentityRefusal) else "OK" for one in ended)


async def test_a_hundred_wrong_codes_at_once_get_five_tries(persons: PersonServices, database: Database) -> None:
    row = register_row()
    started = await persons.verifications.start(row.name, row.certificate, newcomer())
    right = await code(database)
    guesses = [f"{number:06}" for number in range(GUESSES) if f"{number:06}" != right]
    shown = [ShownCode(started.verification.verification_id, guess) for guess in guesses]
    told = await outcomes([persons.registrations.register(NAME, row.certificate, one, newcomer()) for one in shown])
    assert told == {"CODE_WRONG": 5, "TOO_MANY_ATTEMPTS": len(guesses) - 5}
    assert await count(database, "attempt WHERE kind = 'WRONG_CODE'") == 5
    assert await count(database, "verification WHERE wrong_tries = 5 AND used_at IS NULL") == 1
    assert await count(database, "registration") == 0


async def test_the_right_code_shown_at_once_many_times_registers_once(
    persons: PersonServices, database: Database
) -> None:
    row = register_row()
    started = await persons.verifications.start(row.name, row.certificate, newcomer())
    shown = ShownCode(started.verification.verification_id, await code(database))
    told = await outcomes([persons.registrations.register(NAME, row.certificate, shown, newcomer()) for _ in range(20)])
    assert told == {"OK": 1, "VERIFICATION_INVALID": 19}


async def test_a_hundred_names_at_once_for_one_number_get_five_answers(
    persons: PersonServices, database: Database
) -> None:
    certificate = register_row().certificate
    told = await outcomes(
        [
            persons.verifications.start(f"李{number}", certificate, newcomer(number))
            if number % 2
            else persons.registrations.register(f"李{number}", certificate, None, newcomer(number))
            for number in range(GUESSES)
        ]
    )
    assert told == {"REAL_NAME_MISMATCH": 5, "TOO_MANY_ATTEMPTS": GUESSES - 5}
    assert await count(database, "attempt") == 5


async def test_a_hundred_numbers_at_once_by_one_caller_get_twenty_answers(persons: PersonServices) -> None:
    certificates = [register_row(sequence=number).certificate for number in range(100, 100 + GUESSES)]
    told = await outcomes([persons.verifications.start(NAME, one, newcomer()) for one in certificates])
    assert told == {"REAL_NAME_MISMATCH": 20, "TOO_MANY_ATTEMPTS": GUESSES - 20}


async def test_a_hundred_callers_at_once_make_five_codes_for_one_person(
    persons: PersonServices, database: Database
) -> None:
    row = register_row()
    told = await outcomes(
        [persons.verifications.start(NAME, row.certificate, newcomer(number)) for number in range(GUESSES)]
    )
    assert told == {"OK": 5, "TOO_MANY_ATTEMPTS": GUESSES - 5}
    assert await count(database, "outbox_event") == 5


async def test_every_lock_out_is_in_the_access_log_and_no_attempt_can_be_taken_back(
    persons: PersonServices, database: Database, database_url: str
) -> None:
    certificate = register_row().certificate
    await outcomes([persons.verifications.start(f"李{number}", certificate, newcomer()) for number in range(8)])
    assert await count(database, "access_log WHERE outcome = 'REAL_NAME_MISMATCH' AND psn_no IS NULL") == 5
    assert await count(database, "access_log WHERE outcome = 'TOO_MANY_ATTEMPTS'") == 3
    connection = await asyncpg.connect(database_url)
    try:
        for change in ("UPDATE attempt SET kind = 'CODE_SENT'", "DELETE FROM attempt", "TRUNCATE attempt"):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never changed"):
                await connection.execute(change)
        kept = await connection.fetch("SELECT * FROM attempt")
        assert all(secret not in repr([tuple(row) for row in kept]) for secret in (certificate.number, "new:1", NAME))
    finally:
        await connection.close()
