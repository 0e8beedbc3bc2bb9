"""The ledger by months: what one table guarded is guarded in every month, and across their turns."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gongji_local.templates import migrations_before
from kit.clock import FixedClock, shanghai_date
from kit.db import Database, PostgresWork, Work
from kit.ids import uuid7
from kit.migrate import apply
from kit.month_sql import make_sql
from kit.months import Month, month_of_partition
from settlement.audit import Report, audit
from settlement.audit_seals import SealsAudit
from settlement.domain.accounts import Account, AccountState
from settlement.domain.ledger import (
    EntryKind,
    MovedAccountError,
    Occasion,
    Posting,
    contribution_posting,
    post,
    settlement_posting,
)
from settlement.domain.seals import SealAlgorithm
from settlement.domain.statements import Period
from settlement.entry_months import ENTRY
from settlement.seal_repository import PLAIN, SEALED, PostgresSealRepository
from settlement.sealer import Sealer
from settlement.statement_repository import (
    LINES,
    PostgresStatementRepository,
    StatementRepository,
    bounds_in_days_and_times,
)

MIGRATIONS = Path(__file__).parents[1] / "migrations"
CUT = "0024"
"""The migration from which on the ledger is cut."""
TURN = Month(2030, 2)
"""Months of which none is made beforehand."""
MIDNIGHT = TURN.begins_at
NOON = MIDNIGHT + timedelta(hours=12)
MICROSECOND = timedelta(microseconds=1)
PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'entry'::regclass ORDER BY 1"
PLACES = "SELECT DISTINCT tableoid::regclass::text FROM entry ORDER BY 1"
UNSEALED = "SELECT (SELECT count(*) FROM entry) - coalesce(sum(entries), 0)::bigint FROM entry_block"
GUARDS = """
SELECT tgname FROM pg_trigger WHERE tgrelid = $1::text::regclass AND NOT tgisinternal AND tgenabled <> 'D' ORDER BY 1
"""
# As the version before states them, word for word.
POST_OF_BEFORE = """
WITH changed AS (
    UPDATE account AS a
    SET state = n.state, balance_fen = n.balance_fen, version = n.version, updated_at = clock_timestamp()
    FROM unnest($2::new_standing[]) AS n WHERE a.psn_no = n.psn_no
)

INSERT INTO entry (posting_id, account_kind, account_key, amount_fen, balance_after_fen, version, entry_kind,
    settlement_id, contribution_id, patient_psn_no, fixmedins_code, posted_at, business_day)
SELECT posting_id, account_kind, account_key, amount_fen, balance_after_fen, version, entry_kind,
    settlement_id, contribution_id, patient_psn_no, fixmedins_code, posted_at, business_day
FROM unnest($1::new_entry[]) WITH ORDINALITY AS e (posting_id, account_kind, account_key, amount_fen,
    balance_after_fen, version, entry_kind, settlement_id, contribution_id, patient_psn_no, fixmedins_code,
    posted_at, business_day, place) ORDER BY place
"""
STATEMENT_OF_BEFORE = """
SELECT version, amount_fen FROM entry
WHERE account_kind = 'PERSONAL' AND account_key = $1 AND ($2::bigint IS NULL OR version < $2)
ORDER BY version DESC LIMIT $3
"""
BY_HAND = """
INSERT INTO entry (posting_id, account_kind, account_key, amount_fen, balance_after_fen, version, entry_kind,
                   contribution_id, posted_at, business_day)
VALUES ($1, 'CONTRIBUTION', 'fund', -5, NULL, NULL, 'CONTRIBUTION', $2, $3, ($3 AT TIME ZONE 'Asia/Shanghai')::date),
       ($1, 'PERSONAL', 'father', 5, 5, $4, 'CONTRIBUTION', $2, $3, ($3 AT TIME ZONE 'Asia/Shanghai')::date)
"""

MANY = """
INSERT INTO entry (posting_id, account_kind, account_key, amount_fen, balance_after_fen, version, entry_kind,
                   contribution_id, posted_at, business_day)
SELECT md5(v || '.' || a)::uuid, kind, CASE kind WHEN 'PERSONAL' THEN a::text ELSE 'fund' END,
       CASE kind WHEN 'PERSONAL' THEN 1 ELSE -1 END, CASE kind WHEN 'PERSONAL' THEN v END,
       CASE kind WHEN 'PERSONAL' THEN v END, 'CONTRIBUTION', v || '.' || a, at, (at AT TIME ZONE 'Asia/Shanghai')::date
FROM generate_series($2::int, $3::int) AS v, generate_series(1, 150) AS a,
     unnest(ARRAY['PERSONAL', 'CONTRIBUTION']) AS kind,
     LATERAL (SELECT $1::timestamptz + make_interval(months => v) AS at) AS t
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """With February and March 2030 made, and nothing between them and what is made at first."""
    database = Database(database_url, pool_size=3)
    await make(database, TURN.later(-1), TURN)
    yield database
    await database.close()


@pytest.fixture
def work(database: Database) -> Work[StatementRepository]:
    return PostgresWork(database, PostgresStatementRepository)


async def make(database: Database, *months: Month) -> None:
    async with database.transaction() as transaction:
        for month in months:
            await transaction.raw.execute(make_sql(ENTRY, month, move=True))


async def fetch(database: Database, query: str, *arguments: object) -> list[Any]:
    async with database.transaction() as transaction:
        return [row[0] if len(row) == 1 else tuple(row) for row in await transaction.raw.fetch(query, *arguments)]


def came(at: datetime, amount_fen: int, psn_no: str = "father") -> Posting:
    occasion = Occasion(EntryKind.CONTRIBUTION, at, shanghai_date(at), contribution_id=str(uuid7()))
    return contribution_posting(uuid7(), occasion, psn_no, amount_fen)


def went(at: datetime, amount_fen: int, psn_no: str = "father") -> Posting:
    occasion = Occasion(EntryKind.SETTLEMENT, at, shanghai_date(at), uuid7(), None, "child", "H65270100001")
    return settlement_posting(uuid7(), occasion, psn_no, amount_fen)


async def write(work: Work[StatementRepository], *postings: Posting, psn_no: str = "father") -> Account:
    """Post them one after the other, in one unit of work; the account after them."""
    async with work() as repository:
        await repository.add(Account(psn_no, AccountState.OPEN, 0, 0, 0))
        (account,) = await repository.lock([psn_no])
        posted = post(postings, {psn_no: account.standing})
        after = account.after(posted.standings[psn_no])
        await repository.post(posted.rows, [after])
    return after


async def found(database: Database) -> dict[str, Sequence[str]]:
    """What the audit finds of accounts, postings and seals; events and contributions are no matter here."""
    report: Report = await audit(database, 30.0, further=[SealsAudit(database).chain])
    passed = ("every version of an account", "every contribution", "every entry and line of a settlement")
    return {each.name: each.findings for each in report.results if each.found and not each.name.startswith(passed)}


async def seal(database: Database) -> None:
    """All that there is; whoever else is on this server, such as who copies a database, may keep it waiting."""
    sealer = Sealer(PostgresWork(database, PostgresSealRepository), FixedClock(NOON), SealAlgorithm.SM3, 3)
    async with asyncio.timeout(20):
        while await fetch(database, UNSEALED) != [0]:
            await sealer.batch()


async def test_every_month_has_the_guards_of_the_whole(database: Database) -> None:
    partitions = await fetch(database, PARTITIONS)
    assert {"entry_before", "entry_rest", "entry_2030_01", "entry_2030_02"} < set(partitions)
    for table in ("entry", *partitions):
        assert await fetch(database, GUARDS, table) == ["entry_is_forever", "posting_sums_to_zero"], table


@pytest.mark.parametrize("change", ["UPDATE {} SET amount_fen = 1", "DELETE FROM {}", "TRUNCATE {}"])
async def test_no_partition_lets_its_entries_be_changed_or_removed(
    database: Database, work: Work[StatementRepository], change: str
) -> None:
    await write(
        work, came(datetime(2025, 3, 10, tzinfo=UTC), 50), came(NOON, 50), came(datetime(2040, 1, 1, tzinfo=UTC), 9)
    )
    assert await fetch(database, PLACES) == ["entry_2030_02", "entry_before", "entry_rest"]
    for table in ("entry", *await fetch(database, PARTITIONS)):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never changed"):
            await fetch(database, change.format(table))
    assert await fetch(database, "SELECT count(*) FROM entry") == [6]


async def test_no_partition_takes_a_posting_that_does_not_sum_to_zero(database: Database) -> None:
    for table in ("entry", *await fetch(database, PARTITIONS)):
        at = middle_of(table)
        unequal = BY_HAND.replace("INTO entry", f"INTO {table}").replace("'fund', -5", "'fund', -4")
        with pytest.raises(asyncpg.CheckViolationError, match="sum to zero"):
            await fetch(database, unequal, uuid7(), "c", at, 1)


def middle_of(table: str) -> datetime:
    """A time that is in this partition."""
    month = month_of_partition(table) or (Month(2040, 1) if table == "entry_rest" else Month(2025, 1))
    return month.begins_at + timedelta(days=15)


async def test_the_turn_of_a_month_is_midnight_in_shanghai_and_nobody_else_sees_it(
    database: Database, work: Work[StatementRepository]
) -> None:
    last, first = MIDNIGHT - MICROSECOND, MIDNIGHT
    after = await write(work, came(last, 900), went(last, 100), came(first, 30), went(first, 700))
    places = "SELECT tableoid::regclass::text, count(*) FROM entry GROUP BY 1 ORDER BY 1"
    assert await fetch(database, places) == [("entry_2030_01", 4), ("entry_2030_02", 4)]
    assert (after.balance_fen, after.version) == (130, 4)
    async with work() as repository:
        assert [line.version for line in await repository.statement("father", None, 10)] == [4, 3, 2, 1]
        assert [line.version for line in await repository.statement("father", 4, 2)] == [3, 2]
        february = Period(shanghai_date(first), shanghai_date(first) + timedelta(days=27))
        summary = await repository.summary("father", february)
        assert (summary.opening_fen, summary.came_in_fen, summary.went_out_fen) == (800, 30, 700)
        january = Period(shanghai_date(last), shanghai_date(last))
        assert [line.version for line in await repository.lines("father", january, 0, 10)] == [1, 2]
        both = Period(shanghai_date(last), shanghai_date(first))
        assert [line.version for line in await repository.lines("father", both, 1, 2)] == [2, 3]
    await seal(database)
    assert await found(database) == {}


async def test_two_who_post_on_an_account_without_its_lock_at_the_turn_of_a_month_do_not_both_succeed(
    database: Database, work: Work[StatementRepository]
) -> None:
    account = await write(work, came(MIDNIGHT - timedelta(days=1), 100))

    async def unlocked(*at: datetime) -> None:
        posted = post([went(each, 10) for each in at], {"father": account.standing})
        async with work() as repository:
            await repository.post(posted.rows, [account.after(posted.standings["father"])])

    outcomes = await asyncio.gather(
        unlocked(MIDNIGHT - MICROSECOND), unlocked(MIDNIGHT), unlocked(MIDNIGHT, MIDNIGHT), return_exceptions=True
    )
    assert [type(each) for each in outcomes if each] == [MovedAccountError, MovedAccountError]
    assert outcomes.count(None) == 1
    assert await found(database) == {}


@pytest.mark.parametrize("at", [MIDNIGHT - MICROSECOND, MIDNIGHT])
async def test_a_version_that_an_account_has_twice_is_refused_in_a_month_and_found_across_months(
    database: Database, work: Work[StatementRepository], at: datetime
) -> None:
    await write(work, came(MIDNIGHT, 100), came(MIDNIGHT, 5))
    if at >= MIDNIGHT:
        with pytest.raises(asyncpg.UniqueViolationError):
            await fetch(database, BY_HAND, uuid7(), "twice", at, 2)
        return
    await fetch(database, BY_HAND, uuid7(), "twice", at, 2)
    assert (await found(database))["balances follow from entry to entry, versions without a gap"] == (
        "father: version 2 follows 2",
    )


async def test_what_found_no_month_moves_into_it_as_it_was_sealed(
    database: Database, work: Work[StatementRepository]
) -> None:
    month = TURN.later(1)
    await write(work, came(NOON, 900), went(month.begins_at, 100), went(month.next.begins_at, 7))
    await seal(database)
    was = await fetch(database, "SELECT e::text FROM entry AS e ORDER BY id")
    assert await fetch(database, PLACES) == ["entry_2030_02", "entry_rest"]
    await make(database, month)
    assert await fetch(database, PLACES) == ["entry_2030_02", "entry_2030_03", "entry_rest"]
    assert await fetch(database, "SELECT e::text FROM entry AS e ORDER BY id") == was
    assert await fetch(database, GUARDS, "entry_rest") == ["entry_is_forever", "posting_sums_to_zero"]
    await write(work, went(month.begins_at, 1), went(month.next.begins_at, 1))
    await seal(database)
    assert await found(database) == {}


async def test_a_day_that_is_not_the_shanghai_day_of_an_entrys_time_is_found(database: Database) -> None:
    await fetch(database, BY_HAND.replace("Asia/Shanghai", "UTC"), uuid7(), "c", MIDNIGHT, 1)
    assert (await found(database))["an entry counts on the Shanghai day of its time"] == (
        "1: posted on 2030-02-01, counted on 2030-01-31",
        "2: posted on 2030-02-01, counted on 2030-01-31",
    )


async def test_only_the_months_of_a_statement_are_read(database: Database, work: Work[StatementRepository]) -> None:
    await make(database, *(TURN.later(ahead) for ahead in range(1, 36)))
    for months in range(0, 36, 5):
        await write(work, came(TURN.later(months).begins_at, 100 + months))
    middle = TURN.later(10)
    day = shanghai_date(middle.begins_at)
    bounds = bounds_in_days_and_times(Period(day, day + timedelta(days=27)))
    (plan,) = await fetch(database, f"EXPLAIN (ANALYZE, FORMAT JSON) {LINES}", "father", *bounds, 0, 10)
    assert relations(plan) == {middle.partition_of("entry")}
    async with work() as repository:
        assert [line.amount_fen for line in await repository.statement("father", None, 3)] == [135, 130, 125]
        summary = await repository.summary("father", Period(day, day + timedelta(days=30)))
        assert (summary.opening_fen, summary.came_in_fen, summary.entry_count) == (205, 110, 1)


async def test_a_block_is_read_by_the_indexes_of_the_months_however_much_is_behind_it(database: Database) -> None:
    await make(database, *(TURN.later(ahead) for ahead in range(1, 36)))
    async with database.transaction() as transaction:
        await transaction.raw.execute(MANY, MIDNIGHT, 31, 34)
        await transaction.raw.execute("ANALYZE entry")
    async with database.transaction() as transaction:
        await transaction.raw.execute(MANY, MIDNIGHT, 1, 30)  # since the planner looked
        of_these = "SELECT tx::text, min(id) FROM entry WHERE tx = pg_current_xact_id() GROUP BY 1"
        ((tx, first),) = await transaction.raw.fetch(of_these)
        await transaction.raw.execute(PLAIN)
        ((plan,),) = await transaction.raw.fetch(f"EXPLAIN (FORMAT JSON) {SEALED}", tx, first, 1001, tx, first + 1000)
    (behind,) = [each for each in nodes(plan) if each.get("Subplan Name") == "CTE behind"]
    kinds = {each["Node Type"] for each in nodes(behind)}
    assert "Merge Append" in kinds
    assert not kinds & {"Sort", "Incremental Sort"}


def nodes(plan: Any) -> Iterator[dict[str, Any]]:
    """Each step of a plan."""
    for each in plan if isinstance(plan, list) else [plan]:
        if "Node Type" in each:
            yield each
        yield from nodes([*each.get("Plans", ()), *([each["Plan"]] if "Plan" in each else ())])


def relations(plan: Any) -> set[str]:
    """The tables that a plan went to."""
    return {each["Relation Name"] for each in nodes(plan) if each["Actual Loops"] and "Relation Name" in each}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(-90, 90), st.integers(0, 86_399), st.integers(1, 500), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
async def test_whenever_entries_are_posted_balances_and_sums_are_those_of_one_table(
    database: Database, work: Work[StatementRepository], moves: list[tuple[int, int, int, bool]]
) -> None:
    psn_no, balance_fen, postings = str(uuid7()), 0, list[Posting]()
    for days, seconds, amount_fen, goes in sorted(moves):
        at = MIDNIGHT + timedelta(days=days, seconds=seconds)
        is_paid = goes and amount_fen <= balance_fen
        postings.append((went if is_paid else came)(at, amount_fen, psn_no))
        balance_fen += -amount_fen if is_paid else amount_fen
    after = await write(work, *postings, psn_no=psn_no)
    assert (after.balance_fen, after.version) == (balance_fen, len(moves))
    assert await fetch(database, "SELECT sum(amount_fen)::bigint FROM entry") == [0]
    of_account = "SELECT sum(amount_fen)::bigint, max(version), count(*) FROM entry WHERE account_key = $1"
    assert await fetch(database, of_account, psn_no) == [(balance_fen, len(moves), len(moves))]
    async with work() as repository:
        whole = await repository.summary(
            psn_no, Period(shanghai_date(MIDNIGHT - timedelta(91)), shanghai_date(MIDNIGHT + timedelta(92)))
        )
        assert (whole.came_in_fen - whole.went_out_fen, whole.entry_count) == (balance_fen, len(moves))


# The version before, and the schema that comes.


@pytest.fixture
async def before(empty_database_url: str, tmp_path: Path) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection of the version before, to a database that is not migrated yet and has an account."""
    await apply(empty_database_url, migrations_before(MIGRATIONS, CUT, tmp_path))
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("INSERT INTO account (psn_no, balance_fen, version) VALUES ('father', 0, 0)")
    yield connection
    await connection.close()


async def post_as_before(connection: Any, version: int, at: datetime = datetime(2025, 6, 10, tzinfo=UTC)) -> None:
    posting_id, balance_fen = uuid7(), version * 5
    rows = [
        _row(posting_id, at, ("CONTRIBUTION", "310", -5, None, None)),
        _row(posting_id, at, ("PERSONAL", "father", 5, balance_fen, version)),
    ]
    await connection.execute(POST_OF_BEFORE, rows, [("father", "OPEN", balance_fen, version)])


def _row(posting_id: UUID, at: datetime, side: tuple[object, ...]) -> tuple[object, ...]:
    return (posting_id, *side, "CONTRIBUTION", None, f"c-{posting_id}", None, None, at, shanghai_date(at))


async def test_the_version_before_posts_and_reads_while_the_ledger_is_cut_and_after(
    before: Any, empty_database_url: str
) -> None:
    await post_as_before(before, 1)
    others = await before.fetch("SELECT indexrelid FROM pg_index WHERE indrelid = 'entry'::regclass ORDER BY 1")
    ended, versions = asyncio.Event(), [1]

    async def go_on() -> None:
        while not ended.is_set():
            versions.append(versions[-1] + 1)
            await post_as_before(before, versions[-1])
            await asyncio.sleep(0)

    writer = asyncio.create_task(go_on())
    assert await apply(empty_database_url, MIGRATIONS)
    ended.set()
    await writer
    await post_as_before(before, versions[-1] + 1, NOON)
    lines = await before.fetch(STATEMENT_OF_BEFORE, "father", None, 10_000)
    assert [line["version"] for line in lines] == list(range(versions[-1] + 1, 0, -1))
    ids = [row["id"] for row in await before.fetch("SELECT id FROM entry ORDER BY id")]
    assert len(set(ids)) == len(ids) == 2 * len(lines)
    with pytest.raises(asyncpg.UniqueViolationError):
        await post_as_before(before, versions[-1])
    kept = await before.fetch("SELECT indexrelid FROM pg_index WHERE indrelid = 'entry_before'::regclass ORDER BY 1")
    assert kept == others
    rest = await before.fetchval("SELECT tableoid::regclass::text FROM entry WHERE version = $1", versions[-1] + 1)
    assert rest == "entry_rest"


async def test_what_is_before_and_after_the_cut_is_one_chain_and_one_ledger(
    before: Any, empty_database_url: str
) -> None:
    database = Database(empty_database_url, pool_size=3)
    try:
        for version in range(1, 6):
            await post_as_before(before, version)
        await seal(database)
        assert await apply(empty_database_url, MIGRATIONS)
        work = PostgresWork(database, PostgresStatementRepository)
        await make(database, TURN)
        after = await write(work, went(datetime(2025, 6, 11, tzinfo=UTC), 7), went(NOON, 8))
        assert (after.balance_fen, after.version) == (10, 7)
        await seal(database)
        assert await found(database) == {}
        assert await fetch(database, "SELECT array_agg(id ORDER BY id) FROM entry") == [list(range(1, 15))]
        assert await apply(empty_database_url, MIGRATIONS) == []
    finally:
        await database.close()
