"""Who is suspended is what identity's events have told."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime

import pytest

from kit.db import Database, PostgresWork
from settlement.domain.bill import InstitutionType
from settlement.domain.projection import InstitutionTold
from settlement.domain.visit import Designation
from settlement.projection_repository import PostgresProjectionRepository
from settlement.suspended import StoredSuspensions

HOSPITAL = "H65270100001"
NOON = datetime(2025, 3, 10, 4, tzinfo=UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, 2)
    yield database
    await database.close()


async def test_what_events_have_told_is_the_list(database: Database) -> None:
    work = PostgresWork(database, PostgresProjectionRepository)
    for sequence, suspended in ((1, False), (2, True), (3, False)):
        told = InstitutionTold(
            HOSPITAL,
            sequence,
            NOON,
            InstitutionType.MEDICAL,
            "652701",
            (Designation(date(2020, 1, 1), date(2024, 12, 31)), Designation(date(2025, 1, 1))),
            remote_settlement=True,
            suspended=suspended,
        )
        async with work() as repository:
            await repository.save_institutions([told])
        assert list(await StoredSuspensions(database)()) == ([HOSPITAL] if suspended else [])
