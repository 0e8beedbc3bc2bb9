"""What a database holds sealed, to compare with what a service says of itself."""

import os
from collections.abc import Sequence
from typing import Final

from kit.crypto import Algorithm, KeyRing, RingKey
from kit.db import Database
from kit.reencrypt import SealedTable

_SEALED: Final = """
SELECT c.relname AS table_name,
       ARRAY(SELECT a.attname::text FROM pg_index AS i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (number, place)
             JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.number
             WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY k.place) AS key,
       array_agg(s.attname::text) AS columns
FROM pg_class AS c JOIN pg_attribute AS s ON s.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND s.attname LIKE '%\\_ct' AND NOT s.attisdropped
GROUP BY c.oid, c.relname
"""

Stated = dict[str, tuple[tuple[str, ...], frozenset[str]]]
"""Primary key and sealed columns by table."""


async def sealed_in(database: Database) -> Stated:
    """Every table with sealed columns, which are known by the end of their names."""
    async with database.transaction() as transaction:
        rows = await transaction.raw.fetch(_SEALED)
    return {row["table_name"]: (tuple(row["key"]), frozenset(row["columns"])) for row in rows}


def stated_by(tables: Sequence[SealedTable]) -> Stated:
    """What a service says."""
    return {table.name: (table.key, frozenset(table.contexts)) for table in tables}


async def empty_columns(database: Database, tables: Sequence[SealedTable]) -> set[str]:
    """The sealed columns in which no row has anything: of them a test would show nothing."""
    async with database.transaction() as transaction:
        return {
            f"{table.name}.{column}"
            for table in tables
            for column in table.contexts
            if not await transaction.raw.fetchval(f"SELECT count({column}) FROM {table.name}")  # noqa: S608 - our names
        }


def succeeding(ring: KeyRing, active: str = "next") -> KeyRing:
    """The ring with one more key, which is active."""
    key = RingKey(active, Algorithm.AES_256_GCM, os.urandom(Algorithm.AES_256_GCM.key_bytes))
    return KeyRing(active, {**ring._keys, active: key}, ring._blind_index_key)  # noqa: SLF001 - secrets have no other way out


def alone(ring: KeyRing) -> KeyRing:
    """The ring with its active key alone."""
    active = ring.active_key_id
    return KeyRing(active, {active: ring._keys[active]}, ring._blind_index_key)  # noqa: SLF001 - as above
