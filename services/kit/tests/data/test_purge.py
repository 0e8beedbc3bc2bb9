"""Whole months go once they are older than the policy says, and nothing that somebody still wants."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from kit.clock import FixedClock, SystemClock
from kit.db import Database
from kit.inbox import PostgresInbox
from kit.kept import INBOX, OUTBOX, Kept
from kit.month_sql import make_sql, partitions_of
from kit.months import Month, month_of
from kit.outbox import PostgresOutbox
from kit.purge import InTheWayError, Purging
from kit.testing_events import SampleTopic, event

pytestmark = pytest.mark.stack
TOPIC = SampleTopic()
DAYS = {"outbox_event": 100, "inbox": 100}


def old_month(months: int = 0) -> Month:
    """The youngest month of which every instant is older than the days, or an earlier one."""
    return month_of(SystemClock().now() - timedelta(days=100)).later(-1 - months)


async def with_months(database: Database, *months: Month) -> None:
    """As if the tables had been cut so since long ago: what is before begins with the first."""
    async with database.transaction() as transaction:
        for kept in (OUTBOX, INBOX):
            await transaction.raw.execute(f"DROP TABLE {kept.before}")
            for month in months:
                await transaction.raw.execute(make_sql(kept, month))


async def tell(database: Database, month: Month, texts: Sequence[str], *, sent: bool = True) -> None:
    async with database.transaction() as transaction:
        await PostgresOutbox(transaction, "kit", TOPIC.catalogue).add([event("k", text) for text in texts])
        moved = "UPDATE outbox_event SET created_at = $1 WHERE created_at > $2"
        await transaction.raw.execute(moved, month.begins_at, month_of(SystemClock().now()).begins_at)
        if sent:
            await transaction.raw.execute("DELETE FROM outbox_run")


async def names(database: Database, kept: Kept) -> list[str]:
    async with database.transaction() as transaction:
        return [each.name for each in (await partitions_of(transaction, kept)).all]


async def purged(database: Database) -> list[tuple[object, ...]]:
    async with database.transaction() as transaction:
        rows = await transaction.raw.fetch(
            "SELECT table_name, partition_name, until, kept_days, about_rows FROM purged_month ORDER BY purge_id"
        )
    return [tuple(row) for row in rows]


def purging(database: Database, clock: FixedClock | None = None, retry_seconds: float = 120.0) -> Purging:
    return Purging(database, clock or SystemClock(), DAYS, retry_seconds=retry_seconds)


async def test_months_go_whole_once_their_last_instant_is_old_enough(database: Database) -> None:
    older, old, young = old_month(1), old_month(), old_month().next
    await with_months(database, older, old, young)
    for month in (older, old, young):
        await tell(database, month, ["one", "two"])
    plan = await purging(database).plan(OUTBOX)
    assert [(each.partition.name, each.about_rows, each.wanted) for each in plan.old] == [
        (month.partition_of("outbox_event"), 2, []) for month in (older, old)
    ]
    assert all(each.bytes > 0 for each in plan.old)
    assert await purged(database) == []  # nothing is done by looking
    for each in plan.old:
        assert await purging(database).drop(plan, each) == []
    assert (await names(database, OUTBOX))[0] == young.partition_of("outbox_event")
    assert await purged(database) == [
        ("outbox_event", month.partition_of("outbox_event"), month.next.begins_at, 100, 2) for month in (older, old)
    ]
    assert (await purging(database).plan(OUTBOX)).old == []


async def test_a_clock_that_tests_moved_makes_nothing_older_than_it_is(database: Database) -> None:
    young = old_month().next
    await with_months(database, old_month(), young)
    ahead = FixedClock(SystemClock().now() + timedelta(days=1000))
    behind = FixedClock(SystemClock().now() - timedelta(days=1000))
    assert len((await purging(database, ahead).plan(INBOX)).old) == 1
    assert (await purging(database, behind).plan(INBOX)).old == []


async def test_an_event_that_is_unsent_keeps_its_month(database: Database) -> None:
    await with_months(database, old_month(1), old_month())
    await tell(database, old_month(1), ["sent"])
    await tell(database, old_month(), ["a", "b", "c"], sent=False)
    plan = await purging(database).plan(OUTBOX)
    assert [each.wanted for each in plan.old] == [[], ["3 events that are unsent"]]
    assert plan.refused == [plan.old[1]]
    assert await purging(database).drop(plan, plan.old[1]) == ["3 events that are unsent"]
    assert old_month().partition_of("outbox_event") in await names(database, OUTBOX)
    assert await purged(database) == []


async def test_what_is_put_among_the_unsent_after_the_plan_is_seen(database: Database) -> None:
    await with_months(database, old_month())
    await tell(database, old_month(), ["a"])
    plan = await purging(database).plan(OUTBOX)
    assert plan.refused == []
    async with database.transaction() as transaction:  # as `republish` does
        await transaction.raw.execute("INSERT INTO outbox_run SELECT id, 1 FROM outbox_event")
    assert await purging(database).drop(plan, plan.old[0]) == ["1 events that are unsent"]


async def test_who_works_on_a_month_is_waited_for_and_named_in_the_end(database: Database) -> None:
    await with_months(database, old_month())
    plan = await purging(database).plan(INBOX)
    async with database.transaction() as reader:
        await reader.raw.fetch("SELECT FROM inbox")
        with pytest.raises(InTheWayError, match=f"{plan.old[0].partition.name} is worked on for longer than 0 s"):
            await purging(database, retry_seconds=0).drop(plan, plan.old[0])
        dropping = asyncio.create_task(purging(database).drop(plan, plan.old[0]))
        await asyncio.sleep(0)
    assert await dropping == []
    assert [each[1] for each in await purged(database)] == [old_month().partition_of("inbox")]


async def test_what_is_forgotten_is_the_oldest_and_the_rest_is_known_again(database: Database) -> None:
    old, young = old_month(), old_month().next
    await with_months(database, old, young)
    ids = [old.first_id, UUID(int=young.first_id.int - 1), young.first_id]
    async with database.transaction() as transaction:
        assert await PostgresInbox(transaction).first_time("consumer", ids) == set(ids)
    plan = await purging(database).plan(INBOX)
    await purging(database).drop(plan, plan.old[0])
    async with database.transaction() as transaction:
        assert await PostgresInbox(transaction).first_time("consumer", ids[1:]) == {ids[1]}


async def test_the_part_before_the_first_month_goes_like_a_month(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute("ALTER TABLE outbox_event DETACH PARTITION outbox_event_before")
        bound = old_month().next.begins_at.isoformat()
        await transaction.raw.execute(
            f"ALTER TABLE outbox_event ATTACH PARTITION outbox_event_before FOR VALUES FROM (MINVALUE) TO ('{bound}')"
        )
    plan = await purging(database).plan(OUTBOX)
    assert [each.partition.name for each in plan.old] == ["outbox_event_before"]
    assert await purging(database).drop(plan, plan.old[0]) == []
    await tell(database, month_of(SystemClock().now()), ["goes on"], sent=False)


async def test_a_table_without_a_policy_stays_whole(database: Database) -> None:
    await with_months(database, old_month())
    plan = await Purging(database, SystemClock(), {}).plan(OUTBOX)
    assert (plan.days, plan.old, len(plan.stays)) == (None, (), 5)


async def test_what_was_purged_is_written_down_for_good(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.raw.execute(
            "INSERT INTO purged_month (table_name, partition_name, until, kept_days, about_rows, bytes)"
            " VALUES ('t', 't_2026_01', $1, 1, 0, 0)",
            datetime(2026, 2, 1, tzinfo=UTC),
        )
    for statement in ("DELETE FROM purged_month", "UPDATE purged_month SET bytes = 1", "TRUNCATE purged_month"):
        with pytest.raises(Exception, match="append-only"):
            async with database.transaction() as transaction:
                await transaction.raw.execute(statement)
