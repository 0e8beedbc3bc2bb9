"""What every counter of a limit must come to, reckoned from settlement's own lines, and what binding has.

Only for when all is at rest: then what is replaced is reversed and charges nothing, and no outcome is on its way. It
shares no code with the services.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from gongji_local.stack import Stack

EVER: Final = date(1970, 1, 1)
"""Where the window begins that never closes."""

_LINES: Final = """
SELECT l.relation_id, s.occurred_at AS at, l.amount_fen AS used_fen, 0::bigint AS held_fen
FROM settlement AS s JOIN settlement_line AS l ON l.settlement_id = s.id WHERE s.state = 'SETTLED'
UNION ALL
SELECT l.relation_id, q.occurred_at, 0, l.amount_fen
FROM quote AS q JOIN quote_line AS l ON l.quote_id = q.id WHERE q.state = 'HELD'
"""
_COUNTERS: Final = """
SELECT relation_id, window_kind, window_start, used_fen, held_fen FROM limit_counter
WHERE used_fen <> 0 OR held_fen <> 0
"""


class Line(NamedTuple):
    """What one payer gave or is to give, fen."""

    relation_id: UUID
    at: datetime
    used_fen: int
    held_fen: int


Window = tuple[str, str, date]
"""A relation, a kind of window, and where it begins."""
Counts = Mapping[Window, tuple[int, int]]
"""What is used and what is held, fen."""


async def wrong_counters(stack: Stack, *, passing_over: Collection[str] = ()) -> list[str]:
    """Every counter of every window, also of those without a limit, that is not what the lines come to.

    Args:
        stack: where both are.
        passing_over: relations of which nothing is told.
    """
    right = reckon([Line(*row) for row in await _rows(stack, "settlement", _LINES)])
    found = {
        (str(row["relation_id"]), row["window_kind"], row["window_start"]): (row["used_fen"], row["held_fen"])
        for row in await _rows(stack, "binding", _COUNTERS)
    }
    return differing(
        {window: fen for window, fen in right.items() if window[0] not in passing_over},
        {window: fen for window, fen in found.items() if window[0] not in passing_over},
    )


async def charged_without_settlement(stack: Stack) -> set[str]:
    """Relations charged for what settlement knows nothing of, as by scenarios that speak to binding in its name."""
    known = {
        row["id"] for row in await _rows(stack, "settlement", "SELECT id FROM settlement UNION SELECT id FROM quote")
    }
    charged = await _rows(stack, "binding", "SELECT authorization_id, relation_id FROM authorization_line")
    return {str(row["relation_id"]) for row in charged if row["authorization_id"] not in known}


def reckon(lines: Sequence[Line]) -> Counts:
    """What the lines come to in each window."""
    used, held = Counter[Window](), Counter[Window]()
    for line in lines:
        for kind, start in windows_of(line.at):
            used[str(line.relation_id), kind, start] += line.used_fen
            held[str(line.relation_id), kind, start] += line.held_fen
    return {window: (used[window], held[window]) for window in used if used[window] or held[window]}


def windows_of(at: datetime) -> Iterator[tuple[str, date]]:
    """R6: the windows that a payment of this moment counts in, by the day in Shanghai."""
    day = at.astimezone(ZoneInfo("Asia/Shanghai")).date()
    yield from (("DAY", day), ("MONTH", day.replace(day=1)), ("YEAR", day.replace(month=1, day=1)), ("TOTAL", EVER))


def differing(right: Counts, found: Counts) -> list[str]:
    """In words, where the two are not the same."""
    nothing = (0, 0)
    return [
        f"relation {window[0]}, {window[1]} from {window[2]}: used and held are {found.get(window, nothing)} fen at "
        f"binding, settlement's lines come to {right.get(window, nothing)}"
        for window in sorted(right.keys() | found.keys())
        if right.get(window, nothing) != found.get(window, nothing)
    ]


async def _rows(stack: Stack, service: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(stack.info.database_url(service))
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()
