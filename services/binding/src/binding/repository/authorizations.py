"""Authorizations, their lines and the counters, in one transaction: asyncpg, every statement over a whole batch.

The order of locks is the one of `Repository`: authorizations by id, then relations by id. Counters are read and written
only under the lock of their relation.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from binding.domain.authorizations import Authorization, AuthorizationState, Line, Outcome, Recorded, moves
from binding.domain.batch import Book, Request
from binding.domain.limits import NO_USE, CounterKey, LimitWindow, Use, counter_keys
from binding.domain.nearly_used import NearlyUsed, newest
from binding.domain.persons import Person
from binding.domain.relations import Relation
from binding.repository.interface import Place
from binding.repository.rows import Row, relation_of
from kit.db import Transaction

_STATES = """
SELECT authorization_id, state, beneficiary_psn_no, occurred_at, occurred_on, replaces, replaced_by
FROM authorization_record WHERE authorization_id = ANY($1::uuid[])
"""
_LOCK = _STATES + " ORDER BY authorization_id FOR NO KEY UPDATE"
# Whoever inserts the same id at the same time waits here until the other one has ended, in the order of ids.
_TAKE = """
INSERT INTO authorization_record (authorization_id, state, beneficiary_psn_no, occurred_at, occurred_on)
SELECT t.authorization_id, 'HELD', t.beneficiary, t.occurred_at, t.occurred_on
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::date[])
     AS t (authorization_id, beneficiary, occurred_at, occurred_on)
ORDER BY t.authorization_id
ON CONFLICT DO NOTHING
RETURNING authorization_id
"""
_RECORDED = """
SELECT authorization_id, state, beneficiary_psn_no, occurred_at, occurred_on, replaces, replaced_by, created_at
FROM authorization_record
"""
# By the index of what is held; a place before all others is the epoch.
_HELD = (
    _RECORDED
    + """
WHERE state = 'HELD' AND created_at <= clock_timestamp() - make_interval(secs => $1)
  AND (created_at, authorization_id) > ($2, $3)
ORDER BY created_at, authorization_id LIMIT $4
"""
)
_BY_IDS = _RECORDED + "WHERE authorization_id = ANY($1::uuid[])"
_BEFORE_ALL = Place(datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))
_GIVE_BACK = "DELETE FROM authorization_record WHERE authorization_id = ANY($1::uuid[])"
_LINES = """
SELECT l.authorization_id, l.relation_id, r.payer_psn_no, l.granted_fen, l.reason, l.window_kind, l.held_fen, l.used_fen
FROM authorization_line AS l JOIN relation AS r USING (relation_id)
WHERE l.authorization_id = ANY($1::uuid[]) ORDER BY l.authorization_id, l.position
"""
_RELATIONS = "SELECT * FROM relation WHERE relation_id = ANY($1::uuid[]) OR beneficiary_psn_no = ANY($2::text[])"
_LOCK_RELATIONS = _RELATIONS + " ORDER BY relation_id FOR NO KEY UPDATE"
_USES = """
SELECT c.relation_id, c.window_kind, c.window_start, c.used_fen, c.held_fen, c.nearly_told
FROM limit_counter AS c JOIN unnest($1::uuid[], $2::text[], $3::date[]) AS k (relation_id, window_kind, window_start)
     USING (relation_id, window_kind, window_start)
"""
_BEGIN_COUNTING = """
INSERT INTO limit_counter (relation_id, window_kind, window_start)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::date[]) ON CONFLICT DO NOTHING
"""
# What outcomes and grants move, at once. The guard: a counter that a grant moves is written only where the result fits
# under the limit as the locked relation states it; what outcomes alone move is never refused.
_MOVE = """
UPDATE limit_counter AS c SET used_fen = c.used_fen + m.used_fen, held_fen = c.held_fen + m.held_fen
FROM unnest($1::uuid[], $2::text[], $3::date[], $4::bigint[], $5::bigint[], $6::boolean[])
     AS m (relation_id, window_kind, window_start, used_fen, held_fen, granting)
     JOIN relation AS r USING (relation_id)
WHERE c.relation_id = m.relation_id AND c.window_kind = m.window_kind AND c.window_start = m.window_start
  AND (NOT m.granting OR c.used_fen + c.held_fen + m.used_fen + m.held_fen <= coalesce(
        CASE m.window_kind WHEN 'DAY' THEN r.day_fen WHEN 'MONTH' THEN r.month_fen WHEN 'YEAR' THEN r.year_fen
                           ELSE r.total_fen END,
        9223372036854775807))
RETURNING 1
"""
_STORE_STATES = """
UPDATE authorization_record AS a SET state = s.state, replaces = s.replaces, replaced_by = s.replaced_by
FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[]) AS s (authorization_id, state, replaces, replaced_by)
WHERE a.authorization_id = s.authorization_id
"""
_STORE_LINES = """
INSERT INTO authorization_line
    (authorization_id, relation_id, position, granted_fen, reason, window_kind, held_fen, used_fen)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::bigint[], $5::text[], $6::text[], $7::bigint[],
                     $8::bigint[])
ON CONFLICT (authorization_id, relation_id) DO UPDATE SET held_fen = excluded.held_fen, used_fen = excluded.used_fen
"""
_TOLD = """
WITH told AS (
    UPDATE limit_counter AS c SET nearly_told = true
    FROM unnest($1::uuid[], $2::text[], $3::date[]) AS k (relation_id, window_kind, window_start)
    WHERE c.relation_id = k.relation_id AND c.window_kind = k.window_kind AND c.window_start = k.window_start
)
UPDATE relation AS r SET sequence = s.sequence
FROM unnest($4::uuid[], $5::bigint[]) AS s (relation_id, sequence) WHERE r.relation_id = s.relation_id
"""


class _Persons(Protocol):
    async def persons(self, psn_nos: Collection[str], *, lock: bool = False) -> dict[str, Person]: ...


class GuardBroken(Exception):
    """A grant that the rules allowed would exceed a limit in the table; a fault in the code, nothing is committed."""


class _Found(NamedTuple):
    """What a batch names, under its locks."""

    known: dict[UUID, Authorization]
    moving: set[UUID]
    """Those that its outcomes may move."""
    taken: set[UUID]
    """Unknown ones, which nobody else can take any more."""


class AuthorizationRows:
    """Authorizations and counters in one transaction."""

    def __init__(self, transaction: Transaction, persons: _Persons) -> None:
        self._raw = transaction.raw
        self._persons = persons

    async def uses(self, keys: Collection[CounterKey]) -> dict[CounterKey, Use]:
        """See `Repository.uses`."""
        return (await self._counters(keys))[0]

    async def nearly_used_told(self, keys: Collection[CounterKey]) -> set[CounterKey]:
        """See `Repository.nearly_used_told`."""
        return (await self._counters(keys))[1]

    async def note_nearly_used(self, notices: Sequence[NearlyUsed]) -> None:
        """See `Repository.note_nearly_used`."""
        if notices:
            relations = [(relation.relation_id, relation.sequence) for relation in newest(notices)]
            keys = _columns([notice.key for notice in notices])
            await self._raw.execute(_TOLD, *keys, *_columns(relations))

    async def _counters(self, keys: Collection[CounterKey]) -> tuple[dict[CounterKey, Use], set[CounterKey]]:
        if not keys:
            return {}, set()
        uses: dict[CounterKey, Use] = {}
        told: set[CounterKey] = set()
        for relation_id, kind, start, used_fen, held_fen, nearly_told in await self._raw.fetch(
            _USES, *_columns(sorted(keys))
        ):
            key = CounterKey(relation_id, LimitWindow(kind), start)
            uses[key] = Use(used_fen, held_fen)
            if nearly_told:
                told.add(key)
        return uses, told

    async def held(self, min_age_seconds: float, after: Place | None, limit: int) -> list[Recorded]:
        """See `Repository.held`."""
        place = after or _BEFORE_ALL
        return await self._recorded(await self._raw.fetch(_HELD, min_age_seconds, place.at, place.id, limit))

    async def recorded(self, ids: Collection[UUID]) -> list[Recorded]:
        """See `Repository.recorded`."""
        return await self._recorded(await self._raw.fetch(_BY_IDS, sorted(ids)))

    async def _recorded(self, rows: Sequence[Row]) -> list[Recorded]:
        known = {row["authorization_id"]: _authorization_of(row) for row in rows}
        whole = await self._with_lines(known, known)
        return [Recorded(whole[row["authorization_id"]], row["created_at"]) for row in rows]

    async def open_book(self, requests: Sequence[Request], outcomes: Sequence[Outcome], *, hold: bool) -> Book:
        """See `Repository.open_book`."""
        every = [*outcomes, *(outcome for request in requests for outcome in request.outcomes)]
        found = await self._find(every, requests, hold=hold)
        relations = await self._in_play(requests, every, found.known, lock=hold or bool(found.moving))
        psn_nos = {psn for r in relations.values() for psn in (r.payer_psn_no, r.beneficiary_psn_no)}
        persons = await self._persons.persons(psn_nos) if requests else {}
        moving = [outcome for outcome in every if outcome.authorization_id in found.moving]
        uses, told = await self._counters(
            _keys_of_requests(requests, relations) | _keys_of_outcomes(moving, found.known, relations)
        )
        return Book(
            relations, persons, uses, found.known, counted=frozenset(uses), taken=frozenset(found.taken), told=told
        )

    async def close_book(self, book: Book) -> None:
        """See `Repository.close_book`."""
        if unkept := book.taken - book.changed.keys():
            await self._raw.execute(_GIVE_BACK, sorted(unkept))
        if not book.changed:
            return
        await self._store(list(book.changed.values()))
        keys = sorted(book.freed.keys() | book.held.keys())
        if not keys:
            return
        await self._begin_counting([key for key in keys if key not in book.counted])
        moved = await self._raw.fetch(_MOVE, *_columns([_move_row(book, key) for key in keys]))
        if len(moved) != len(keys):
            raise GuardBroken(f"{len(keys) - len(moved)} of {len(keys)} counters would exceed a limit")

    async def _find(self, outcomes: Sequence[Outcome], requests: Sequence[Request], *, hold: bool) -> "_Found":
        """Known authorizations; whatever may move or be claimed is locked, and unknown ones are taken."""
        asked = {request.authorization_id for request in requests}
        replaced = {request.replaces for request in requests if request.replaces}
        replaced |= {outcome.replaces for outcome in outcomes if outcome.replaces}
        seen = await self._read(_STATES, asked | replaced | {outcome.authorization_id for outcome in outcomes})
        moving = {o.authorization_id for o in outcomes if _may_move(seen.get(o.authorization_id), o)}
        wanted = _unknown([*outcomes, *(requests if hold else ())], seen)
        taken: set[UUID] = set()
        if wanted:
            taken = {row["authorization_id"] for row in await self._raw.fetch(_TAKE, *_columns(wanted))}
        # An id that was unknown and could not be taken: somebody else took it meanwhile and has committed.
        lost = {authorization_id for authorization_id, *_ in wanted} - taken
        # Whoever moves an authorization B has the A that it replaces as well: so the lock of A also keeps B as it is.
        moved_with = {it.replaces for it in outcomes if it.authorization_id in moving}
        moved_with |= {seen[it].replaces for it in moving & seen.keys()}
        moved_with |= {it.replaces for it in requests if hold}
        locked = await self._lock((moving | lost | moved_with) - taken)
        # Only after losing that race: out of order, so the worst is a deadlock that is resolved and run again.
        locked |= await self._lock({locked[it].replaces for it in lost & locked.keys()} - locked.keys())
        successors = await self._read(_STATES, {it.replaced_by for it in locked.values()} - locked.keys())
        shown = asked | moving | replaced | locked.keys() | successors.keys()
        return _Found(await self._with_lines(seen | locked | successors, shown - taken), moving, taken)

    async def _lock(self, ids: Collection[UUID | None]) -> dict[UUID, Authorization]:
        return await self._read(_LOCK, ids)

    async def _read(self, query: str, ids: Collection[UUID | None]) -> dict[UUID, Authorization]:
        wanted = sorted(it for it in ids if it)
        rows = await self._raw.fetch(query, wanted) if wanted else []
        return {row["authorization_id"]: _authorization_of(row) for row in rows}

    async def _with_lines(
        self, known: Mapping[UUID, Authorization], ids: Collection[UUID]
    ) -> dict[UUID, Authorization]:
        lines: dict[UUID, list[Line]] = {}
        if wanted := sorted(known.keys() & ids):
            for row in await self._raw.fetch(_LINES, wanted):
                lines.setdefault(row["authorization_id"], []).append(_line_of(row))
        return {key: replace(known[key], lines=tuple(lines.get(key, ()))) for key in known}

    async def _in_play(
        self,
        requests: Sequence[Request],
        outcomes: Sequence[Outcome],
        known: Mapping[UUID, Authorization],
        *,
        lock: bool,
    ) -> dict[UUID, Relation]:
        ids = {line.relation_id for outcome in outcomes for line in outcome.lines}
        ids |= {line.relation_id for authorization in known.values() for line in authorization.lines}
        patients = {request.beneficiary_psn_no for request in requests}
        if not ids and not patients:
            return {}
        rows = await self._raw.fetch(_LOCK_RELATIONS if lock else _RELATIONS, sorted(ids), sorted(patients))
        return {row["relation_id"]: relation_of(row) for row in rows}

    async def _store(self, changed: Sequence[Authorization]) -> None:
        moved = [
            (a.authorization_id, a.state.value, a.replaces, a.replaced_by)
            for a in changed
            if a.state is not AuthorizationState.HELD or a.replaces
        ]
        if moved:
            await self._raw.execute(_STORE_STATES, *_columns(moved))
        lines = [_line_row(a, position, line) for a in changed for position, line in enumerate(a.lines)]
        if lines:
            await self._raw.execute(_STORE_LINES, *_columns(lines))

    async def _begin_counting(self, keys: Collection[CounterKey]) -> None:
        if keys:
            await self._raw.execute(_BEGIN_COUNTING, *_columns(sorted(keys)))


def _may_move(known: Authorization | None, outcome: Outcome) -> bool:
    # States only move forward, so what cannot move any more needs no lock, however old this reading is.
    return known is None or moves(known.state, outcome.state)


def _unknown(
    wanting: Iterable[Outcome | Request], seen: Mapping[UUID, Authorization]
) -> list[tuple[UUID, str, datetime, date]]:
    rows = {
        it.authorization_id: (it.authorization_id, it.beneficiary_psn_no, it.occurred_at, it.occurred_on)
        for it in wanting
        if it.authorization_id not in seen
    }
    return [rows[key] for key in sorted(rows)]


def _keys_of_requests(requests: Sequence[Request], relations: Mapping[UUID, Relation]) -> set[CounterKey]:
    days: dict[str, set[date]] = {}
    for request in requests:
        days.setdefault(request.beneficiary_psn_no, set()).add(request.occurred_on)
    return {
        key
        for relation in relations.values()
        for day in days.get(relation.beneficiary_psn_no, ())
        for key in counter_keys(relation.relation_id, day)
    }


def _keys_of_outcomes(
    moving: Sequence[Outcome], known: Mapping[UUID, Authorization], relations: Mapping[UUID, Relation]
) -> set[CounterKey]:
    """Counters that outcomes may move, those of the authorizations that are paired with theirs included."""
    if not moving:
        return set()
    days = {(line.relation_id, it.occurred_on) for it in known.values() for line in it.lines}
    days |= {(line.relation_id, it.occurred_on) for it in moving for line in it.lines}
    return {key for relation_id, day in days if relation_id in relations for key in counter_keys(relation_id, day)}


def _authorization_of(row: Row) -> Authorization:
    return Authorization(
        row["authorization_id"],
        AuthorizationState(row["state"]),
        row["beneficiary_psn_no"],
        row["occurred_at"],
        row["occurred_on"],
        replaces=row["replaces"],
        replaced_by=row["replaced_by"],
    )


def _line_of(row: Row) -> Line:
    window = LimitWindow(row["window_kind"]) if row["window_kind"] else None
    return Line(
        row["relation_id"],
        row["payer_psn_no"],
        row["granted_fen"],
        row["reason"],
        window,
        row["held_fen"],
        row["used_fen"],
    )


def _line_row(authorization: Authorization, position: int, line: Line) -> tuple[object, ...]:
    return (
        authorization.authorization_id,
        line.relation_id,
        position,
        line.granted_fen,
        line.reason,
        line.window,
        line.held_fen,
        line.used_fen,
    )


def _move_row(book: Book, key: CounterKey) -> tuple[object, ...]:
    change = book.freed.get(key, NO_USE) + book.held.get(key, NO_USE)
    return (*key, change.used_fen, change.held_fen, key in book.held)


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
