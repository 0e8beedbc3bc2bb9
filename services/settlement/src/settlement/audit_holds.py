"""Limits against money: what binding holds and has used must be what settlement's previews and settlements say.

Two databases are never read at one moment, and outcomes travel by Kafka. So only what has been at rest here for a
while, with its event sent, is compared (and counted as looked at), and a difference counts only if nothing was written
since.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from kit.db import Database
from settlement.audit import Result, Watch, with_findings
from settlement.binding_holds import PAGE_HOLDS, HoldsAtBinding, held_pages
from settlement.domain.holds import Hold, HoldState

_UNSENT: Final = "SELECT e.key FROM outbox_unsent AS u JOIN outbox_event AS e ON e.id = u.id"
_NOW: Final = "clock_timestamp()"
# A preview that was used is the settlement of the same id.
_HERE: Final = """
FROM unnest($1::uuid[]) AS h (id)
LEFT JOIN settlement AS s ON s.id = h.id
LEFT JOIN quote AS q ON q.id = h.id AND q.state <> 'USED'
"""
_STATE: Final = "coalesce(s.state, q.state)"
_LONG_AGO: Final = f"coalesce(s.updated_at, q.updated_at) < {_NOW} - make_interval(secs => $2)"
_OF_HELD: Final = f"""
SELECT id, state IS NULL OR state IN ('PENDING', 'HELD') OR at_rest AS looked_at,
       CASE WHEN state IS NULL THEN 'held at binding, unknown here'
            WHEN state NOT IN ('PENDING', 'HELD') AND at_rest
            THEN format('held at binding, %s here', state) END AS problem
FROM (SELECT h.id, {_STATE} AS state, {_LONG_AGO} AND h.id::text NOT IN ({_UNSENT}) AS at_rest {_HERE}) AS held
ORDER BY id
"""  # noqa: S608
_STILL: Final = f"""
SELECT h.id {_HERE} JOIN unnest($1::uuid[], $2::timestamptz[]) AS r (id, updated_at) ON r.id = h.id
WHERE coalesce(s.updated_at, q.updated_at) = r.updated_at ORDER BY h.id
"""
_ASKED: Final = "use_mutual_aid AND psn_part_amt_fen > 0"
_AT_REST: Final = f"updated_at < {_NOW} - make_interval(secs => $3) AND id::text NOT IN ({_UNSENT})"
_KEPT: Final = f"""
SELECT q.id, q.state, q.updated_at, q.at_rest,
       ARRAY(SELECT (l.relation_id, l.amount_fen) FROM quote_line AS l WHERE l.quote_id = q.id) AS lines
FROM (SELECT id, state, updated_at, {_AT_REST} AS at_rest FROM quote
      WHERE state = 'HELD' AND {_ASKED} AND id > $1 ORDER BY id LIMIT $2) AS q
ORDER BY q.id
"""  # noqa: S608
_TAKEN: Final = f"""
SELECT s.id, s.state, s.updated_at, s.at_rest,
       ARRAY(SELECT (l.relation_id, l.amount_fen) FROM settlement_line AS l WHERE l.settlement_id = s.id) AS lines
FROM (SELECT id, state, updated_at, {_AT_REST} AS at_rest FROM settlement
      WHERE state <> 'PENDING' AND {_ASKED} AND id > $1 ORDER BY id LIMIT $2) AS s
ORDER BY s.id
"""  # noqa: S608
_STATES: Final[Mapping[str, HoldState]] = {
    "HELD": HoldState.HELD,
    "SETTLED": HoldState.CAPTURED,
    "REVERSED": HoldState.RESTORED,
    "REFUSED": HoldState.RELEASED,
    "ABANDONED": HoldState.RELEASED,
}


@dataclass(frozen=True, slots=True)
class Expected:
    """What binding should say of an authorization."""

    authorization_id: UUID
    state_here: str
    lines: Mapping[UUID, int]
    """By relation, what a preview keeps or a settlement took, fen."""

    @property
    def charged(self) -> Mapping[UUID, int]:
        """What counts against limits now."""
        return self.lines if self.state_here in {"HELD", "SETTLED"} else {}


def difference(expected: Expected, hold: Hold | None) -> str | None:
    """In what binding differs from settlement, in words; None if in nothing."""
    state = _STATES[expected.state_here]
    if hold is None:
        # A request that was given up before binding was asked charges nothing there.
        return None if state is HoldState.RELEASED else f"{expected.state_here} here, unknown at binding"
    if hold.state is not state:
        return f"{expected.state_here} here, {hold.state} at binding"
    if hold.charged != expected.charged:
        here, there = sum(expected.charged.values()), sum(hold.charged.values())
        return (
            f"{expected.state_here} here: {here} fen are charged to limits, at binding {there}, or of other relations"
        )
    return None


class HoldsAudit:
    """Compares with binding.

    Args:
        database: settlement's own.
        binding: who says how authorizations stand.
        lag_seconds: how long an outcome may be on its way.
    """

    def __init__(self, database: Database, binding: HoldsAtBinding, lag_seconds: float) -> None:
        self._database = database
        self._binding = binding
        self._lag_seconds = lag_seconds

    async def held(self, watch: Watch) -> Result:
        """Whatever binding holds is under way or kept here."""
        result = Result("whatever binding holds is under way or kept here", 0, 0, ())
        async for page in held_pages(self._binding, 0):
            rows = await self._fetch(_OF_HELD, [hold.authorization_id for hold in page], self._lag_seconds)
            problems = [f"{row['id']}: {row['problem']}" for row in rows if row["problem"]]
            result = with_findings(result, sum(row["looked_at"] for row in rows), len(problems), problems)
            watch(result)
        return result

    async def kept(self, watch: Watch) -> Result:
        """What held previews keep of payers is held at binding."""
        return await self._compare("what held previews keep of payers is held at binding", _KEPT, watch)

    async def taken(self, watch: Watch) -> Result:
        """Limits count what settlements took, and nothing else."""
        return await self._compare("limits count what settlements took, no more and no less", _TAKEN, watch)

    async def _compare(self, name: str, query: str, watch: Watch) -> Result:
        result = Result(name, 0, 0, ())
        async for chunk in self._chunks(query):
            at_rest = [row for row in chunk if row["at_rest"]]
            problems = await self._problems(at_rest)
            result = with_findings(result, len(at_rest), len(problems), problems)
            watch(result)
        return result

    async def _chunks(self, query: str) -> AsyncIterator[Sequence[asyncpg.Record]]:
        after = UUID(int=0)
        while rows := await self._fetch(query, after, PAGE_HOLDS, self._lag_seconds):
            yield rows
            after = rows[-1]["id"]

    async def _problems(self, rows: Sequence[asyncpg.Record]) -> list[str]:
        expected = [Expected(row["id"], row["state"], dict(row["lines"])) for row in rows]
        found = await self._binding.find([each.authorization_id for each in expected])
        differing = {
            each.authorization_id: told
            for each in expected
            if (told := difference(each, found.get(each.authorization_id))) is not None
        }
        read_at = {row["id"]: row["updated_at"] for row in rows}
        still = await self._fetch(_STILL, list(differing), [read_at[each] for each in differing]) if differing else []
        return [f"{row['id']}: {differing[row['id']]}" for row in still]

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        async with self._database.transaction(statement_timeout_seconds=600.0) as transaction:
            return list(await transaction.raw.fetch(query, *arguments))
