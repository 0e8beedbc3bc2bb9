"""Authorizations in one transaction: asyncpg, every statement over a whole batch.

An authorization is one row, its lines are arrays in it. The order of locks is the one of `Repository`: authorizations
by id, then relations by id, whose rows bring the open counters along. New ids are written last, also in order.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import asyncpg

from binding.domain.authorizations import Authorization, AuthorizationState, Line, Outcome, Recorded, moves
from binding.domain.batch import Book, Request
from binding.domain.limits import LimitWindow
from binding.domain.persons import Enrolment, Person
from binding.domain.relations import Relation
from binding.repository.counters import (
    MOVED,
    CounterRows,
    closed_keys,
    moves_of,
    open_counters,
    refuse_unmoved,
)
from binding.repository.interface import Place
from binding.repository.rows import Row, relation_of

_RECORDED = """
SELECT authorization_id, state, beneficiary_psn_no, occurred_at, occurred_on, replaces, replaced_by, relation_ids,
       granted_fen, reasons, windows, held_fen, used_fen, created_at
FROM authorization_record
"""
# Those that these replace as well: whoever moves an authorization B has the A that it replaces, so that the lock of A
# keeps B as it is, too. What a row replaces never changes.
_READ = f"""{_RECORDED}
WHERE authorization_id = ANY ($1::uuid[] || ARRAY(
    SELECT replaces FROM authorization_record WHERE authorization_id = ANY ($1::uuid[]) AND replaces IS NOT NULL))
"""  # noqa: S608 - constants of this package
_LOCK = _READ + " ORDER BY authorization_id FOR NO KEY UPDATE"
# By the index of what is held; a place before all others is the epoch.
_HELD = (
    _RECORDED
    + """
WHERE state = 'HELD' AND created_at <= clock_timestamp() - make_interval(secs => $1)
  AND (created_at, authorization_id) > ($2, $3)
ORDER BY created_at, authorization_id LIMIT $4
"""
)
# By the primary key: captured is most of what there is from an id on.
_CAPTURED = _RECORDED + "WHERE state = 'CAPTURED' AND authorization_id >= $1 ORDER BY authorization_id LIMIT $2"
_BY_IDS = _RECORDED + "WHERE authorization_id = ANY($1::uuid[])"
_BEFORE_ALL = Place(datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))
# Arrays come out of a sub-select, so that the planner does not see how many there are: it would plan each small batch
# anew, which takes longer than the batch.
_RELATIONS = "SELECT * FROM relation AS r WHERE r.relation_id = ANY((SELECT $1::uuid[])::uuid[])"
_LOCK_RELATIONS = _RELATIONS + " ORDER BY r.relation_id FOR NO KEY UPDATE"
# Locked by a statement of its own: one that waits for a lock goes on with the persons of before it waited.
_LOCK_PAYERS = """
SELECT r.relation_id FROM relation AS r
WHERE r.relation_id = ANY((SELECT $1::uuid[])::uuid[]) OR r.beneficiary_psn_no = ANY((SELECT $2::text[])::text[])
ORDER BY r.relation_id FOR NO KEY UPDATE
"""
# With what deciding needs to know of both persons; they are read as they are, their locks come before all others.
_PAYERS = """
SELECT r.*, payer.psn_no AS payer, payer.brdy AS payer_brdy, payer.died_on AS payer_died_on,
       patient.psn_no AS patient, patient.brdy AS patient_brdy, patient.died_on AS patient_died_on,
       ARRAY(SELECT ROW(e.insutype, e.insuplc_admdvs, e.psn_insu_stas, e.arrears, e.valid_from, e.valid_to, e.sequence)
             FROM person_enrolment AS e WHERE e.psn_no = r.payer_psn_no ORDER BY e.sequence) AS payer_enrolments
FROM relation AS r
LEFT JOIN person AS payer ON payer.psn_no = r.payer_psn_no
LEFT JOIN person AS patient ON patient.psn_no = r.beneficiary_psn_no
WHERE r.relation_id = ANY((SELECT $1::uuid[])::uuid[]) OR r.beneficiary_psn_no = ANY((SELECT $2::text[])::text[])
"""
# Whoever inserts the same id at the same time waits here until the other one has ended, in the order of ids.
_STORE = f"""
WITH {MOVED}, given AS (
    SELECT * FROM unnest((SELECT $2::kept_authorization[]))
), changed AS (
    UPDATE authorization_record AS a SET
        state = g.state, replaced_by = g.replaced_by, relation_ids = g.relation_ids, granted_fen = g.granted_fen,
        reasons = g.reasons, windows = g.windows, held_fen = g.held_fen, used_fen = g.used_fen
    FROM given AS g WHERE NOT g.is_new AND a.authorization_id = g.authorization_id
), made AS (
    INSERT INTO authorization_record (
        authorization_id, state, beneficiary_psn_no, occurred_at, occurred_on, replaces, replaced_by, relation_ids,
        granted_fen, reasons, windows, held_fen, used_fen)
    SELECT authorization_id, state, beneficiary_psn_no, occurred_at, occurred_on, replaces, replaced_by, relation_ids,
           granted_fen, reasons, windows, held_fen, used_fen
    FROM given WHERE is_new ORDER BY authorization_id
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM moved) AS moved, (SELECT count(*) FROM made) AS made
"""  # noqa: S608 - constants of this package


class AuthorizationRows(CounterRows):
    """Authorizations and counters in one transaction."""

    async def held(self, min_age_seconds: float, after: Place | None, limit: int) -> list[Recorded]:
        """See `Repository.held`."""
        place = after or _BEFORE_ALL
        return _recorded(await self._raw.fetch(_HELD, min_age_seconds, place.at, place.id, limit))

    async def captured(self, first: UUID, limit: int) -> list[Recorded]:
        """See `Repository.captured`."""
        return _recorded(await self._raw.fetch(_CAPTURED, first, limit))

    async def recorded(self, ids: Collection[UUID]) -> list[Recorded]:
        """See `Repository.recorded`."""
        return _recorded(await self._raw.fetch(_BY_IDS, sorted(ids)))

    async def open_book(self, requests: Sequence[Request], outcomes: Sequence[Outcome], *, hold: bool) -> Book:
        """See `Repository.open_book`."""
        every = [*outcomes, *(outcome for request in requests for outcome in request.outcomes)]
        known = await self._find(requests, every, lock=hold or bool(every))
        moving = [it for it in every if _may_move(known.get(it.authorization_id), it)]
        rows = await self._in_play(requests, every, known, lock=hold or bool(moving))
        relations = {row["relation_id"]: relation_of(row) for row in rows}
        open_days = {row["relation_id"]: row["open_day"] for row in rows}
        counters = open_counters(rows)
        if closed := closed_keys(_days(requests, moving, known, relations), open_days):
            counters = counters.with_others(await self.counters(closed))
        payers = {key: relation.payer_psn_no for key, relation in relations.items()}
        return Book(
            relations,
            _persons_of(rows) if requests else {},
            counters.uses,
            {key: _authorization_of(row, payers) for key, row in known.items()},
            open_days=open_days,
            known=frozenset(known),
            told=counters.told,
        )

    async def close_book(self, book: Book) -> None:
        """See `Repository.close_book`."""
        if not book.changed:
            return
        moves, closed = moves_of(book)
        await self.close_windows(moves, book)
        await self.move_closed(closed, book)
        given = [_kept_row(it, is_new=it.authorization_id not in book.known) for it in book.changed.values()]
        row = await self._raw.fetchrow(_STORE, [it.row() for it in moves], given)
        if row is None or row["made"] != sum(is_new for is_new, *_ in given):
            raise asyncpg.SerializationError("somebody else has made one of these authorizations meanwhile")
        refuse_unmoved(len(moves), row["moved"])

    async def _find(self, requests: Sequence[Request], outcomes: Sequence[Outcome], *, lock: bool) -> dict[UUID, Row]:
        """Those that are known, with what they replace or are replaced by; what may move or be claimed is locked."""
        every: list[Request | Outcome] = [*requests, *outcomes]
        said = {it.authorization_id for it in every} | {it.replaces for it in every}
        known = await self._read(_LOCK if lock else _READ, said)
        successors = {row["replaced_by"] for row in known.values()} - known.keys() - {None}
        return known | await self._read(_BY_IDS, successors) if successors else known

    async def _read(self, query: str, ids: Collection[UUID | None]) -> dict[UUID, Row]:
        return {row["authorization_id"]: row for row in await self._raw.fetch(query, [it for it in ids if it])}

    async def _in_play(
        self, requests: Sequence[Request], outcomes: Sequence[Outcome], known: Mapping[UUID, Row], *, lock: bool
    ) -> Sequence[Row]:
        ids = {line.relation_id for outcome in outcomes for line in outcome.lines}
        ids.update(*(row["relation_ids"] for row in known.values()))
        if requests:
            patients = [request.beneficiary_psn_no for request in requests]
            return await self._payers(list(ids), patients, lock=lock)
        return await self._raw.fetch(_LOCK_RELATIONS if lock else _RELATIONS, list(ids)) if ids else []

    async def _payers(self, ids: list[UUID], patients: list[str], *, lock: bool) -> Sequence[Row]:
        if not lock:
            return await self._raw.fetch(_PAYERS, ids, patients)
        locked = [row["relation_id"] for row in await self._raw.fetch(_LOCK_PAYERS, ids, patients)]
        return await self._raw.fetch(_PAYERS, locked, []) if locked else []


def _may_move(known: Row | None, outcome: Outcome) -> bool:
    # States only move forward, so what cannot move any more needs no lock, however old this reading is.
    return known is None or moves(AuthorizationState(known["state"]), outcome.state)


def _days(
    requests: Sequence[Request],
    moving: Sequence[Outcome],
    known: Mapping[UUID, Row],
    relations: Mapping[UUID, Relation],
) -> set[tuple[UUID, date]]:
    """The days that relations are or were spent under: by requests, by what moves and by what is paired with that."""
    asked: dict[str, list[date]] = {}
    for request in requests:
        asked.setdefault(request.beneficiary_psn_no, []).append(request.occurred_on)
    days = {(it.relation_id, day) for it in relations.values() for day in asked.get(it.beneficiary_psn_no, ())}
    days |= {(relation_id, row["occurred_on"]) for row in known.values() for relation_id in row["relation_ids"]}
    days |= {(line.relation_id, it.occurred_on) for it in moving for line in it.lines if line.relation_id in relations}
    return days


def _recorded(rows: Sequence[Row]) -> list[Recorded]:
    return [Recorded(_authorization_of(row, {}), row["created_at"]) for row in rows]


def _authorization_of(row: Row, payers: Mapping[UUID, str]) -> Authorization:
    lines = zip(*(row[column] for column in _LINE_COLUMNS), strict=True)
    return Authorization(
        row["authorization_id"],
        AuthorizationState(row["state"]),
        row["beneficiary_psn_no"],
        row["occurred_at"],
        row["occurred_on"],
        tuple(
            Line(key, payers.get(key, ""), granted_fen, reason, _window_of(window), held_fen, used_fen)
            for key, granted_fen, reason, window, held_fen, used_fen in lines
        ),
        row["replaces"],
        row["replaced_by"],
    )


_LINE_COLUMNS = ("relation_ids", "granted_fen", "reasons", "windows", "held_fen", "used_fen")


def _window_of(name: str | None) -> LimitWindow | None:
    return LimitWindow(name) if name else None


def _persons_of(rows: Sequence[Row]) -> dict[str, Person]:
    """Payers with their enrolments; others without, because only a payer's arrears count."""
    persons: dict[str, Person] = {}
    for row in rows:
        if row["patient"] is not None:
            persons[row["patient"]] = Person(row["patient"], row["patient_brdy"], row["patient_died_on"])
    for row in rows:
        if row["payer"] is not None:
            enrolments = tuple(Enrolment(*fields) for fields in row["payer_enrolments"])
            persons[row["payer"]] = Person(row["payer"], row["payer_brdy"], row["payer_died_on"], enrolments)
    return persons


def _kept_row(it: Authorization, *, is_new: bool) -> tuple[Any, ...]:
    """As the database's type kept_authorization has it."""
    return (
        *(is_new, it.authorization_id, it.state, it.beneficiary_psn_no, it.occurred_at, it.occurred_on),
        *(it.replaces, it.replaced_by),
        [line.relation_id for line in it.lines],
        [line.granted_fen for line in it.lines],
        [line.reason for line in it.lines],
        [line.window for line in it.lines],
        [line.held_fen for line in it.lines],
        [line.used_fen for line in it.lines],
    )
