"""The access log by months: lines stay as they were, pages go on across months, what was dropped is told."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gongji.identity.v1 import access_log_pb2
from gongji_local.templates import migrations_before
from identity.access_months import ACCESS_LOG
from identity.kept import KEPT
from identity.postgres import PostgresRepository
from identity.repository import RECOGNISED, Access, AccessFilter, Operation, Repository
from identity.retention import LEAST_ACCESS_LOG_DAYS, IdentityRetention
from identity.service import AccessLogService
from identity.servicer import AccessLogServicer
from identity.testing import call_as_clerk, vault
from kit.clock import FixedClock, SystemClock
from kit.config import ConfigurationError, load
from kit.db import Database, PostgresWork, Work
from kit.ids import uuid7
from kit.migrate import apply
from kit.month_sql import make_sql
from kit.months import Month
from kit.purge import Purging
from kit.purge_cli import days_of
from kit.testing import patient_database

MIGRATIONS = Path(__file__).parents[1] / "migrations"
CUT = "0013"
"""The migration from which on the log is cut."""
OLD = Month(2020, 2)
TURN = Month(2030, 2)
"""Months of which none is made beforehand."""
MIDNIGHT = TURN.begins_at
MICROSECOND = timedelta(microseconds=1)
NAME = "GONGJI_ACCESS_LOG_KEPT_DAYS"
PURGED = """
INSERT INTO purged_month (table_name, partition_name, until, kept_days, about_rows, bytes)
VALUES ($1, 'm', '2020-02-29 16:00Z', 1830, 12, 8192)
"""
PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'access_log'::regclass ORDER BY 1"
# As the version before states it, word for word.
LOG_AS_BEFORE = """
INSERT INTO access_log (occurred_at, caller, operation, means, outcome, request_id, psn_no, jti, stated_reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = patient_database(database_url)
    async with database.transaction() as transaction:
        for month in (TURN.later(-1), TURN):
            await transaction.raw.execute(make_sql(ACCESS_LOG, month, move=True))
    yield database
    await database.close()


@pytest.fixture
def work(database: Database) -> Work[Repository]:
    return PostgresWork[Repository](database, lambda transaction: PostgresRepository(transaction, vault()))


async def fetch(database: Database, query: str, *arguments: object) -> list[Any]:
    async with database.transaction() as transaction:
        return [row[0] if len(row) == 1 else tuple(row) for row in await transaction.raw.fetch(query, *arguments)]


def looked(at: datetime, psn_no: str = "P1", caller: str = "service/operator") -> Access:
    return Access(at, caller, Operation.GET_PERSON, "OPERATOR", RECOGNISED, str(uuid7()), psn_no)


async def log(work: Work[Repository], *accesses: Access) -> None:
    async with work() as repository:
        for access in accesses:
            await repository.log_access(access)


@pytest.mark.parametrize("change", ["UPDATE {} SET psn_no = 'P2'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_no_partition_lets_its_lines_be_changed_or_removed(
    database: Database, work: Work[Repository], change: str
) -> None:
    await log(work, looked(OLD.begins_at), looked(MIDNIGHT), looked(datetime(2040, 1, 1, tzinfo=UTC)))
    places = "SELECT tableoid::regclass::text FROM access_log ORDER BY id"
    assert await fetch(database, places) == ["access_log_before", "access_log_2030_02", "access_log_rest"]
    for table in ("access_log", *await fetch(database, PARTITIONS)):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never changed"):
            await fetch(database, change.format(table))
    assert await fetch(database, "SELECT count(*) FROM access_log") == [3]


async def test_pages_go_on_across_the_turns_of_months_in_the_order_in_which_lines_were_written(
    database: Database, work: Work[Repository]
) -> None:
    times = [OLD.begins_at, MIDNIGHT, MIDNIGHT - MICROSECOND, MIDNIGHT, datetime(2040, 1, 1, tzinfo=UTC), MIDNIGHT]
    await log(work, *(looked(at) for at in times), looked(MIDNIGHT, "P2"))
    service = AccessLogServicer(AccessLogService(work, FixedClock(MIDNIGHT)))
    call_as_clerk("li", "auditor")
    pages, token = list[list[datetime]](), ""
    while not pages or token:
        request = access_log_pb2.ListAccessRequest(psn_no="P1", page_size=2, page_token=token)
        page = await service.ListAccess(request, None)
        pages.append([line.occurred_at.ToDatetime(UTC) for line in page.lines])
        token = page.next_page_token
    assert pages == [[times[5], times[4]], [times[3], times[2]], [times[1], times[0]]]
    async with work() as repository:
        within = AccessFilter(since=MIDNIGHT - MICROSECOND, until=MIDNIGHT)
        assert [line.access.occurred_at for line in await repository.accesses_logged(within, None, 9)] == [times[2]]
        everybody = await repository.accesses_logged(AccessFilter(since=MIDNIGHT), None, 99)
        assert len([line for line in everybody if line.access.operation is Operation.GET_PERSON]) == 5
    assert await fetch(database, "SELECT count(DISTINCT id) = count(*) FROM access_log") == [True]


async def test_what_is_dropped_is_a_line_that_auditors_see_and_what_is_younger_stays(
    database: Database, work: Work[Repository]
) -> None:
    async with database.transaction() as transaction:  # as if the log had been cut so since long ago
        await transaction.raw.execute("DROP TABLE access_log_before")
        for month in (OLD, OLD.next):
            await transaction.raw.execute(make_sql(ACCESS_LOG, month))
    await log(work, *(looked(at) for at in (OLD.begins_at, OLD.next.begins_at - MICROSECOND, MIDNIGHT)))
    days = {"access_log": (SystemClock().now() - OLD.next.begins_at).days}
    purging = Purging(database, SystemClock(), days)
    plan = await purging.plan(ACCESS_LOG)
    assert [old.partition.name for old in plan.old] == ["access_log_2020_02"]
    assert await purging.drop(plan, plan.old[0]) == []
    async with work() as repository:
        newest, *others = await repository.accesses_logged(AccessFilter(), None, 9)
    assert [line.access.occurred_at for line in others] == [MIDNIGHT]
    line = newest.access
    assert (line.operation, line.means, line.outcome, line.psn_no) == (Operation.PURGE, "POLICY", RECOGNISED, None)
    assert line.caller.startswith("database/test_identity")
    assert line.stated_reason == f"access_log_2020_02：约 2 条，均早于 2020-03-01，保存期 {days['access_log']} 天"
    assert await fetch(database, "SELECT table_name, about_rows FROM purged_month") == [("access_log", 2)]


async def test_what_is_purged_of_other_tables_is_no_line(database: Database) -> None:
    await fetch(database, PURGED, "outbox_event")
    assert await fetch(database, "SELECT count(*) FROM access_log") == [0]
    await fetch(database, PURGED, "access_log")
    assert await fetch(database, "SELECT count(*) FROM access_log") == [1]


def test_fewer_than_three_years_are_refused_and_five_are_the_rule() -> None:
    environ = {"GONGJI_ENVIRONMENT": "local", "GONGJI_DATABASE_URL": "postgresql://u:p@127.0.0.1:5432/d"}
    least = str(LEAST_ACCESS_LOG_DAYS)
    assert days_of(load(IdentityRetention, environ), KEPT)["access_log"] == 5 * 366
    assert days_of(load(IdentityRetention, {**environ, NAME: least}), KEPT)["access_log"] == LEAST_ACCESS_LOG_DAYS
    with pytest.raises(ConfigurationError, match="1098 days or more: the law wants"):
        load(IdentityRetention, {**environ, NAME: str(LEAST_ACCESS_LOG_DAYS - 1)})


# The version before, and the schema that comes.


async def test_the_version_before_logs_and_reads_while_the_log_is_cut_and_after(
    empty_database_url: str, tmp_path: Path
) -> None:
    await apply(empty_database_url, migrations_before(MIGRATIONS, CUT, tmp_path))
    connection = await asyncpg.connect(empty_database_url)
    indexes = "SELECT indexrelid FROM pg_index WHERE indrelid = $1::text::regclass ORDER BY 1"
    was = await connection.fetch(indexes, "access_log")
    ended, written = asyncio.Event(), 0

    async def go_on() -> None:
        nonlocal written
        while not written or not ended.is_set():
            await connection.execute(LOG_AS_BEFORE, *astuple(looked(OLD.begins_at)))
            written += 1
            await asyncio.sleep(0)

    await connection.execute(LOG_AS_BEFORE, *astuple(looked(OLD.begins_at)))
    writer = asyncio.create_task(go_on())
    assert await apply(empty_database_url, MIGRATIONS)
    ended.set()
    await writer
    await connection.execute(LOG_AS_BEFORE, *astuple(looked(datetime(2040, 1, 1, tzinfo=UTC))))
    ids = [row["id"] for row in await connection.fetch("SELECT id FROM access_log WHERE psn_no = 'P1' ORDER BY id")]
    assert len(ids) == len(set(ids)) == written + 2
    assert await connection.fetchval("SELECT tableoid::regclass::text FROM access_log WHERE id = $1", ids[-1]) == (
        "access_log_rest"
    )
    assert await connection.fetch(indexes, "access_log_before") == was
    assert await apply(empty_database_url, MIGRATIONS) == []
    await connection.close()
