"""What is unresolved, and why: for an operator who wants to know what settlement is waiting for. Reads only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from kit.clock import Clock
from kit.db import Database
from settlement.binding_holds import BindingSilentError, HoldsAtBinding, held_pages

SHOWN: Final = 20
"""Of each kind; all are counted."""
NEAR_EXPIRY_SECONDS: Final = 120.0
HOLDS: Final = "holds at binding that are decided here"

_PENDING = """
SELECT count(*) OVER () AS found, id, kind, fixmedins_code, msgid,
       extract(epoch FROM clock_timestamp() - created_at)::float8 AS age_seconds
FROM settlement WHERE state = 'PENDING' ORDER BY created_at LIMIT $1
"""
_HELD_QUOTES = "SELECT count(*) FROM quote WHERE state = 'HELD'"
_EXPIRING_QUOTES = """
SELECT count(*) OVER () AS found, id, fixmedins_code, msgid,
       extract(epoch FROM expires_at - $1::timestamptz)::float8 AS left_seconds
FROM quote WHERE state = 'HELD' AND expires_at < $1::timestamptz + make_interval(secs => $2)
ORDER BY expires_at LIMIT $3
"""
_UNSENT = """
SELECT e.topic, count(*) AS events, extract(epoch FROM clock_timestamp() - min(e.created_at))::float8 AS age_seconds
FROM outbox_unsent AS u JOIN outbox_event AS e USING (id) GROUP BY e.topic ORDER BY e.topic
"""
_RELAY = "SELECT holder FROM outbox_lease WHERE expires_at > clock_timestamp()"
# A preview that was used is the settlement of the same id.
_DECIDED = """
SELECT h.id, coalesce(s.state, q.state) AS state,
       extract(epoch FROM clock_timestamp() - h.since)::float8 AS age_seconds,
       h.id::text IN (SELECT e.key FROM outbox_unsent AS u JOIN outbox_event AS e ON e.id = u.id) AS unsent
FROM unnest($1::uuid[], $2::timestamptz[]) AS h (id, since)
LEFT JOIN settlement AS s ON s.id = h.id
LEFT JOIN quote AS q ON q.id = h.id AND q.state <> 'USED'
WHERE coalesce(s.state, q.state, 'UNKNOWN') NOT IN ('PENDING', 'HELD')
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """One kind of what is unresolved."""

    title: str
    found: int
    lines: tuple[str, ...]
    """Those that are shown."""
    known: bool = True
    """Whether it could be looked at; the one line says why not."""


class Pending:
    """Looks at what is unresolved.

    Args:
        database: settlement's own.
        clock: business time, by which held previews run out.
        sweep_age_seconds: from which age on the sweeper takes what was left PENDING.
        binding: who says what is held; None when it is not to be asked.
    """

    def __init__(
        self, database: Database, clock: Clock, sweep_age_seconds: float, binding: HoldsAtBinding | None
    ) -> None:
        self._database = database
        self._clock = clock
        self._sweep_age_seconds = sweep_age_seconds
        self._binding = binding

    async def look(self) -> list[Listed]:
        """Everything that is unresolved, kind by kind."""
        listed = [await self._settlements(), await self._quotes(), await self._events()]
        if self._binding is not None:
            listed.append(await self._holds(self._binding))
        return listed

    async def _settlements(self) -> Listed:
        rows = await self._fetch(_PENDING, SHOWN)
        lines = tuple(f"{_name(row)}: {self._why_pending(row)}" for row in rows)
        return Listed("settlements and previews PENDING", _found(rows), lines)

    def _why_pending(self, row: asyncpg.Record) -> str:
        what = {"BILL": "", "QUOTE": ", to be held"}.get(row["kind"], f", {row['kind'].lower()}")
        if row["age_seconds"] > self._sweep_age_seconds:
            return f"left behind {row['age_seconds']:.0f} s ago{what}; the sweeper gives it up next"
        return f"under way for {row['age_seconds']:.0f} s{what}"

    async def _quotes(self) -> Listed:
        now = self._clock.now()
        held = (await self._fetch(_HELD_QUOTES))[0][0]
        rows = await self._fetch(_EXPIRING_QUOTES, now, NEAR_EXPIRY_SECONDS, SHOWN)
        lines = tuple(f"{_name(row)}: {_why_held(row['left_seconds'])}" for row in rows)
        return Listed(f"previews near their end, of {held} HELD", _found(rows), lines)

    async def _events(self) -> Listed:
        rows = await self._fetch(_UNSENT)
        relay = [row["holder"] for row in await self._fetch(_RELAY)]
        by_whom = f"relay {relay[0]} is at it" if relay else "no relay is active"
        lines = tuple(
            f"{row['topic']}: {row['events']} wait, the oldest for {row['age_seconds']:.0f} s; {by_whom}"
            for row in rows
        )
        return Listed("events that are not sent", sum(row["events"] for row in rows), lines)

    async def _holds(self, binding: HoldsAtBinding) -> Listed:
        try:
            return await self._held(binding)
        except BindingSilentError as error:  # what waits here may wait because binding is away
            return Listed(HOLDS, 0, (str(error),), known=False)

    async def _held(self, binding: HoldsAtBinding) -> Listed:
        found, shown = 0, list[str]()
        async for page in held_pages(binding, 0):
            rows = await self._fetch(_DECIDED, [hold.authorization_id for hold in page], [hold.since for hold in page])
            found += len(rows)
            shown += [f"{row['id']}: {_why_still_held(row)}" for row in rows[: SHOWN - len(shown)]]
        return Listed(HOLDS, found, tuple(shown))

    async def _fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        async with self._database.transaction() as transaction:
            return list(await transaction.raw.fetch(query, *arguments))


def _name(row: asyncpg.Record) -> str:
    return f"{row['id']} ({row['fixmedins_code']} {row['msgid']})"


def _found(rows: Sequence[asyncpg.Record]) -> int:
    return rows[0]["found"] if rows else 0


def _why_held(left_seconds: float) -> str:
    if left_seconds > 0:
        return f"runs out in {left_seconds:.0f} s"
    return f"ran out {-left_seconds:.0f} s ago; whoever settles next, or the sweeper, frees what it keeps"


def _why_still_held(row: asyncpg.Record) -> str:
    since = f"held for {row['age_seconds']:.0f} s"
    if row["state"] is None:
        return f"{since}, unknown here; reconcile-holds gives it up"
    if row["unsent"]:
        return f"{since}, {row['state']} here; its event is not sent yet"
    return f"{since}, {row['state']} here; its event was sent and binding has not taken it in"


def lines_of(listed: Sequence[Listed], *, asked_binding: bool) -> Iterator[str]:
    """What was found as plain text, a line at a time."""
    for each in listed:
        yield f"{each.title}: {each.found if each.known else 'not known'}"
        yield from (f"  {line}" for line in each.lines)
        if each.found > SHOWN == len(each.lines):
            yield f"  … and {each.found - len(each.lines)} more"
    if not asked_binding:
        yield "binding was not asked what it holds: set GONGJI_BINDING_TARGET and this service's certificate"
