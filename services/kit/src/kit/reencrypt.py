"""Moving every sealed row to the ring's active key, beside running services, so that an old key may be taken out.

A ciphertext names the key that wraps it, so what is left under another key is counted by the database without opening
anything. What is being changed by somebody else is passed over, and looked at again in the next round.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from kit.backfill import BATCH, Columns, Row, backfill, begin_again, never
from kit.crypto import CryptoError, KeyRing, key_id_of
from kit.db import Database
from kit.failures import OperatorError

Context = Callable[[Mapping[str, Any]], bytes]
"""What a ciphertext is bound to, of its row: the key's columns and those beside."""

ROUNDS: Final = 3
NAMED: Final = 10
"""So many rows that cannot be opened are named; of the others the number."""
COUNT_SECONDS: Final = 3600.0

# Version, algorithm, length of the id, id: see `kit.crypto`.
_KEY_ID: Final = "CASE WHEN length({column}) > 3 THEN substring({column} FROM 4 FOR get_byte({column}, 2)) END"
_COUNT: Final = "SELECT {key_id} AS key_id, count(*) FROM {table} WHERE {column} IS NOT NULL GROUP BY 1"


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A table with ciphertexts of the service's ring."""

    name: str
    key: tuple[str, ...]
    """The primary key, in its order."""
    contexts: Mapping[str, Context]
    """How the context of each sealed column is made."""
    beside: tuple[str, ...] = ()
    """Further columns that contexts are made of."""
    batch: int = BATCH
    """So many rows are changed at once at most; few where they are large."""

    @property
    def columns(self) -> Columns:
        """What is read and written."""
        return Columns(self.name, self.key, tuple(self.contexts), self.beside)


class UnsealedError(OperatorError):
    """Some rows are not under the active key; the text names them or says what to do."""


@dataclass(slots=True)
class Resealing:
    """The change of one table's rows, and what it could not open."""

    table: SealedTable
    ring: KeyRing
    unopened: int = 0
    named: list[str] = field(default_factory=list)

    def __call__(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows that were not under the active key, under it."""
        resealed = ((row, self._resealed(row)) for row in rows)
        return [new for row, new in resealed if new != row]

    def _resealed(self, row: Row) -> Row:
        table = self.table
        values = dict(zip((*table.key, *table.contexts, *table.beside), row, strict=True))
        try:
            for column, context in table.contexts.items():
                values[column] = self._moved(values[column], context, values)
        except CryptoError as error:
            self._note(values, error)
            return row
        return tuple(values.values())

    def _moved(self, ciphertext: bytes | None, context: Context, values: Mapping[str, Any]) -> bytes | None:
        if ciphertext is None or key_id_of(ciphertext) == self.ring.active_key_id:
            return ciphertext
        return self.ring.reencrypt(ciphertext, context(values))

    def _note(self, values: Mapping[str, Any], error: CryptoError) -> None:
        self.unopened += 1
        if len(self.named) < NAMED:
            place = ", ".join(f"{each} {values[each]}" for each in self.table.key)
            self.named.append(f"{self.table.name} ({place}): {error}")


@dataclass(frozen=True, slots=True)
class Pace:
    """How the command goes about it."""

    batch: int = BATCH
    """Rows of one transaction, at most."""
    tell: Callable[[str], None] = lambda _line: None
    """Given a line every other second, and one for each table."""
    stop: Callable[[], bool] = never
    """Asked before each batch."""


async def reencrypt(database: Database, tables: Sequence[SealedTable], ring: KeyRing, pace: Pace) -> None:
    """Move every row to the active key; whatever ends it, the next run goes on behind the last batch.

    Run it once all processes seal with that key: what is written under an old one behind its back is found by the count
    at the end and moved in another round, and after that is told.

    Raises:
        UnsealedError: rows are left that cannot be opened, that stayed locked, or that an old process still writes.
    """
    unopened: list[str] = []
    for table in tables:
        resealing = await _move(database, table, ring, pace)
        if pace.stop():
            raise UnsealedError("stopped; run it again, it goes on where it is")
        unopened += resealing.named
        if more := resealing.unopened - len(resealing.named):
            unopened.append(f"{table.name}: {more} more")
    if unopened:
        rows = "".join(f"\n  - {each}" for each in unopened)
        raise UnsealedError(f"rows that cannot be opened stay as they are:{rows}")
    await check(database, tables, ring, pace.tell)


async def check(
    database: Database, tables: Sequence[SealedTable], ring: KeyRing, tell: Callable[[str], None] = lambda _line: None
) -> None:
    """Count what is sealed by each key.

    Raises:
        UnsealedError: something is not under the active key.
    """
    found: Counter[str] = Counter()
    for table in tables:
        by_key = await count_by_key(database, table)
        found += by_key
        tell(f"{table.name}: {_shown(by_key)}")
    if left := Counter({key_id: number for key_id, number in found.items() if key_id != ring.active_key_id}):
        unknown = sorted(left.keys() - ring.key_ids)
        lacking = f"; the ring does not have {', '.join(unknown)}" if unknown else ""
        raise UnsealedError(f"not under {ring.active_key_id}, which is active: {_shown(left)}{lacking}")
    tell(f"everything is under {ring.active_key_id}{_removable(ring)}")


async def count_by_key(database: Database, table: SealedTable) -> Counter[str]:
    """How many ciphertexts of a table each key wraps."""
    found: Counter[str] = Counter()
    async with database.transaction(statement_timeout_seconds=COUNT_SECONDS) as transaction:
        for column in table.contexts:
            count = _COUNT.format(key_id=_KEY_ID.format(column=column), table=table.name, column=column)
            for key_id, number in map(tuple, await transaction.raw.fetch(count)):
                found[key_id.decode(errors="replace") if key_id is not None else "no key at all"] += number
    return found


async def _move(database: Database, table: SealedTable, ring: KeyRing, pace: Pace) -> Resealing:
    name, batch = f"{table.name} sealed by {ring.active_key_id}", min(pace.batch, table.batch)
    before: Counter[str] | None = None
    for _ in range(ROUNDS):
        resealing = Resealing(table, ring)
        done = await backfill(
            database, name, table.columns, resealing, batch=batch, pass_over_locked=True, tell=pace.tell, stop=pace.stop
        )
        if not done.is_complete:
            break
        left = await count_by_key(database, table)
        del left[ring.active_key_id]
        if left:
            await begin_again(database, name)  # this round or the next run
        if not left or left == before:
            break
        before = left
    return resealing


def _shown(by_key: Counter[str]) -> str:
    return ", ".join(f"{number:,} under {key_id}" for key_id, number in sorted(by_key.items())) or "nothing"


def _removable(ring: KeyRing) -> str:
    others = sorted(ring.key_ids - {ring.active_key_id})
    return f"; {', '.join(others)} may be taken out of the ring" if others else ""
