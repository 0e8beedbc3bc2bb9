"""A server without room on its disk: told until there is room again, and nothing is taken for written."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from kit.db import Database
from kit.db_errors import is_full, is_unavailable, refusal_for

# A trigger answers as the server does when its disk is full, with the same SQLSTATE on the same way.
FULL = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = '53100'; END $$;
CREATE FUNCTION no_room_for_tables() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file "base/1/3": No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON fact EXECUTE FUNCTION no_room();
CREATE EVENT TRIGGER full_disk ON ddl_command_start WHEN TAG IN ('CREATE TABLE AS')
    EXECUTE FUNCTION no_room_for_tables();
"""
ROOM = "DROP EVENT TRIGGER full_disk; DROP TRIGGER full_disk ON fact"
NOT_ALLOWED = """
CREATE OR REPLACE FUNCTION no_room_for_tables() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'permission denied to create temporary tables' USING ERRCODE = '42501'; END $$
"""
AT_COMMIT = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not write to file "pg_wal/xlogtemp.1": No space left on device' USING ERRCODE = '53100';
END $$;
CREATE CONSTRAINT TRIGGER full_disk AFTER INSERT ON fact DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION no_room();
"""


@pytest.fixture
async def admin(database: Database, postgres_admin_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """The administrator in the test's database: an event trigger is nobody else's to make."""
    async with database.transaction() as transaction:
        name = await transaction.raw.fetchval("SELECT current_database()")
    connection = await asyncpg.connect(postgres_admin_url, database=name)
    yield connection
    await connection.close()


async def write(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute("INSERT INTO fact VALUES ('x')")


async def test_a_full_disk_is_told_until_there_is_room_again(
    database: Database, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await admin.execute(FULL)
    await database.ping()  # reading alone does not tell
    with pytest.raises(asyncpg.DiskFullError) as caught:
        await write(database)
    assert is_full(caught.value)
    assert is_unavailable(caught.value)
    refusal = refusal_for(caught.value)
    assert refusal is not None
    assert (refusal.reason, refusal.message) == (
        "UNAVAILABLE",
        "the database has no room left to write; send the same again later",
    )
    for _ in range(3):
        with pytest.raises(asyncpg.DiskFullError):
            await database.ping()
    await admin.execute(ROOM)
    await database.ping()
    await write(database)


async def test_a_commit_that_finds_no_room_counts_as_well(
    database: Database, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await admin.execute(AT_COMMIT)
    with pytest.raises(asyncpg.DiskFullError):
        await write(database)
    await database.ping()  # there is room for a table
    async with database.transaction() as transaction:
        assert await transaction.raw.fetchval("SELECT count(*) FROM fact") == 0


async def test_a_role_that_may_make_no_temporary_tables_is_well_again_all_the_same(
    database: Database, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await admin.execute(FULL)
    with pytest.raises(asyncpg.DiskFullError):
        await write(database)
    await admin.execute(NOT_ALLOWED)
    await database.ping()
    await database.ping()
