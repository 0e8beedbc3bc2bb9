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
    assert tuple(await connection.fetchrow("SELECT * FROM limits") or ()) == ("5s", "15min")
    await connection.close()


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
