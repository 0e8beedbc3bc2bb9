"""In which order the services' transactions took effect.

Settlement's order of entries is in the versions of its accounts, but held previews have no version, and nothing in
binding's tables says which of two authorizations came first. So while a history is played a trigger on the few tables
that a decision is written to notes each row with the transaction and the moment (in a schema of its own, gone
afterwards). Every transaction locks whatever it decides on before it writes such a row, and holds those locks until it
has committed: of two that decide on the same account, relation or settlement, the later one writes its last row after
the earlier one has committed. So the order of last rows is an order of commits, across both databases too, whose server
and clock are the same: an authorization is written before its settlement is decided, an outcome after. Only enrolments
are read as they are, unlocked: what is asked while one changes may have seen it before or after.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg

from gongji_local.stack import Stack

TABLES: Final = {
    "settlement": (
        "settlement",
        "quote",
        "account_change",
        "contribution",
        "reversal",
        "payout",
        "closed_refund",
        "person_fact",
    ),
    "binding": ("authorization_record", "relation", "person", "person_enrolment"),
}
_BEGIN: Final = """
CREATE SCHEMA history;
CREATE TABLE history.change (
    id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    tx     text        NOT NULL DEFAULT pg_current_xact_id()::text,
    what   text        NOT NULL,
    before jsonb,
    after  jsonb
);
CREATE FUNCTION history.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO history.change (what, before, after)
    VALUES (TG_TABLE_NAME, CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END,
            CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
    RETURN NULL;
END $$;
"""
_NOTE: Final = """
CREATE TRIGGER history AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION history.note()
"""
_FORGET: Final = "DROP TRIGGER IF EXISTS history ON {table}"
_END: Final = "DROP SCHEMA IF EXISTS history CASCADE"
_READ: Final = "SELECT id, at, tx, what, before, after FROM history.change ORDER BY id"
_ENTRIES: Final = """
SELECT settlement_id::text, entry_kind IN ('REFUND', 'PREMIUM_REFUND') AS back, min(id)
FROM entry WHERE settlement_id IS NOT NULL AND account_kind = 'PERSONAL' GROUP BY 1, 2
"""

Row = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """A row that was written."""

    what: str
    before: Row
    after: Row
    """Either is empty where there is none."""

    @property
    def row(self) -> Row:
        return self.after or self.before


@dataclass(frozen=True)
class Moment:
    """What one transaction did."""

    at: datetime
    service: str
    changes: Sequence[Change]


class Recorder:
    """Notes what both services write, from `begin` to `end`."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    async def begin(self) -> None:
        """Note everything from now on."""
        await self.end()
        for service, tables in TABLES.items():
            await self._execute(service, _BEGIN, *(_NOTE.format(table=table) for table in tables))

    async def end(self) -> None:
        """As if it had never been here."""
        for service, tables in TABLES.items():
            await self._execute(service, *(_FORGET.format(table=table) for table in tables), _END)

    async def _execute(self, service: str, *scripts: str) -> None:
        # Each table in a transaction of its own: whoever locks several at once may meet a service that does so, too.
        connection = await asyncpg.connect(self._stack.info.database_url(service))
        try:
            for script in scripts:
                await connection.execute(script)
        finally:
            await connection.close()

    async def moments(self) -> list[Moment]:
        """Everything that was noted, in the order of commits."""
        found = []
        for service in TABLES:
            connection = await asyncpg.connect(self._stack.info.database_url(service))
            try:
                found += _moments(service, await connection.fetch(_READ))
            finally:
                await connection.close()
        return sorted(found, key=lambda each: each.at)

    async def places(self) -> dict[tuple[str, bool], int]:
        """By settlement, and whether money came back: where in the ledger its first entry is."""
        connection = await asyncpg.connect(self._stack.info.database_url("settlement"))
        try:
            return {(row[0], row[1]): row[2] for row in await connection.fetch(_ENTRIES)}
        finally:
            await connection.close()


def _moments(service: str, rows: Iterable[asyncpg.Record]) -> list[Moment]:
    by_transaction: dict[str, list[asyncpg.Record]] = {}
    for row in rows:
        by_transaction.setdefault(row["tx"], []).append(row)
    return [
        Moment(
            max(row["at"] for row in of),
            service,
            [Change(row["what"], json.loads(row["before"] or "{}"), json.loads(row["after"] or "{}")) for row in of],
        )
        for of in by_transaction.values()
    ]
