"""PostgreSQL's disk is full: nobody is told that a bill is settled which is not, and all goes on once there is room."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import grpc
import pytest
from support.books import books_are_clean
from support.families import Families

from gongji_local.clock import wait_until
from gongji_local.info import ProcessStatus
from gongji_local.stack import Stack
from kit.errors import reason_of

WRITTEN: Final = ("settlement", "entry", "outbox_event")
# Triggers answer as the server does then, with its SQLSTATE; the second, so that no other table has room either.
FULL: Final = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = '53100'; END $$;
CREATE FUNCTION no_room_for_tables() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file "base/1/3": No space left on device' USING ERRCODE = '53100'; END $$;
CREATE EVENT TRIGGER full_disk ON ddl_command_start WHEN TAG IN ('CREATE TABLE AS')
    EXECUTE FUNCTION no_room_for_tables();
""" + "".join(f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} EXECUTE FUNCTION no_room();" for table in WRITTEN)
ROOM: Final = "DROP EVENT TRIGGER full_disk; DROP FUNCTION no_room_for_tables; DROP FUNCTION no_room CASCADE"
NOTICED_SECONDS: Final = 60.0


@asynccontextmanager
async def full_disk(stack: Stack) -> AsyncIterator[None]:
    """Settlement's database has no room as long as the block lasts."""
    name = urlsplit(stack.info.database_urls["settlement"]).path[1:]
    admin = await asyncpg.connect(stack.info.postgres_admin_url, database=name)
    try:
        await admin.execute(FULL)
        yield
    finally:
        await admin.execute(ROOM)
        await admin.close()


def settlement_of(stack: Stack) -> ProcessStatus:
    return next(process for process in stack.status() if process.name == "settlement")


def said(log: Path, since_bytes: int) -> list[dict[str, Any]]:
    """What settlement has logged since then, but for its line of each call."""
    lines = log.read_bytes()[since_bytes:].decode().splitlines()
    return [line for line in map(json.loads, (line for line in lines if line[:1] == "{")) if line["event"] != "call"]


async def test_without_room_nothing_is_acknowledged_and_what_was_stays(families: Families, stack: Stack) -> None:
    family = await families.make({"father": 10_000})
    before = await family.request("child", 1_000)
    acknowledged = await family.hospital.settle(before)
    request = await family.request("child", 2_000)
    log = stack.folder.logs / "settlement.log"
    start = log.stat().st_size
    async with full_disk(stack):
        for _ in range(5):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await family.hospital.settle(request)
            assert reason_of(refused.value) == "UNAVAILABLE"
            assert refused.value.details() == "the database has no room left to write; send the same again later"
        assert await asyncio.to_thread(wait_until, lambda: not settlement_of(stack).ready, NOTICED_SECONDS)
        assert "has no room left on its disk" in settlement_of(stack).why
        assert await family.hospital.settle(before) == acknowledged  # who only asks is answered
        errors = [line for line in said(log, start) if line["level"] == "error"]
        assert [(line["event"], line["check"]) for line in errors] == [("not ready", "database")]
    assert await asyncio.to_thread(wait_until, lambda: settlement_of(stack).ready, NOTICED_SECONDS)

    settled = await family.hospital.settle(request)
    assert settled.split.acct_mulaid_pay == 2_000
    assert await family.balance("father") == 7_000
    assert [line["check"] for line in said(log, start) if line["event"] == "well again"] == ["database"]
    assert not any("exception" in line for line in said(log, start))
    await asyncio.to_thread(stack.quiesce, 120.0)
    assert (await family.use("father", "child"))["YEAR"] == (3_000, 0)
    await books_are_clean(stack)
