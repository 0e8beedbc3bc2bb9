import asyncio
from pathlib import Path

import asyncpg
import pytest

from kit.migrate import MigrationError, apply, missing
from kit.migrate import migrate as migrate_now

FIRST = '''"""the tables"""
from alembic import op
from kit import inbox, outbox
from kit.migrate import run_script
revision = "0001"
down_revision = None
def upgrade() -> None:
    run_script(outbox.SCHEMA + inbox.SCHEMA)
    op.execute("CREATE TABLE fact (id text PRIMARY KEY)")
'''
SECOND = '''"""a number for each fact"""
from alembic import op
revision = "0002"
down_revision = "0001"
def upgrade() -> None:
    op.execute("ALTER TABLE fact ADD COLUMN number bigint")
'''
BROKEN = '''"""goes wrong halfway"""
from kit.migrate import run_script
revision = "0003"
down_revision = "0002"
def upgrade() -> None:
    run_script("CREATE TABLE half (id text); CREATE TABLE fact (id text);")
'''
LIMITS = '''"""shows its limits"""
from alembic import op
revision = "0003"
down_revision = "0002"
def upgrade() -> None:
    op.execute("CREATE TABLE limits AS SELECT current_setting('lock_timeout') AS lock, "
               "current_setting('statement_timeout') AS statement")
'''


def migrations(folder: Path, *sources: str) -> Path:
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    for number, source in enumerate(sources, start=1):
        (versions / f"{number:04}_step.py").write_text(source, encoding="utf-8")
    return versions.parent


async def tables(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        return {row["relname"] for row in rows}
    finally:
        await connection.close()


async def test_an_empty_database_is_brought_up_to_date(tmp_path: Path, empty_database_url: str) -> None:
    folder = migrations(tmp_path, FIRST, SECOND)
    assert await missing(empty_database_url, folder) == ["0001 the tables", "0002 a number for each fact"]
    assert await apply(empty_database_url, folder) == ["0001 the tables", "0002 a number for each fact"]
    assert {"fact", "outbox_event", "outbox_unsent", "inbox", "schema_version"} <= await tables(empty_database_url)
    assert await missing(empty_database_url, folder) == []
    assert await apply(empty_database_url, folder) == []


async def test_only_what_is_new_is_applied(tmp_path: Path, empty_database_url: str) -> None:
    await apply(empty_database_url, migrations(tmp_path, FIRST))
    assert await apply(empty_database_url, migrations(tmp_path, FIRST, SECOND)) == ["0002 a number for each fact"]


async def test_a_failed_step_leaves_no_half_and_the_steps_before_it_stay(
    tmp_path: Path, empty_database_url: str
) -> None:
    folder = migrations(tmp_path, FIRST, SECOND, BROKEN)
    with pytest.raises(asyncpg.DuplicateTableError):
        await apply(empty_database_url, folder)
    assert "half" not in await tables(empty_database_url)
    assert await missing(empty_database_url, folder) == ["0003 goes wrong halfway"]


async def test_of_two_jobs_at_once_one_finds_nothing_left_to_do(tmp_path: Path, empty_database_url: str) -> None:
    folder = migrations(tmp_path, FIRST, SECOND)
    applied = await asyncio.gather(apply(empty_database_url, folder), apply(empty_database_url, folder))
    assert sorted(applied, key=len) == [[], ["0001 the tables", "0002 a number for each fact"]]


async def test_statements_of_a_migration_have_time_outs(tmp_path: Path, empty_database_url: str) -> None:
    await apply(empty_database_url, migrations(tmp_path, FIRST, SECOND, LIMITS))
    connection = await asyncpg.connect(empty_database_url)
    assert tuple(await connection.fetchrow("SELECT * FROM limits") or ()) == ("1s", "15min")
    await connection.close()


async def test_what_a_later_version_has_migrated_is_left_as_it_is(tmp_path: Path, empty_database_url: str) -> None:
    await apply(empty_database_url, migrations(tmp_path / "later", FIRST, SECOND))
    folder = migrations(tmp_path / "before", FIRST)
    assert await missing(empty_database_url, folder) == []
    assert await apply(empty_database_url, folder) == []
    assert await missing(empty_database_url, migrations(tmp_path / "later", FIRST, SECOND)) == []


async def test_a_revision_that_is_no_later_one_is_refused(tmp_path: Path, empty_database_url: str) -> None:
    await apply(empty_database_url, migrations(tmp_path / "one", FIRST, SECOND))
    folder = migrations(tmp_path / "other", FIRST, SECOND.replace('"0002"', '"0003"'))
    with pytest.raises(MigrationError, match="revision 0002"):
        await missing(empty_database_url, folder)
    with pytest.raises(MigrationError, match="revision 0002"):
        await apply(empty_database_url, folder)


CONCURRENT = '''"""an index beside all others"""
from alembic import op
revision = "0003"
down_revision = "0002"
def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS of_number")
        op.execute("CREATE INDEX CONCURRENTLY of_number ON fact (number)")
'''


async def test_a_step_lets_go_of_the_queue_and_is_tried_again_until_it_gets_its_lock(
    tmp_path: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.migrate.LOCK_TIMEOUT_SECONDS", 0.05)
    await apply(empty_database_url, migrations(tmp_path, FIRST))
    reader, other = await asyncpg.connect(empty_database_url), await asyncpg.connect(empty_database_url)
    transaction = reader.transaction()
    await transaction.start()
    await reader.execute("SELECT FROM fact")
    migrating = asyncio.create_task(apply(empty_database_url, migrations(tmp_path, FIRST, SECOND)))
    begun = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'migrate'"
    while not await other.fetchval(begun):  # noqa: ASYNC110 - of another connection
        await asyncio.sleep(0.01)
    await other.execute("SET lock_timeout = '3s'; INSERT INTO fact VALUES ('x')")  # not for ever behind the ALTER
    assert not migrating.done()
    await transaction.rollback()
    assert await asyncio.wait_for(migrating, 30) == ["0002 a number for each fact"]
    await asyncio.gather(reader.close(), other.close())


async def test_who_is_in_the_way_for_too_long_is_named(
    tmp_path: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.migrate.LOCK_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr("kit.migrate.RETRY_SECONDS", 0)
    await apply(empty_database_url, migrations(tmp_path, FIRST))
    reader = await asyncpg.connect(empty_database_url, server_settings={"application_name": "a-long-report"})
    async with reader.transaction():
        await reader.execute("SELECT FROM fact")
        with pytest.raises(MigrationError, match=r"0002 a number for each fact did not get its lock.*a-long-report"):
            await apply(empty_database_url, migrations(tmp_path, FIRST, SECOND))
    await reader.close()
    assert await apply(empty_database_url, migrations(tmp_path, FIRST, SECOND)) == ["0002 a number for each fact"]


async def test_what_works_beside_all_others_waits_for_them(
    tmp_path: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.migrate.LOCK_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr("kit.migrate.RETRY_SECONDS", 0)
    await apply(empty_database_url, migrations(tmp_path, FIRST, SECOND))
    writer, other = await asyncpg.connect(empty_database_url), await asyncpg.connect(empty_database_url)
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute("INSERT INTO fact VALUES ('x')")
    migrating = asyncio.create_task(apply(empty_database_url, migrations(tmp_path, FIRST, SECOND, CONCURRENT)))
    waits_longer_than_others_may = """
        SELECT count(*) FROM pg_stat_activity WHERE application_name = 'migrate' AND wait_event_type = 'Lock'
        AND clock_timestamp() - query_start > interval '0.2 s'
    """
    while not await other.fetchval(waits_longer_than_others_may):  # noqa: ASYNC110 - of another connection
        await asyncio.sleep(0.01)
    assert not migrating.done()
    await transaction.rollback()
    assert await asyncio.wait_for(migrating, 30) == ["0003 an index beside all others"]
    await asyncio.gather(writer.close(), other.close())


async def test_the_command_works_without_a_loop(tmp_path: Path, empty_database_url: str) -> None:
    applied = await asyncio.to_thread(migrate_now, empty_database_url, migrations(tmp_path, FIRST))
    assert applied == ["0001 the tables"]


def test_two_newest_revisions_are_refused(tmp_path: Path) -> None:
    folder = migrations(tmp_path, FIRST, SECOND, SECOND.replace('"0002"', '"0003"'))
    with pytest.raises(MigrationError, match="0002, 0003"):
        migrate_now("postgresql://nobody@127.0.0.1:1/nowhere", folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="versions"):
        migrate_now("postgresql://nobody@127.0.0.1:1/nowhere", tmp_path)
