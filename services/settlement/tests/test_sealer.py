"""Sealing on PostgreSQL: only what is final, in one chain; and whatever is done to sealed entries is found."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime

import asyncpg
import pytest

from gongji.settlement.events.v1 import ledger_events_pb2
from kit.clock import FixedClock
from kit.db import Database, PostgresWork
from kit.ids import uuid7
from kit.testing import PATIENCE_SECONDS, patient_database
from settlement.audit import Result
from settlement.audit_seals import SealsAudit
from settlement.domain.seals import Block, SealAlgorithm
from settlement.seal_repository import FIELDS_OF_FORMAT_1, PostgresSealRepository
from settlement.sealer import Sealer

NOON = datetime(2025, 3, 10, 4, tzinfo=UTC)
CHAIN = "sealed entries are those that were sealed, in one chain"
HEADS = "the heads of sealed blocks are those that were published"
OPEN = """
SELECT count(*) FROM entry
WHERE tx >= pg_snapshot_xmin(pg_current_snapshot()) AND ($1::text IS NULL OR tx < $1::text::xid8)
"""
POST = """
INSERT INTO entry (posting_id, account_kind, account_key, amount_fen, balance_after_fen, version, entry_kind,
                   contribution_id, posted_at, business_day)
VALUES ($1, 'CONTRIBUTION', 'fund', -$2::bigint, NULL, NULL, 'CONTRIBUTION', $3, $4, $5),
       ($1, 'PERSONAL', 'father', $2::bigint, $2::bigint * $6, $6, 'CONTRIBUTION', $3, $4, $5)
"""


class Ledger:
    """Entries of contributions, two for each, and those who seal and audit them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.version = 0

    def sealer(self, algorithm: SealAlgorithm = SealAlgorithm.SHA_256, block_entries: int = 4) -> Sealer:
        return Sealer(PostgresWork(self.database, PostgresSealRepository), FixedClock(NOON), algorithm, block_entries)

    async def post(self, times: int = 1) -> None:
        for _ in range(times):
            async with self.database.transaction() as transaction:
                await self.post_in(transaction.raw)

    async def post_in(self, raw: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.version += 1
        await raw.execute(POST, uuid7(), 100, f"月 {self.version}", NOON, date(2025, 3, 10), self.version)

    async def all_is_final(self, below_tx: str | None = None) -> None:
        """Wait for others on this server, such as who copies a database: they, too, may be older than our entries."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self._count(OPEN, below_tx):
                pass

    async def _count(self, query: str, *arguments: object) -> int:
        async with self.database.transaction() as transaction:
            found: int = await transaction.raw.fetchval(query, *arguments)
        return found

    async def seal(self, algorithm: SealAlgorithm = SealAlgorithm.SHA_256, block_entries: int = 4) -> list[int]:
        """How many entries each new block has."""
        await self.all_is_final()
        return await self.seal_at_once(algorithm, block_entries)

    async def seal_at_once(self, algorithm: SealAlgorithm = SealAlgorithm.SHA_256, block_entries: int = 4) -> list[int]:
        """The same without waiting for others."""
        sealer, sealed = self.sealer(algorithm, block_entries), list[int]()
        while entries := await sealer.batch():
            sealed.append(entries)
        return sealed

    async def blocks(self) -> list[Block]:
        async with self.database.transaction() as transaction:
            return await PostgresSealRepository(transaction).behind(0, 100)

    async def published(self) -> list[ledger_events_pb2.EntriesSealed]:
        async with self.database.transaction() as transaction:
            rows = await transaction.raw.fetch("SELECT payload FROM outbox_event ORDER BY id")
        return [ledger_events_pb2.EntriesSealed.FromString(row["payload"]) for row in rows]

    async def findings_after(self, *statements: str) -> Mapping[str, tuple[str, ...]]:
        """What the audit finds when somebody who owns the tables has done this; it is undone afterwards."""
        async with self.database.shared() as transaction:
            inside = transaction.raw.transaction()
            await inside.start()
            for statement in (
                "ALTER TABLE entry DISABLE TRIGGER USER",
                "ALTER TABLE entry_block DISABLE TRIGGER USER",
                *statements,
            ):
                await transaction.raw.execute(statement)
            found = await findings(self.database)
            await inside.rollback()
        return found


async def findings(database: Database) -> Mapping[str, tuple[str, ...]]:
    audit, watched = SealsAudit(database), list[Result]()
    results = [await check(watched.append) for check in (audit.chain, audit.heads, audit.waiting)]
    return {result.name: result.findings for result in results if result.found}


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    database = patient_database(database_url)
    await database.connect()
    yield Ledger(database)
    await database.close()


async def test_entries_are_sealed_in_blocks_and_each_head_is_published(ledger: Ledger) -> None:
    assert await ledger.seal() == []
    await ledger.post(5)
    assert await ledger.seal() == [4, 4, 2]
    await ledger.post()
    assert await ledger.seal() == [2]
    assert await ledger.seal() == []
    blocks, heads = await ledger.blocks(), await ledger.published()
    assert [block.number for block in blocks] == [1, 2, 3, 4]
    assert [(head.sequence, head.hash, head.previous_hash) for head in heads] == [
        (block.number, block.hash, block.previous_hash) for block in blocks
    ]
    assert [(head.entries, head.algorithm) for head in heads] == [
        (4, "SHA-256"),
        (4, "SHA-256"),
        (2, "SHA-256"),
        (2, "SHA-256"),
    ]
    assert await findings(ledger.database) == {}


async def test_the_algorithm_may_change_between_blocks(ledger: Ledger) -> None:
    await ledger.post(2)
    await ledger.seal(SealAlgorithm.SM3)
    await ledger.post(2)
    await ledger.seal(SealAlgorithm.SHA_256)
    assert [block.algorithm for block in await ledger.blocks()] == [SealAlgorithm.SM3, SealAlgorithm.SHA_256]
    assert await findings(ledger.database) == {}


async def test_what_a_running_transaction_may_come_before_is_not_sealed(ledger: Ledger, database_url: str) -> None:
    slow = await asyncpg.connect(database_url)
    try:
        await ledger.post()
        under_way = slow.transaction()
        await under_way.start()
        await ledger.post_in(slow)
        await ledger.post(2)
        await ledger.all_is_final(await slow.fetchval("SELECT pg_current_xact_id()::text"))
        assert await ledger.seal_at_once(block_entries=100) == [2]
        await under_way.commit()
        assert await ledger.seal(block_entries=100) == [6]
    finally:
        await slow.close()
    assert await findings(ledger.database) == {}


async def test_a_transaction_that_is_rolled_back_leaves_no_gap_in_the_chain(ledger: Ledger, database_url: str) -> None:
    slow = await asyncpg.connect(database_url)
    try:
        under_way = slow.transaction()
        await under_way.start()
        await ledger.post_in(slow)
        await ledger.post(2)
        assert await ledger.seal_at_once() == []
        await under_way.rollback()
    finally:
        await slow.close()
    assert await ledger.seal() == [4]
    assert await findings(ledger.database) == {}


async def test_of_two_sealers_at_once_one_seals_and_nothing_is_sealed_twice(ledger: Ledger) -> None:
    await ledger.post(20)
    await ledger.all_is_final()
    while any(await asyncio.gather(*(ledger.sealer(block_entries=2).batch() for _ in range(4)))):
        pass
    await ledger.seal()
    assert [block.entries for block in await ledger.blocks()] == [2] * 20
    assert len(await ledger.published()) == 20
    assert await findings(ledger.database) == {}


async def test_a_second_sealer_leaves_while_another_is_at_it(ledger: Ledger) -> None:
    await ledger.post()
    await ledger.all_is_final()
    async with PostgresWork(ledger.database, PostgresSealRepository)() as repository:
        assert await repository.is_alone()
        assert await ledger.sealer().batch() == 0
    assert await ledger.sealer().batch() == 2


async def test_sealed_blocks_are_neither_changed_nor_removed(ledger: Ledger) -> None:
    await ledger.post()
    await ledger.seal()
    for change in ("UPDATE entry_block SET entries = 1", "DELETE FROM entry_block", "TRUNCATE entry_block"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never changed"):
            async with ledger.database.transaction() as transaction:
                await transaction.raw.execute(change)


CHANGED = [
    "tx = '0'",
    "tx = (SELECT max(last_tx::text)::xid8 FROM entry_block)",
    "posting_id = gen_random_uuid()",
    "account_kind = 'CLEARING', balance_after_fen = NULL, version = NULL",
    "account_key = 'mother'",
    "amount_fen = amount_fen + 1",
    "balance_after_fen = balance_after_fen + 1",
    "version = 77",
    "contribution_id = '月 9'",
    "patient_psn_no = ''",
    "fixmedins_code = ''",
    "posted_at = posted_at + interval '1 microsecond'",
    "business_day = business_day + 1",
    "created_at = created_at + interval '1 microsecond'",
]
CHANGE = "UPDATE entry SET {} WHERE id = 6"
REMOVE = "DELETE FROM entry WHERE id {}"
A_COPY = """
INSERT INTO entry (posting_id, account_kind, account_key, amount_fen, entry_kind, contribution_id, posted_at,
                   business_day, tx)
SELECT posting_id, account_kind, account_key, amount_fen, entry_kind, contribution_id, posted_at, business_day, {tx}
FROM entry WHERE id = 5
"""


async def test_a_changed_removed_or_inserted_entry_is_found(ledger: Ledger) -> None:
    await ledger.post(6)
    await ledger.seal()
    changes = [CHANGE.format(change) for change in CHANGED]
    removals = [REMOVE.format(which) for which in ("= 1", "= 6", "= 12", "BETWEEN 5 AND 8", "> 0")]
    insertions = [A_COPY.format(tx=tx) for tx in ("tx", "'0'")]
    swap = "UPDATE entry SET amount_fen = -amount_fen, account_key = 'father' WHERE id IN (5, 6)"
    statements = (*changes, *removals, *insertions, swap)
    unnoticed = [statement for statement in statements if CHAIN not in await ledger.findings_after(statement)]
    assert unnoticed == []
    assert await ledger.findings_after() == {}


async def test_every_field_of_an_entry_is_sealed(ledger: Ledger) -> None:
    async with ledger.database.transaction() as transaction:
        columns = await transaction.raw.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'entry'::regclass AND attnum > 0 AND NOT attisdropped"
        )
    assert {row["attname"] for row in columns} == set(FIELDS_OF_FORMAT_1)


async def test_a_finding_names_the_block(ledger: Ledger) -> None:
    await ledger.post(6)
    await ledger.seal()
    found = await ledger.findings_after("UPDATE entry SET amount_fen = 99 WHERE id = 6")
    assert found[CHAIN] == ("block 2, up to entry 8: an entry is not as it was sealed",)
    found = await ledger.findings_after("DELETE FROM entry WHERE id = 12")
    assert found[CHAIN] == ("block 3, up to entry 12: 4 entries were sealed, there are 3",)


TAMPERED_BLOCKS = [
    ("UPDATE entry_block SET hash = sha256('x') WHERE number = 2", CHAIN),
    ("UPDATE entry_block SET hash = sha256('x') WHERE number = 3", CHAIN),
    ("UPDATE entry_block SET previous_hash = sha256('x') WHERE number = 1", CHAIN),
    ("UPDATE entry_block SET algorithm = 'SM3' WHERE number = 2", CHAIN),
    ("UPDATE entry_block SET entries = 3 WHERE number = 2", CHAIN),
    ("UPDATE entry_block SET format = 2 WHERE number = 2", CHAIN),
    ("UPDATE entry_block SET last_entry_id = 7 WHERE number = 2", CHAIN),
    ("DELETE FROM entry_block WHERE number = 2", CHAIN),
    ("DELETE FROM entry_block WHERE number = 1", CHAIN),
    ("DELETE FROM entry_block WHERE number = 3", HEADS),
    ("DELETE FROM entry_block", HEADS),
    ("DELETE FROM outbox_event WHERE sequence = 3", HEADS),
    ("DELETE FROM outbox_event WHERE sequence = 2", HEADS),
    ("DELETE FROM outbox_event WHERE sequence = 1", HEADS),
    ("DELETE FROM outbox_event", HEADS),
]


async def test_a_block_that_is_not_what_was_sealed_and_published_is_found(ledger: Ledger) -> None:
    await ledger.post(6)
    await ledger.seal()
    unnoticed = [statement for statement, name in TAMPERED_BLOCKS if name not in await ledger.findings_after(statement)]
    assert unnoticed == []


async def test_a_chain_that_was_made_anew_over_other_entries_is_found_by_what_was_published(ledger: Ledger) -> None:
    await ledger.post(6)
    await ledger.seal()
    async with ledger.database.transaction() as transaction:
        for statement in (
            "ALTER TABLE entry DISABLE TRIGGER USER",
            "ALTER TABLE entry_block DISABLE TRIGGER USER",
            "UPDATE entry SET amount_fen = 99 WHERE id = 6",
            "DELETE FROM entry_block WHERE number > 1",
            "CREATE TABLE told AS SELECT id FROM outbox_event",
        ):
            await transaction.raw.execute(statement)
    await ledger.seal()
    found = await ledger.findings_after("DELETE FROM outbox_event WHERE id NOT IN (SELECT id FROM told)")
    assert CHAIN not in found
    assert found[HEADS] == (
        "block 2 has another hash than was published",
        "block 3 has another hash than was published",
    )


async def test_heads_that_policy_has_dropped_are_not_missed(ledger: Ledger) -> None:
    await ledger.post(6)
    await ledger.seal()
    found = await ledger.findings_after(
        "INSERT INTO purged_month (table_name, partition_name, until, kept_days, about_rows, bytes)"
        " VALUES ('outbox_event', 'outbox_event_before', now(), 190, 3, 8192)",
        "DELETE FROM outbox_event WHERE sequence <= 2",
    )
    assert found == {}


async def test_an_entry_that_waits_for_an_hour_to_be_sealed_is_found(ledger: Ledger) -> None:
    await ledger.post()
    assert await ledger.findings_after() == {}
    found = await ledger.findings_after("UPDATE entry SET created_at = created_at - interval '3601 s' WHERE id = 1")
    assert list(found) == ["no entry waits for an hour to be sealed"]


async def test_entries_from_before_there_was_a_chain_are_sealed_first(ledger: Ledger) -> None:
    await ledger.post(3)
    async with ledger.database.transaction() as transaction:
        await transaction.raw.execute("ALTER TABLE entry DISABLE TRIGGER USER")
        await transaction.raw.execute("UPDATE entry SET tx = '0'")
        await transaction.raw.execute("ALTER TABLE entry ENABLE TRIGGER USER")
    await ledger.post(1)
    assert await ledger.seal(block_entries=5) == [5, 3]
    assert await findings(ledger.database) == {}
