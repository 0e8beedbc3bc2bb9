"""What identity's events have told, in one transaction: asyncpg, set-based."""

from collections.abc import Collection, Sequence
from datetime import date

from binding.domain.persons import Enrolment, Person
from binding.repository.interface import Corrected, Verified
from kit.db import Transaction

_PERSONS = """
SELECT p.psn_no, p.brdy, p.died_on,
       e.insutype, e.insuplc_admdvs, e.psn_insu_stas, e.arrears, e.valid_from, e.valid_to, e.sequence
FROM person AS p LEFT JOIN person_enrolment AS e USING (psn_no)
WHERE p.psn_no = ANY($1::text[]) ORDER BY p.psn_no, e.sequence
"""
# Sorted, so that two consumers with the same persons wait for each other instead of locking each other out.
_VERIFIED = """
INSERT INTO person AS p (psn_no, brdy, verified_at)
SELECT DISTINCT ON (v.psn_no) v.psn_no, v.brdy, v.verified_at
FROM unnest($1::text[], $2::date[], $3::timestamptz[]) AS v (psn_no, brdy, verified_at) ORDER BY v.psn_no
ON CONFLICT (psn_no) DO UPDATE SET brdy = excluded.brdy, verified_at = excluded.verified_at WHERE p.brdy IS NULL
"""
_CORRECTED = """
INSERT INTO person AS p (psn_no, brdy, brdy_sequence)
SELECT DISTINCT ON (c.psn_no) c.psn_no, c.brdy, c.sequence
FROM unnest($1::text[], $2::date[], $3::bigint[]) AS c (psn_no, brdy, sequence) ORDER BY c.psn_no, c.sequence DESC
ON CONFLICT (psn_no) DO UPDATE SET brdy = excluded.brdy, brdy_sequence = excluded.brdy_sequence
    WHERE excluded.brdy_sequence > p.brdy_sequence
"""
_DEATHS = """
INSERT INTO person AS p (psn_no, died_on)
SELECT DISTINCT ON (d.psn_no) d.psn_no, d.died_on
FROM unnest($1::text[], $2::date[]) AS d (psn_no, died_on) ORDER BY d.psn_no
ON CONFLICT (psn_no) DO UPDATE SET died_on = excluded.died_on WHERE p.died_on IS NULL
"""
# FOR SHARE: approvals do not wait for each other, a death waits for them.
_SHARE = "SELECT FROM person WHERE psn_no = ANY($1::text[]) ORDER BY psn_no FOR SHARE"
_LOCK = "SELECT FROM person WHERE psn_no = ANY($1::text[]) ORDER BY psn_no FOR NO KEY UPDATE"
_KNOWN = """
INSERT INTO person (psn_no) SELECT DISTINCT p FROM unnest($1::text[]) AS p ORDER BY p ON CONFLICT DO NOTHING
"""
_ENROLLED = """
INSERT INTO person_enrolment
    (psn_no, sequence, insutype, insuplc_admdvs, psn_insu_stas, arrears, valid_from, valid_to)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::integer[], $6::boolean[], $7::date[],
                     $8::date[])
ON CONFLICT DO NOTHING
"""


class PersonRows:
    """Persons in one transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._raw = transaction.raw

    async def persons(self, psn_nos: Collection[str], *, lock: bool = False) -> dict[str, Person]:
        """See `Repository.persons`."""
        wanted = sorted(set(psn_nos))
        if lock:  # before they are read: what the one who had them has written is then seen
            await self._raw.execute(_SHARE, wanted)
        rows = await self._raw.fetch(_PERSONS, wanted)
        births: dict[str, tuple[date | None, date | None]] = {}
        enrolments: dict[str, list[Enrolment]] = {}
        for psn_no, brdy, died_on, *facts in rows:
            births[psn_no] = brdy, died_on
            if facts[-1] is not None:
                enrolments.setdefault(psn_no, []).append(Enrolment(*facts))
        return {
            psn_no: Person(psn_no, brdy, died_on, tuple(enrolments.get(psn_no, ())))
            for psn_no, (brdy, died_on) in births.items()
        }

    async def lock_persons(self, psn_nos: Collection[str]) -> None:
        """See `Repository.lock_persons`."""
        wanted = sorted(set(psn_nos))
        if wanted:
            await self._raw.execute(_KNOWN, wanted)
            await self._raw.execute(_LOCK, wanted)

    async def record_verified(self, rows: Sequence[Verified]) -> None:
        """See `Repository.record_verified`."""
        if rows:
            await self._raw.execute(_VERIFIED, *_columns(rows))

    async def record_corrected(self, rows: Sequence[Corrected]) -> None:
        """See `Repository.record_corrected`."""
        if rows:
            await self._raw.execute(_CORRECTED, *_columns(rows))

    async def record_enrolments(self, rows: Sequence[tuple[str, Enrolment]]) -> None:
        """See `Repository.record_enrolments`."""
        if not rows:
            return
        await self._raw.execute(_KNOWN, [psn_no for psn_no, _ in rows])
        flat = [
            (psn_no, e.sequence, e.insutype, e.insuplc_admdvs, e.psn_insu_stas, e.arrears, e.valid_from, e.valid_to)
            for psn_no, e in rows
        ]
        await self._raw.execute(_ENROLLED, *_columns(flat))

    async def record_deaths(self, rows: Sequence[tuple[str, date]]) -> None:
        """See `Repository.record_deaths`."""
        if rows:
            await self._raw.execute(_DEATHS, *_columns(rows))


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
