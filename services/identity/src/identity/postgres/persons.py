"""Persons on PostgreSQL, whole batches in one statement each."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

import asyncpg

from identity.domain.certificate import Certificate
from identity.domain.person import Person, Registration
from identity.postgres.enrolments import enrolment_of
from identity.postgres.rows import Rows, columns
from identity.repository import CorrectionMade
from identity.repository.imports import StatedRow
from identity.vault import SealedPerson

# Row locks cannot keep a row from being created; this key of an advisory lock does. One import at a time: imports are
# rare, and two with the same new person would otherwise both believe to be the first.
_LOCK_IMPORT = "SELECT pg_advisory_xact_lock(hashtextextended('identity import', 0))"

_INSURED = """
SELECT psn_no, name_ct, brdy, tel_ct, card_sn_ct, died_on, version
FROM insured WHERE psn_no = ANY($1::text[]) ORDER BY psn_no
"""
_CERTIFICATES = """
SELECT psn_no, psn_cert_type, number_ct, stated_index FROM insured_certificate WHERE psn_no = ANY($1::text[])
ORDER BY psn_no, psn_cert_type
"""
_ENROLMENTS = """
SELECT psn_no, insutype, insuplc_admdvs, psn_insu_stas, arrears, valid_from, valid_to
FROM enrolment WHERE psn_no = ANY($1::text[]) ORDER BY psn_no, position
"""
_REGISTRATIONS = """
SELECT r.psn_no, r.verified_at, r.registered_by,
       ARRAY(SELECT g.guardian_psn_no FROM guardian AS g WHERE g.psn_no = r.psn_no) AS guardians
FROM registration AS r WHERE r.psn_no = ANY($1::text[])
"""
_SAVE_INSURED = """
INSERT INTO insured (psn_no, name_ct, brdy, tel_ct, card_sn_ct, died_on, version)
SELECT * FROM unnest($1::text[], $2::bytea[], $3::date[], $4::bytea[], $5::bytea[], $6::date[], $7::bigint[])
ON CONFLICT (psn_no) DO UPDATE SET name_ct = excluded.name_ct, brdy = excluded.brdy, tel_ct = excluded.tel_ct,
    card_sn_ct = excluded.card_sn_ct, died_on = excluded.died_on, version = excluded.version
"""
_DROP_CERTIFICATES = "DELETE FROM insured_certificate WHERE psn_no = ANY($1::text[])"
_SAVE_CERTIFICATES = """
INSERT INTO insured_certificate
    (psn_no, psn_cert_type, number_ct, number_index, real_name_index, card_index, stated_index)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])
"""
# What is recorded stays as it is; a person comes back with all statements, of which only the last are new.
_SAVE_ENROLMENTS = """
INSERT INTO enrolment
    (psn_no, position, insutype, insuplc_admdvs, psn_insu_stas, arrears, valid_from, valid_to)
SELECT * FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::date[],
                     $8::date[])
ON CONFLICT (psn_no, position) DO NOTHING
"""
_SAVE_REGISTRATIONS = """
INSERT INTO registration (psn_no, verified_at, registered_by)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[])
ON CONFLICT (psn_no) DO NOTHING
"""
_SAVE_GUARDIANS = """
INSERT INTO guardian (psn_no, guardian_psn_no) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING
"""
_OWNERS = "SELECT number_index, psn_no FROM insured_certificate WHERE number_index = ANY($1::bytea[])"
_BY_NAME = "SELECT psn_no FROM insured_certificate WHERE real_name_index = $1"
_BY_CARD = "SELECT DISTINCT psn_no FROM insured_certificate WHERE card_index = $1 LIMIT 2"
_ADD_CORRECTION = """
INSERT INTO correction (psn_no, corrected_at, corrected_by, fields, reason) VALUES ($1, $2, $3, $4, $5)
"""

_Identity = tuple[str, tuple[Certificate, ...], str, str]
"""Name, certificates, telephone and card."""


class PostgresPersons(Rows):
    """See `identity.repository.persons`."""

    async def lock_import(self) -> None:
        """See the protocol."""
        await self._raw.execute(_LOCK_IMPORT)

    async def lock_persons(self, psn_nos: Sequence[str]) -> Mapping[str, Person]:
        """See the protocol. Rows are locked in the order of psn_no, so that two callers never wait in a circle."""
        return await self._locked(psn_nos, {})

    async def _locked(self, psn_nos: Sequence[str], stated: Mapping[str, StatedRow]) -> Mapping[str, Person]:
        return await self._persons(f"{_INSURED} FOR UPDATE", psn_nos, stated)

    async def person(self, psn_no: str) -> Person | None:
        """See the protocol."""
        return (await self._persons(_INSURED, [psn_no], {})).get(psn_no)

    async def _persons(
        self, select: str, psn_nos: Sequence[str], stated: Mapping[str, StatedRow]
    ) -> Mapping[str, Person]:
        insured = await self._raw.fetch(select, list(psn_nos))
        found = [row["psn_no"] for row in insured]
        if not found:
            return {}
        certificates = _grouped(await self._raw.fetch(_CERTIFICATES, found))
        enrolments = _grouped(await self._raw.fetch(_ENROLMENTS, found))
        registrations = {row["psn_no"]: row for row in await self._raw.fetch(_REGISTRATIONS, found)}
        return {
            psn_no: _person(
                row,
                self._identity(row, certificates[psn_no], stated.get(psn_no)),
                enrolments[psn_no],
                registrations.get(psn_no),
            )
            for row, psn_no in zip(insured, found, strict=True)
        }

    def _identity(
        self, insured: asyncpg.Record, certificates: Sequence[asyncpg.Record], stated: StatedRow | None
    ) -> _Identity:
        psn_no = insured["psn_no"]
        if stated is not None and _says_all(stated, certificates):
            row = stated.row
            return row.name, (row.certificate,), row.tel, row.card_sn
        opened = tuple(
            self._vault.open_certificate(psn_no, one["psn_cert_type"], one["number_ct"]) for one in certificates
        )
        return (
            self._vault.open(insured["name_ct"], "name", psn_no),
            opened,
            self._vault.open(insured["tel_ct"], "tel", psn_no),
            self._vault.open(insured["card_sn_ct"], "card_sn", psn_no),
        )

    async def save_persons(self, persons: Sequence[Person]) -> None:
        """See the protocol."""
        await self._save_sealed(persons)
        await self._raw.execute(_SAVE_ENROLMENTS, *columns([row for one in persons for row in statements(one)], 8))
        registered = [
            (person.psn_no, person.registration.verified_at, person.registration.registered_by)
            for person in persons
            if person.registration is not None
        ]
        await self._raw.execute(_SAVE_REGISTRATIONS, *columns(registered, 3))
        guardians = [(person.psn_no, guardian) for person in persons for guardian in sorted(person.guardians)]
        await self._raw.execute(_SAVE_GUARDIANS, *columns(guardians, 2))

    async def _save_sealed(self, persons: Sequence[Person]) -> None:
        sealed = [(person, *self._vault.seal(person)) for person in persons]
        rows = [insured_row(person, encrypted) for person, encrypted, _ in sealed]
        await self._raw.execute(_SAVE_INSURED, *columns(rows, 7))
        # All of them go before any comes: a number may move from one person of the batch to another.
        await self._raw.execute(_DROP_CERTIFICATES, [person.psn_no for person in persons])
        certificates = [row for _, _, held in sealed for row in held]
        await self._raw.execute(_SAVE_CERTIFICATES, *columns(certificates, 7))

    async def owners(self, certificates: Sequence[Certificate]) -> Mapping[Certificate, str]:
        """See the protocol."""
        by_index = {self._vault.number_index(certificate): certificate for certificate in certificates}
        rows = await self._raw.fetch(_OWNERS, list(by_index))
        return {by_index[row["number_index"]]: row["psn_no"] for row in rows}

    async def psn_no_by_name(self, name: str, certificate: Certificate) -> str | None:
        """See the protocol."""
        found = await self._raw.fetchval(_BY_NAME, self._vault.real_name_index(name, certificate))
        return cast("str | None", found)

    async def psn_no_by_card(self, number: str, card_sn: str) -> str | None:
        """See the protocol."""
        rows = await self._raw.fetch(_BY_CARD, self._vault.card_index(number, card_sn))
        # Two persons with the same number (of certificates of two types) and the same card: neither is recognised.
        return rows[0]["psn_no"] if len(rows) == 1 else None

    async def add_correction(self, made: CorrectionMade) -> None:
        """See the protocol."""
        row = (made.psn_no, made.corrected_at, made.corrected_by, list(made.fields), made.reason)
        await self._raw.execute(_ADD_CORRECTION, *row)


def insured_row(person: Person, sealed: SealedPerson) -> tuple[object, ...]:
    """The row of `insured`."""
    ciphertexts = (sealed.tel_ct, sealed.card_sn_ct)
    return (person.psn_no, sealed.name_ct, person.brdy, *ciphertexts, person.died_on, person.version)


def _says_all(stated: StatedRow, certificates: Sequence[asyncpg.Record]) -> bool:
    """Whether a row says all that identifies whom it is about: indexes are equal for equal texts alone."""
    held = [(one["psn_cert_type"], one["stated_index"]) for one in certificates]
    return held == [(stated.row.certificate.type, stated.stated_index)]


def _person(
    row: asyncpg.Record,
    identity: _Identity,
    enrolments: Sequence[asyncpg.Record],
    registered: asyncpg.Record | None,
) -> Person:
    name, certificates, tel, card_sn = identity
    return Person(
        psn_no=row["psn_no"],
        name=name,
        certificates=certificates,
        brdy=row["brdy"],
        tel=tel,
        card_sn=card_sn,
        died_on=row["died_on"],
        enrolments=tuple(map(enrolment_of, enrolments)),
        registration=Registration(registered["verified_at"], registered["registered_by"]) if registered else None,
        guardians=frozenset(registered["guardians"] if registered else ()),
        version=row["version"],
    )


def _grouped(rows: Sequence[asyncpg.Record]) -> Mapping[str, list[asyncpg.Record]]:
    by_psn_no: defaultdict[str, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        by_psn_no[row["psn_no"]].append(row)
    return by_psn_no


def statements(person: Person, recorded_count: int = 0) -> list[tuple[object, ...]]:
    """The rows of `enrolment`, but for the first so many, which are recorded."""
    return [
        (
            *(person.psn_no, position, one.insutype, one.insuplc_admdvs, one.psn_insu_stas, one.arrears),
            *(one.valid_from, one.valid_to),
        )
        for position, one in enumerate(person.enrolments[recorded_count:], start=recorded_count + 1)
    ]
