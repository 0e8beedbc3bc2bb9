"""Holds that end and touch nothing else: three statements for a batch, in which nothing is read that does not count.

The locks are those of a book, in the same order. Whatever is not as simple is left to a book of the same transaction.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID

from binding.domain.authorizations import AuthorizationState, Outcome
from binding.domain.ends import Ended, ended
from binding.repository.authorizations import AuthorizationRows
from binding.repository.rows import Row

# All of them or none. A book that comes after must find no authorization that is not locked here, because relations are
# locked after all of them: so a batch with one of a pair, or with an id that somebody may be making now, locks nothing.
_LOCK_HOLDS = """
SELECT authorization_id, state, occurred_on, relation_ids, held_fen, replaced_by
FROM authorization_record
WHERE authorization_id = ANY((SELECT $1::uuid[])::uuid[]) AND cardinality($1::uuid[]) = (
    SELECT count(*) FROM authorization_record
    WHERE authorization_id = ANY((SELECT $1::uuid[])::uuid[]) AND num_nonnulls(replaces, replaced_by) = 0)
ORDER BY authorization_id FOR NO KEY UPDATE
"""
_NAMES = ("day", "month", "year", "total")
# Rather too early than too late: what may have to be told of a limit is left to the book.
_NEARLY_USED = " OR ".join(
    f"NOT r.{name}_told AND r.{name}_used_fen + r.{name}_held_fen >= r.{name}_fen / 100 * $2" for name in _NAMES
)
_LOCK_WINDOWS = f"""
SELECT r.relation_id, r.open_day, ({_NEARLY_USED}) IS TRUE AS may_be_told
FROM relation AS r WHERE r.relation_id = ANY((SELECT $1::uuid[])::uuid[])
ORDER BY r.relation_id FOR NO KEY UPDATE
"""  # noqa: S608 - constants of this file
_MOVED = ", ".join(
    f"{name}_{kind}_fen = r.{name}_{kind}_fen + m.{kind}_fen" for name in _NAMES for kind in ("used", "held")
)
_END = f"""
WITH recorded AS (
    UPDATE authorization_record AS a SET
        state = e.state, used_fen = e.used_fen, held_fen = array_fill(0::bigint, ARRAY[cardinality(a.held_fen)])
    FROM unnest((SELECT $1::ended_hold[])) AS e WHERE a.authorization_id = e.authorization_id
)
UPDATE relation AS r SET {_MOVED}
FROM unnest((SELECT $2::ended_use[])) AS m WHERE r.relation_id = m.relation_id
"""  # noqa: S608 - constants of this file


class EndingRows(AuthorizationRows):
    """Ends of holds in one transaction."""

    async def end_holds(self, outcomes: Sequence[Outcome], nearly_used_percent: int) -> list[Outcome]:
        """See `Repository.end_holds`."""
        if not outcomes or any(outcome.replaces for outcome in outcomes):
            return list(outcomes)
        known = await self._read(_LOCK_HOLDS, {outcome.authorization_id for outcome in outcomes})
        if any(row["replaced_by"] for row in known.values()) or not (ends := _ends(outcomes, known)):
            return list(outcomes)
        touched = {line.relation_id for outcome in outcomes for line in outcome.lines}
        touched.update(*(row["relation_ids"] for row in known.values()))
        locked = await self._raw.fetch(_LOCK_WINDOWS, list(touched), nearly_used_percent)
        open_days = {row["relation_id"]: row["open_day"] for row in locked if not row["may_be_told"]}
        ends = {key: it for key, it in ends.items() if _is_of_open_windows(it, known[key]["occurred_on"], open_days)}
        await self._end(ends)
        return [outcome for outcome in outcomes if outcome.authorization_id not in ends]

    async def _end(self, ends: Mapping[UUID, Ended]) -> None:
        if not ends:
            return
        uses: dict[UUID, list[int]] = {}
        for it in ends.values():
            for relation_id, held_fen, used_fen in zip(it.relation_ids, it.held_fen, it.used_fen, strict=True):
                moved = uses.setdefault(relation_id, [0, 0])
                moved[0] += used_fen
                moved[1] -= held_fen
        await self._raw.execute(
            _END,
            [(key, it.state, it.used_fen) for key, it in ends.items()],
            [(relation_id, *moved) for relation_id, moved in uses.items() if any(moved)],
        )


def _is_of_open_windows(it: Ended, day: date, open_days: Mapping[UUID, date]) -> bool:
    held = zip(it.relation_ids, it.held_fen, strict=True)
    return all(open_days.get(relation_id) == day for relation_id, held_fen in held if held_fen)


def _ends(outcomes: Sequence[Outcome], known: Mapping[UUID, Row]) -> dict[UUID, Ended]:
    told = Counter(outcome.authorization_id for outcome in outcomes)
    ends: dict[UUID, Ended] = {}
    for outcome in outcomes:
        row = known.get(outcome.authorization_id)
        if row is None or row["state"] != AuthorizationState.HELD or told[outcome.authorization_id] > 1:
            continue
        if it := ended(row["relation_ids"], row["held_fen"], outcome):
            ends[outcome.authorization_id] = it
    return ends
