"""All that settlement's database holds sealed is known to the command that seals it anew."""

from kit.testing import patient_database
from kit.testing_sealed import sealed_in, stated_by
from settlement.sealed import TABLES


async def test_nothing_sealed_is_left_out(database_url: str) -> None:
    database = patient_database(database_url)
    assert await sealed_in(database) == stated_by(TABLES)
    await database.close()
