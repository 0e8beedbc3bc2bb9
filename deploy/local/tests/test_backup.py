"""Backup and restore of the embedded PostgreSQL: every database at its own point, and nothing without its keys."""

import asyncio
import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from gongji_local.backup.archive import Archive, Base, key_ids, missing_keys
from gongji_local.backup.points import Points, points_of
from gongji_local.backup.restoring import recovery_settings, restore
from gongji_local.backup.taking import archive_now, server_now, take
from gongji_local.bringing_up import database_of
from gongji_local.errors import StackError
from gongji_local.keys import Keys
from gongji_local.postgres.databases import ensure_databases
from gongji_local.postgres.home import find_home
from gongji_local.processes import is_alive, send
from gongji_local.services import SERVICES
from gongji_local.sessions import new_session_folder, quick_folder, remove_session
from gongji_local.stack import Stack
from gongji_local.state import StateBook

NOON = datetime(2026, 5, 1, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_one_point_is_for_all_and_single_services_may_have_another() -> None:
    points = points_of(SERVICES, NOON.isoformat(), ["binding=2026-05-01T11:00:00+08:00"])
    assert points.of == dict.fromkeys(SERVICES, NOON) | {"binding": NOON - HOUR}
    assert (points.latest, points.apart) == (NOON, {"binding": NOON - HOUR})


def test_without_a_point_everything_that_is_archived_is_restored() -> None:
    points = points_of(SERVICES, "", [f"notify={NOON.isoformat()}"])
    assert (points.latest, points.apart) == (None, {"notify": NOON})


def test_the_server_goes_on_from_the_latest_of_all_points() -> None:
    points = Points({"identity": NOON, "binding": NOON - HOUR, "settlement": NOON + HOUR, "notify": NOON - 2 * HOUR})
    assert points.latest == NOON + HOUR
    assert set(points.apart) == {"identity", "binding", "notify"}


@pytest.mark.parametrize(
    ("at", "each", "problem"),
    [
        ("2026-05-01T12:00:00", [], "no time with its offset"),
        ("noon", [], "no time with its offset"),
        ("", ["binding=noon"], "no time with its offset"),
        ("", ["binding"], "no time with its offset"),
        ("", [f"payments={NOON.isoformat()}"], "no service called payments"),
    ],
)
def test_a_point_that_can_be_misunderstood_is_refused(at: str, each: list[str], problem: str) -> None:
    with pytest.raises(StackError, match=problem):
        points_of(SERVICES, at, each)


def test_the_youngest_base_backup_from_before_the_point_is_taken(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.create(None)
    bases = [Base(f"b{hour}", NOON + hour * HOUR, {}) for hour in (2, 0, 1)]
    for base in bases:
        archive.put(base)
    assert archive.all() == [bases[1], bases[2], bases[0]]
    assert archive.base_for(None).stamp == "b2"
    assert archive.base_for(NOON + HOUR + HOUR / 2).stamp == "b1"
    with pytest.raises(StackError, match="no base backup"):
        archive.base_for(NOON)


def test_a_backup_says_which_keys_it_cannot_be_read_without(tmp_path: Path) -> None:
    rings = Keys(tmp_path)
    rings.keyring("binding")
    needed = key_ids(tmp_path)
    assert list(needed) == ["keyring-binding.json"]
    assert missing_keys(needed, key_ids(tmp_path)) == []
    assert missing_keys({"keyring-binding.json": ["k9"]}, needed) == ["keyring-binding.json: k9"]
    assert missing_keys(needed, {}) == [f"keyring-binding.json: {key}" for key in needed["keyring-binding.json"]]


def test_a_path_with_a_quote_stays_one_word_for_the_shell_and_one_value_for_postgresql(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "it's here")
    assert recovery_settings(archive, None).count("\n") == 3
    assert "''" in recovery_settings(archive, None)
    assert "recovery_target_time = '2026-05-01T04:00:00+00:00'" in recovery_settings(archive, NOON)


@pytest.fixture
def stack() -> Iterator[Stack]:
    made = Stack(new_session_folder(quick_folder()))
    yield made
    remove_session(made)


@pytest.fixture
def archive(stack: Stack) -> Iterator[Archive]:
    yield (made := Archive(stack.folder.root.with_name(f"{stack.folder.root.name}-backup")))
    shutil.rmtree(made.root, ignore_errors=True)


def put(stack: Stack, admin_url: str, fact: str) -> datetime:
    """The same fact in every service's database; when it was committed everywhere."""
    for service in SERVICES:
        asyncio.run(_run(database_of(stack.folder, service).url(admin_url), fact))
    return server_now(admin_url)


async def _run(url: str, fact: str | None = None) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS fact (text text, tx xid8 DEFAULT pg_current_xact_id())")
        if fact is not None:
            await connection.execute("INSERT INTO fact VALUES ($1)", fact)
        if fact is None:  # transactions go on behind those that the rows keep
            assert await connection.fetchval("SELECT coalesce(max(tx) < pg_current_xact_id(), true) FROM fact")
        return [row["text"] for row in await connection.fetch("SELECT text FROM fact ORDER BY tx")]
    finally:
        await connection.close()


def facts(stack: Stack, admin_url: str) -> dict[str, str]:
    return {
        service: " ".join(asyncio.run(_run(database_of(stack.folder, service).url(admin_url)))) for service in SERVICES
    }


@pytest.mark.stack
def test_after_the_data_are_gone_each_database_is_what_it_was_at_its_own_point(stack: Stack, archive: Archive) -> None:
    admin_url = stack.start_postgres()
    ensure_databases(admin_url, [database_of(stack.folder, service) for service in SERVICES])
    Keys(stack.folder.secrets).keyring("binding")
    put(stack, admin_url, "before")
    base = take(stack, archive)
    admin_url = stack.start_postgres()
    after = [put(stack, admin_url, f"after-{number}") for number in (1, 2, 3)]
    archive_now(admin_url)
    put(stack, admin_url, "never-archived")
    book = StateBook(stack.folder)
    process = book.read().processes["postgres"]
    send(process, signal.SIGKILL)
    home = find_home(book)
    shutil.rmtree(home.data)
    points = Points(dict(zip(SERVICES, (after[1], base.ended_at, after[2], after[0]), strict=True)))

    with pytest.raises(StackError, match="no base backup"):  # one that was taken at the very point may be of later
        restore(stack, archive, points)
    points = Points({**points.of, "binding": after[0]})
    assert restore(stack, archive, points).put_aside is None

    admin_url = stack.start_postgres()
    assert facts(stack, admin_url) == {
        "identity": "before after-1 after-2",
        "binding": "before after-1",
        "settlement": "before after-1 after-2 after-3",
        "notify": "before after-1",
    }
    assert "recovery" not in (home.data / "postgresql.auto.conf").read_text()
    assert not (home.data.parent / "data-beside").exists()
    put(stack, admin_url, "new")
    archive_now(admin_url)  # the new history goes on into the same archive

    again = restore(stack, archive, points_of(SERVICES, "", []))
    assert again.put_aside is not None
    assert again.put_aside.is_dir()
    assert facts(stack, stack.start_postgres())["settlement"] == "before after-1 after-2 after-3 new"


@pytest.mark.stack
def test_a_restore_without_the_keys_or_to_what_was_never_archived_is_refused_in_a_sentence(
    stack: Stack, archive: Archive
) -> None:
    stack.start_postgres()
    Keys(stack.folder.secrets).keyring("binding")
    base = take(stack, archive)
    archive.put(replace(base, key_ids={"keyring-binding.json": ["lost"]}))
    with pytest.raises(StackError, match=r"does not have: keyring-binding\.json: lost"):
        restore(stack, archive, points_of(SERVICES, "", []))
    archive.put(base)
    assert is_alive(StateBook(stack.folder).read().processes["postgres"])  # nothing was touched
    with pytest.raises(StackError, match="no commit after"):
        restore(stack, archive, points_of(SERVICES, (base.ended_at + HOUR).isoformat(), []))
    assert json.loads((archive.bases / f"{base.stamp}.json").read_text())["stamp"] == base.stamp
