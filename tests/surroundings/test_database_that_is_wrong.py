"""A database that cannot be used is waited for, with its reason, where it may come right; else that is the end."""

import asyncio
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from faults.proxy import Proxy
from support.starting import NOWHERE, PASSWORD, Fresh, Ground

from gongji_local.ports import LOOPBACK, free_port
from gongji_local.templates import DatabaseTemplates, migrate_in_process

WRONG = "wr0ng-passw0rd"


@pytest.fixture(scope="session")
def bare_databases(postgres_admin_url: str) -> Iterator[DatabaseTemplates]:
    """Databases that nobody has migrated."""
    bare = DatabaseTemplates(postgres_admin_url, lambda _service, _url: None)
    yield bare
    bare.drop_all()


def test_a_database_that_lets_nobody_in_ends_it_with_its_reason(ground: Ground, service_database: Fresh) -> None:
    url = service_database("settlement")
    wrong_password = PASSWORD.sub(rf"\1:{WRONG}@", url)
    no_database = re.sub(r"/[^/]*$", "/not_there", url)
    with (
        ground.started("settlement", ground.environment("settlement", wrong_password)) as refused,
        ground.started("notify", ground.environment("notify", no_database)) as lost,
    ):
        assert refused.ended() == 1
        assert lost.ended() == 1
    line = refused.the_one_error()
    assert (line["event"], line["part"]) == ("start failed", "database")
    why = f"refuses the password of the role {urlsplit(url).username}. Correct GONGJI_DATABASE_URL, or the file"
    assert why in line["why"]
    assert WRONG not in refused.log.read_text()
    assert refused.lines()[-1]["why"] == f"database: {line['why']}"
    assert "has no database not_there. Create it" in lost.the_one_error()["why"]


async def test_a_database_that_is_away_is_waited_for(ground: Ground, service_database: Fresh) -> None:
    url, port = service_database("binding"), free_port(None, ())
    behind = urlsplit(url)
    elsewhere = url.replace(f"{behind.hostname}:{behind.port}", f"{LOOPBACK}:{port}")
    with ground.started("binding", ground.environment("binding", elsewhere)) as process:
        waiting = await asyncio.to_thread(process.says, lambda probe: "database" in probe.why)
        assert f"database: PostgreSQL at {LOOPBACK}:{port} does not answer (connection refused)." in waiting.why
        assert not await asyncio.to_thread(process.is_ready_for_the_kubelet)
        proxy = Proxy(f"{behind.hostname}:{behind.port}")
        await proxy.start(port)
        try:
            await asyncio.to_thread(process.says, lambda probe: probe.ready)
            assert await asyncio.to_thread(process.is_ready_for_the_kubelet)
            line = process.the_one_error()
            assert (line["event"], line["part"]) == ("waiting", "database")
        finally:
            await proxy.stop()
        # It goes away while the process serves: told once, and the process stays.
        gone = await asyncio.to_thread(process.says, lambda probe: not probe.ready)
        assert "does not answer (connection refused)" in gone.why
        assert [(each["event"], each.get("check")) for each in process.errors()] == [
            ("waiting", None),
            ("not ready", "database"),
        ]
        assert await asyncio.to_thread(process.stopped) in {0, 1}


def test_a_process_that_waits_ends_well_when_it_is_told(ground: Ground) -> None:
    with ground.started("settlement", ground.environment("settlement")) as process:
        process.says(lambda probe: NOWHERE in probe.why)
        assert process.stopped() == 0
        assert process.the_one_error()["event"] == "waiting"


def test_a_schema_that_is_not_migrated_is_waited_for(ground: Ground, bare_databases: DatabaseTemplates) -> None:
    url = bare_databases.fresh("notify")
    try:
        with ground.started("notify", ground.environment("notify", url)) as process:
            waiting = process.says(lambda probe: "schema" in probe.why)
            assert "schema: the database's schema is older than this version: 0001, 0002" in waiting.why
            assert not process.is_ready_for_the_kubelet()
            migrate_in_process("notify", url)
            process.says(lambda probe: probe.ready)
            assert process.errors()[0]["event"] == "waiting"
            assert {each["event"] for each in process.errors()} == {"waiting"}
            assert "Run the command `migrate`." in process.errors()[0]["why"]
    finally:
        bare_databases.drop(url)


async def test_a_schema_of_a_later_version_is_told_and_served(ground: Ground, service_database: Fresh) -> None:
    url = service_database("identity")
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE schema_version SET version_num = '9999'")
    await connection.close()
    with ground.started("identity", ground.environment("identity", url)) as process:
        await asyncio.to_thread(process.says, lambda probe: probe.ready)
        assert process.errors() == []
        assert [line["revision"] for line in process.lines() if line["level"] == "warning" and "revision" in line] == [
            "9999"
        ]
