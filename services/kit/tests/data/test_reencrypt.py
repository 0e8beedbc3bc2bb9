"""Sealed rows move to the ring's active key beside whoever works on them; what cannot be moved is named."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from kit import backfill, cli
from kit.config import ServiceSettings
from kit.crypto import KeyRing
from kit.db import Database
from kit.reencrypt import NAMED, Pace, Resealing, SealedTable, UnsealedError, check, count_by_key, reencrypt
from kit.testing import patient_database

TABLE = """
CREATE TABLE note (
    day date, place uuid, owner text NOT NULL, title_ct bytea NOT NULL, body_ct bytea, seen boolean DEFAULT false,
    PRIMARY KEY (day, place)
);
"""
ADD = """
INSERT INTO note (day, place, owner, title_ct, body_ct)
VALUES ('2025-06-01'::date + $1::integer % 3, md5($1::text)::uuid, $2, $3, $4)
"""
ROWS = 23


def stated(active: str, *others: str, algorithm: str = "AES-256-GCM") -> dict[str, object]:
    length = 32 if algorithm == "AES-256-GCM" else 16
    keys = {
        each: {"algorithm": algorithm, "key": base64.b64encode(each.encode().ljust(length, b".")).decode()}
        for each in (active, *others)
    }
    return {"active": active, "keys": keys, "blind_index_key": base64.b64encode(bytes(32)).decode()}


def ring(active: str, *others: str, algorithm: str = "AES-256-GCM") -> KeyRing:
    return KeyRing.from_json(stated(active, *others, algorithm=algorithm))


def context(column: str, owner: str) -> bytes:
    return f"note {column} {owner}".encode()


NOTE = SealedTable(
    "note",
    ("day", "place"),
    {f"{each}_ct": lambda row, each=each: context(each, row["owner"]) for each in ("title", "body")},  # type: ignore[misc]
    beside=("owner",),
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = patient_database(database_url)
    async with opened.transaction() as transaction:
        await transaction.raw.execute(backfill.SCHEMA + TABLE)
    yield opened
    await opened.close()


async def written(database: Database, under: KeyRing, numbers: Sequence[int] = range(ROWS)) -> None:
    rows = []
    for number in numbers:
        owner = f"owner {number}"
        body = under.encrypt(f"body {number}".encode(), context("body", owner)) if number % 2 else None
        rows.append((number, owner, under.encrypt(f"title {number}".encode(), context("title", owner)), body))
    async with database.transaction() as transaction:
        await transaction.raw.executemany(ADD, rows)


async def opened(database: Database, by: KeyRing) -> set[str]:
    async with database.transaction() as transaction:
        rows = await transaction.raw.fetch("SELECT owner, title_ct, body_ct FROM note")
    titles = {by.decrypt(row["title_ct"], context("title", row["owner"])).decode() for row in rows}
    return titles | {
        by.decrypt(row["body_ct"], context("body", row["owner"])).decode() for row in rows if row["body_ct"]
    }


ALL = {f"title {number}" for number in range(ROWS)} | {f"body {number}" for number in range(1, ROWS, 2)}


@pytest.mark.parametrize("batch", [1, 7, 500])
async def test_everything_opens_by_the_new_key_alone(database: Database, batch: int) -> None:
    await written(database, ring("k1"))
    lines: list[str] = []
    await reencrypt(database, [NOTE], ring("k2", "k1"), Pace(batch=batch, tell=lines.append))
    assert await opened(database, ring("k2")) == ALL
    assert lines[-2:] == ["note: 34 under k2", "everything is under k2; k1 may be taken out of the ring"]


async def test_a_table_of_large_rows_keeps_to_its_own_batch(database: Database) -> None:
    await written(database, ring("k1"))
    small = SealedTable(NOTE.name, NOTE.key, NOTE.contexts, NOTE.beside, batch=4)
    stops = iter(range(100))
    with pytest.raises(UnsealedError, match="goes on where it is"):
        await reencrypt(database, [small], ring("k2", "k1"), Pace(stop=lambda: next(stops) >= 2))
    assert (await count_by_key(database, NOTE))["k1"] > 34 - 2 * 2 * 4


async def test_what_was_stopped_goes_on(database: Database) -> None:
    await written(database, ring("k1"))
    stops = iter(range(100))
    with pytest.raises(UnsealedError, match="stopped"):
        await reencrypt(database, [NOTE], ring("k2", "k1"), Pace(batch=5, stop=lambda: next(stops) >= 2))
    counted = await count_by_key(database, NOTE)
    assert counted["k1"]
    assert counted["k2"]
    await reencrypt(database, [NOTE], ring("k2", "k1"), Pace(batch=5))
    assert await opened(database, ring("k2")) == ALL


async def test_what_a_process_wrote_under_the_old_key_afterwards_is_moved_by_the_next_run(database: Database) -> None:
    await written(database, ring("k1"), range(10))
    await reencrypt(database, [NOTE], ring("k2", "k1"), Pace())
    await written(database, ring("k1"), range(10, ROWS))
    with pytest.raises(UnsealedError, match="19 under k1"):
        await check(database, [NOTE], ring("k2", "k1"))
    await reencrypt(database, [NOTE], ring("k2", "k1"), Pace())
    assert await opened(database, ring("k2")) == ALL


async def test_a_row_that_somebody_changes_is_passed_over_and_their_change_stands(
    database: Database, database_url: str
) -> None:
    await written(database, ring("k1"))
    other = await asyncpg.connect(database_url)
    change = other.transaction()
    await change.start()
    held = ring("k1").encrypt(b"changed", context("title", "owner 3"))
    await other.execute("UPDATE note SET title_ct = $1, seen = true WHERE owner = 'owner 3'", held)
    with pytest.raises(UnsealedError, match="2 under k1"):
        await reencrypt(database, [NOTE], ring("k2", "k1"), Pace(batch=5))
    await change.commit()
    await other.close()
    await reencrypt(database, [NOTE], ring("k2", "k1"), Pace(batch=5))
    assert await opened(database, ring("k2")) == ALL - {"title 3"} | {"changed"}


async def test_rows_under_a_key_that_the_ring_lacks_are_named_and_the_others_moved(database: Database) -> None:
    await written(database, ring("k0"), range(NAMED + 2))
    await written(database, ring("k1"), range(NAMED + 2, ROWS))
    with pytest.raises(UnsealedError, match=r"no key 'k0'") as refused:
        await reencrypt(database, [NOTE], ring("k2", "k1"), Pace(batch=4))
    assert str(refused.value).count("note (day 2025-06-") == NAMED
    assert "note: 2 more" in str(refused.value)
    assert set(await count_by_key(database, NOTE)) == {"k0", "k2"}
    with pytest.raises(UnsealedError, match="the ring does not have k0"):
        await check(database, [NOTE], ring("k2", "k1"))
    await reencrypt(database, [NOTE], ring("k2", "k1", "k0"), Pace())  # once the key is found
    assert await opened(database, ring("k2")) == ALL


async def test_a_ciphertext_that_was_moved_to_another_row_is_never_sealed_anew(database: Database) -> None:
    await written(database, ring("k1"), range(2))
    async with database.transaction() as transaction:
        await transaction.raw.execute("UPDATE note SET owner = 'somebody' WHERE owner = 'owner 1'")
    with pytest.raises(UnsealedError, match="belongs to another context"):
        await reencrypt(database, [NOTE], ring("k2", "k1"), Pace())
    assert await count_by_key(database, NOTE) == {"k1": 2, "k2": 1}


async def test_what_is_no_ciphertext_at_all_is_told(database: Database) -> None:
    await written(database, ring("k2"), range(1))
    async with database.transaction() as transaction:
        await transaction.raw.execute("UPDATE note SET title_ct = 'x'")
    with pytest.raises(UnsealedError, match="1 under no key at all"):
        await check(database, [NOTE], ring("k2"))


def test_rows_under_the_active_key_are_left_out() -> None:
    sealed = ring("k2").encrypt(b"title", context("title", "a"))
    resealing = Resealing(NOTE, ring("k2", "k1"))
    assert resealing([("day", "place", sealed, None, "a")]) == []


def test_another_algorithm_is_taken_up() -> None:
    old = ring("k1", algorithm="SM4-GCM")
    new = KeyRing(
        "k2",
        {"k1": old._keys["k1"], "k2": ring("k2")._keys["k2"]},
        bytes(32),
    )
    row = ("day", "place", old.encrypt(b"title", context("title", "a")), None, "a")
    ((_, _, title, _, _),) = Resealing(NOTE, new)([row])
    assert ring("k2").decrypt(title, context("title", "a")) == b"title"


def test_the_command_moves_and_counts(empty_database_url: str, tmp_path: Path) -> None:
    environ = {
        "GONGJI_ENVIRONMENT": "test",
        "GONGJI_DATABASE_URL": empty_database_url,
        "GONGJI_KEYRING_FILE": str(tmp_path / "ring.json"),
    }
    asyncio.run(_prepared(empty_database_url))
    app = cli.service_cli("binding", ServiceSettings, lambda _settings: 0, tmp_path, sealed=lambda: [NOTE])

    def run(ring_of: dict[str, object], *arguments: str) -> tuple[int, str]:
        (tmp_path / "ring.json").write_text(json.dumps(ring_of))
        done = CliRunner().invoke(app, ["reencrypt", *arguments], env=environ)
        return done.exit_code, done.output

    assert run(stated("k2", "k1"), "--check") == (
        1,
        "note: 34 under k1\n✗ not under k2, which is active: 34 under k1\n",
    )
    status, output = run(stated("k2", "k1"), "--batch", "5")
    assert status == 0
    assert output.endswith("everything is under k2; k1 may be taken out of the ring\n")
    assert run(stated("k2"), "--check") == (0, "note: 34 under k2\neverything is under k2\n")
    status, output = run(stated("k3"))
    assert status == 1
    assert "the ring has no key 'k2'" in output


async def _prepared(url: str) -> None:
    database = patient_database(url)
    async with database.transaction() as transaction:
        await transaction.raw.execute(backfill.SCHEMA + TABLE)
    await written(database, ring("k1"))
    await database.close()
