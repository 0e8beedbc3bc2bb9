"""Months are made ahead of both clocks; what comes when there is none has a place, and moves once there is one."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from prometheus_client import REGISTRY

from kit.clock import FixedClock, SystemClock
from kit.db import Database, retrying
from kit.ids import uuid7
from kit.inbox import PostgresInbox
from kit.kept import INBOX, OUTBOX, Cut, Kept
from kit.month_making import MonthMaking
from kit.month_sql import Partition, Partitions, partitions_of
from kit.months import Month, month_of
from kit.purge import Purging
from kit.scheduler import Scheduler, alone_on
from kit.testing import eventually

pytestmark = pytest.mark.stack
LEDGER = Kept("ledger", "posted_at", Cut.TIME, None, "The law says so.")
LEDGER_SCHEMA = """
CREATE TABLE ledger (id bigint GENERATED ALWAYS AS IDENTITY, posted_at timestamptz NOT NULL, fen bigint NOT NULL)
PARTITION BY RANGE (posted_at);
CREATE TABLE ledger_rest PARTITION OF ledger DEFAULT;
ALTER TABLE ledger_rest ADD PRIMARY KEY (id);
CREATE FUNCTION keep_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries stay' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER ledger_stays BEFORE UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION keep_ledger();
"""
NEW_YEAR = datetime(2031, 12, 31, 16, tzinfo=UTC)
"""Midnight in Shanghai."""


@pytest.fixture
async def ledger(database: Database) -> Database:
    """With a table of which nothing may be changed, and which has no month yet."""
    async with database.transaction() as transaction:
        await transaction.raw.execute(LEDGER_SCHEMA)
    return database


async def made(database: Database, making: MonthMaking) -> int:
    return await Scheduler([], alone_on(database)).run_once(making.job())


async def months(database: Database, kept: Kept) -> list[str]:
    async with database.transaction() as transaction:
        there = await partitions_of(transaction, kept)
    return [each.name.removeprefix(f"{kept.table}_") for each in there.all]


def figure(name: str, table: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"table": table})


async def test_three_months_are_made_ahead_of_the_clock_each_once(ledger: Database) -> None:
    clock = FixedClock(NEW_YEAR - timedelta(microseconds=1))
    making = MonthMaking(ledger, clock, [LEDGER])
    now = [str(month_of(SystemClock().now()).later(ahead)).replace("-", "_") for ahead in range(4)]
    assert await made(ledger, making) == 8
    assert await months(ledger, LEDGER) == [*now, "2031_12", "2032_01", "2032_02", "2032_03"]
    assert await made(ledger, making) == 0
    clock.set(NEW_YEAR)
    assert await made(ledger, making) == 1
    assert (await months(ledger, LEDGER))[-1] == "2032_04"


async def test_what_was_written_without_a_month_moves_there_also_where_nothing_may_be_changed(ledger: Database) -> None:
    times = [NEW_YEAR - timedelta(microseconds=1), NEW_YEAR, NEW_YEAR + timedelta(days=400)]
    async with ledger.transaction() as transaction:
        for at in times:
            await transaction.raw.execute("INSERT INTO ledger (posted_at, fen) VALUES ($1, 1)", at)
    making = MonthMaking(ledger, FixedClock(NEW_YEAR), [LEDGER])
    await making()
    assert (figure("gongji_months_ahead", "ledger"), figure("gongji_months_rest", "ledger")) == (0, 1)
    await made(ledger, making)
    await making()
    assert (figure("gongji_months_ahead", "ledger"), figure("gongji_months_rest", "ledger")) == (3, 1)
    async with ledger.transaction() as transaction:
        rows = await transaction.raw.fetch("SELECT id, tableoid::regclass::text AS place FROM ledger ORDER BY id")
        assert [tuple(row) for row in rows] == [(1, "ledger_rest"), (2, "ledger_2032_01"), (3, "ledger_rest")]
    with pytest.raises(asyncpg.RestrictViolationError, match="entries stay"):
        async with ledger.transaction() as transaction:
            await transaction.raw.execute("DELETE FROM ledger WHERE tableoid = 'ledger_rest'::regclass")
    clock = FixedClock(NEW_YEAR - timedelta(microseconds=1))
    assert await made(ledger, MonthMaking(ledger, clock, [LEDGER])) == 1
    await made(ledger, MonthMaking(ledger, FixedClock(times[-1]), [LEDGER]))
    await making()
    assert figure("gongji_months_rest", "ledger") == 0


async def test_an_event_that_was_taken_in_before_its_month_was_made_stays_taken_in(database: Database) -> None:
    far = month_of(SystemClock().now()).later(9)
    ids = [UUID(int=far.first_id.int - 1), far.first_id, uuid7()]
    async with database.transaction() as transaction:
        assert await PostgresInbox(transaction).first_time("consumer", ids) == set(ids)
    making = MonthMaking(database, FixedClock(far.begins_at), [OUTBOX, INBOX])
    assert await made(database, making) == 8
    async with database.transaction() as transaction:
        places = await transaction.raw.fetch("SELECT tableoid::regclass::text FROM inbox ORDER BY event_id")
        assert [row[0] for row in places][1:] == ["inbox_rest", far.partition_of("inbox")]
        assert await PostgresInbox(transaction).first_time("consumer", ids) == set()


async def test_making_and_purging_at_once_wait_for_each_other_and_both_are_done(
    database: Database, database_url: str
) -> None:
    month = month_of(SystemClock().now())
    async with database.transaction() as transaction:
        await transaction.raw.execute(f"DROP TABLE {month.later(3).partition_of('inbox')}")
        ends = f"ALTER TABLE inbox DETACH PARTITION inbox_before; {before_until(month.later(-1))}"
        await transaction.raw.execute(ends)
    purging = Purging(database, SystemClock(), {"inbox": 1})
    plan = await purging.plan(INBOX)
    making = MonthMaking(database, SystemClock(), [INBOX])
    reader = await asyncpg.connect(database_url)
    reading = reader.transaction()
    await reading.start()
    await reader.execute("SELECT FROM inbox")
    dropping = asyncio.create_task(purging.drop(plan, plan.old[0]))
    made_meanwhile = asyncio.create_task(retrying(making.batch, attempts=50))
    waiting = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype = 'relation'"
    await eventually(lambda: reader.fetchval(waiting), what="one of them waits")
    await reading.rollback()
    await reader.close()
    assert await dropping == []
    assert await made_meanwhile == 1
    assert (await months(database, INBOX))[-1] == str(month.later(3)).replace("-", "_")


def before_until(month: Month) -> str:
    bound = month.first_id
    return f"ALTER TABLE inbox ATTACH PARTITION inbox_before FOR VALUES FROM (MINVALUE) TO ('{bound}')"


async def test_what_the_migration_made_is_enough_for_now(database: Database) -> None:
    making = MonthMaking(database, SystemClock(), [OUTBOX, INBOX])
    assert await made(database, making) == 0
    await making()
    for table in ("outbox_event", "inbox"):
        assert (figure("gongji_months_ahead", table), figure("gongji_months_rest", table)) == (3, 0)


def there_are(*months: Month, before: Month | None = None) -> Partitions:
    first = [] if before is None else [Partition("t_before", before.begins_at)]
    return Partitions([*first, *(Partition(each.partition_of("t"), each.next.begins_at) for each in months)])


def test_months_ahead_end_at_the_first_gap() -> None:
    november = Month(2026, 11)
    at = november.begins_at
    assert there_are(november, november.later(1), november.later(3)).ahead(at) == 1
    assert there_are(november.later(1), november.later(2)).ahead(at) == 0
    assert there_are(november).ahead(at) == 0
    assert there_are(november.later(2), before=november.later(2)).ahead(at) == 2
    assert there_are(before=november.later(2)).ahead(at) == 1
    assert there_are(before=november).ahead(at) == 0
