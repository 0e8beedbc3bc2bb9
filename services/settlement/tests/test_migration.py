"""The schema guards what no code may break."""

from datetime import UTC, date, datetime

import asyncpg
import pytest

from kit.ids import uuid7

ENTRY = """
INSERT INTO entry (posting_id, account_kind, account_key, amount_fen, balance_after_fen, version, entry_kind,
                   settlement_id, posted_at, business_day)
SELECT $1, kind, kind, amount, balance, version, 'SETTLEMENT', $1, $2, $3
FROM unnest($4::text[], $5::bigint[], $6::bigint[], $7::bigint[]) AS e (kind, amount, balance, version)
"""


async def test_a_posting_that_does_not_sum_to_zero_is_refused(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        with pytest.raises(asyncpg.CheckViolationError, match="sum to zero"):
            await post(connection, [-100, 99])
        await post(connection, [-100, 100])
    finally:
        await connection.close()


@pytest.mark.parametrize("change", ["UPDATE entry SET amount_fen = 1", "DELETE FROM entry", "TRUNCATE entry"])
async def test_entries_are_neither_changed_nor_removed(database_url: str, change: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await post(connection, [-100, 100])
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never changed"):
            await connection.execute(change)
        assert await connection.fetchval("SELECT count(*) FROM entry") == 2
    finally:
        await connection.close()


async def post(connection: "asyncpg.Connection[asyncpg.Record]", amounts: list[int]) -> None:
    kinds = ["PERSONAL", "CLEARING"]
    await connection.execute(
        ENTRY, uuid7(), datetime(2025, 6, 10, tzinfo=UTC), date(2025, 6, 10), kinds, amounts, [0, None], [1, None]
    )
