"""The repository on PostgreSQL: rows to domain and back, whole batches in one statement each."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from datetime import datetime
from typing import cast

import asyncpg

from identity.domain.certificate import Certificate
from identity.domain.enrolment import Enrolment, InsuranceStatus, InsuranceType
from identity.domain.institution import Institution, InstitutionType, KnownInstitution
from identity.domain.person import Person, Registration
from identity.domain.visit import RemoteFiling, Voucher
from identity.repository import Access
from identity.vault import Vault
from kit.db import Transaction
from kit.outbox import Outbox, PostgresOutbox

# Row locks cannot keep a row from being created; these two keys of advisory locks do. One import at a time: imports
# are rare, and two with the same new person would otherwise both believe to be the first.
_LOCK_IMPORT = "SELECT pg_advisory_xact_lock(hashtextextended('identity import', 0))"
_LOCK_INSTITUTION = "SELECT pg_advisory_xact_lock(hashtextextended('institution ' || $1, 0))"

_INSURED = """
SELECT psn_no, name_ct, brdy, tel_ct, card_sn_ct, died_on, version
FROM insured WHERE psn_no = ANY($1::text[]) ORDER BY psn_no
"""
_CERTIFICATES = """
SELECT psn_no, psn_cert_type, number_ct FROM insured_certificate WHERE psn_no = ANY($1::text[])
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
INSERT INTO insured_certificate (psn_no, psn_cert_type, number_ct, number_index, real_name_index, card_index)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[])
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
# DO UPDATE and not DO NOTHING, so that the row of an earlier filing is returned as well.
_FILE = """
INSERT INTO remote_filing (filing_id, psn_no, admdvs, valid_from, valid_to) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (psn_no, admdvs, valid_from, valid_to) DO UPDATE SET psn_no = excluded.psn_no
RETURNING filing_id
"""
_FILINGS = """
SELECT filing_id, psn_no, admdvs, valid_from, valid_to FROM remote_filing WHERE psn_no = $1 ORDER BY filing_id
"""
_FORGET_VOUCHERS = "DELETE FROM voucher WHERE psn_no = $1 AND expires_at < $2"
_ADD_VOUCHER = "INSERT INTO voucher (token_index, psn_no, expires_at, fixmedins_code) VALUES ($1, $2, $3, $4)"
_LOCK_VOUCHER = "SELECT psn_no, expires_at, fixmedins_code FROM voucher WHERE token_index = $1 FOR UPDATE"
_BIND_VOUCHER = "UPDATE voucher SET fixmedins_code = $2 WHERE token_index = $1"
_INSTITUTION = """
SELECT fixmedins_code, fixmedins_name, fixmedins_type, admdvs, designated_from, designated_to, remote_settlement,
       suspended, version
FROM institution WHERE fixmedins_code = $1
"""
_SAVE_INSTITUTION = """
INSERT INTO institution (fixmedins_code, fixmedins_name, fixmedins_type, admdvs, designated_from, designated_to,
                         remote_settlement, suspended, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (fixmedins_code) DO UPDATE SET fixmedins_name = excluded.fixmedins_name,
    fixmedins_type = excluded.fixmedins_type, admdvs = excluded.admdvs, designated_from = excluded.designated_from,
    designated_to = excluded.designated_to, remote_settlement = excluded.remote_settlement,
    suspended = excluded.suspended, version = excluded.version
"""
_LOG_ACCESS = """
INSERT INTO access_log (occurred_at, caller, operation, means, outcome, request_id, psn_no, jti)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


class PostgresRepository:
    """See `identity.repository.Repository`; lives as long as its transaction."""

    def __init__(self, transaction: Transaction, vault: Vault) -> None:
        self._raw = transaction.raw
        self._vault = vault
        self.outbox: Outbox = PostgresOutbox(transaction, "identity")

    async def lock_import(self) -> None:
        """See the protocol."""
        await self._raw.execute(_LOCK_IMPORT)

    async def lock_persons(self, psn_nos: Sequence[str]) -> Mapping[str, Person]:
        """See the protocol. Rows are locked in the order of psn_no, so that two callers never wait in a circle."""
        return await self._persons(f"{_INSURED} FOR UPDATE", psn_nos)

    async def person(self, psn_no: str) -> Person | None:
        """See the protocol."""
        return (await self._persons(_INSURED, [psn_no])).get(psn_no)

    async def _persons(self, select: str, psn_nos: Sequence[str]) -> Mapping[str, Person]:
        insured = await self._raw.fetch(select, list(psn_nos))
        found = [row["psn_no"] for row in insured]
        if not found:
            return {}
        certificates = _grouped(await self._raw.fetch(_CERTIFICATES, found))
        enrolments = _grouped(await self._raw.fetch(_ENROLMENTS, found))
        registrations = _grouped(await self._raw.fetch(_REGISTRATIONS, found))
        return {
            psn_no: self._person(row, certificates[psn_no], enrolments[psn_no], registrations[psn_no])
            for row, psn_no in zip(insured, found, strict=True)
        }

    def _person(
        self,
        row: asyncpg.Record,
        certificates: Sequence[asyncpg.Record],
        enrolments: Sequence[asyncpg.Record],
        registrations: Sequence[asyncpg.Record],
    ) -> Person:
        psn_no = row["psn_no"]
        registered = registrations[0] if registrations else None
        return Person(
            psn_no=psn_no,
            name=self._vault.open(row["name_ct"], "name", psn_no),
            certificates=tuple(
                self._vault.open_certificate(psn_no, one["psn_cert_type"], one["number_ct"]) for one in certificates
            ),
            brdy=row["brdy"],
            tel=self._vault.open(row["tel_ct"], "tel", psn_no),
            card_sn=self._vault.open(row["card_sn_ct"], "card_sn", psn_no),
            died_on=row["died_on"],
            enrolments=tuple(_enrolment(one) for one in enrolments),
            registration=Registration(registered["verified_at"], registered["registered_by"]) if registered else None,
            guardians=frozenset(registered["guardians"] if registered else ()),
            version=row["version"],
        )

    async def save_persons(self, persons: Sequence[Person]) -> None:
        """See the protocol."""
        await self._save_insured(persons)
        await self._save_certificates(persons)
        await self._raw.execute(_SAVE_ENROLMENTS, *_columns([row for one in persons for row in _statements(one)], 8))
        registered = [
            (person.psn_no, person.registration.verified_at, person.registration.registered_by)
            for person in persons
            if person.registration is not None
        ]
        await self._raw.execute(_SAVE_REGISTRATIONS, *_columns(registered, 3))
        guardians = [(person.psn_no, guardian) for person in persons for guardian in sorted(person.guardians)]
        await self._raw.execute(_SAVE_GUARDIANS, *_columns(guardians, 2))

    async def _save_insured(self, persons: Sequence[Person]) -> None:
        rows = []
        for person in persons:
            sealed = self._vault.seal(person)
            rows.append(
                (
                    person.psn_no,
                    sealed.name_ct,
                    person.brdy,
                    sealed.tel_ct,
                    sealed.card_sn_ct,
                    person.died_on,
                    person.version,
                )
            )
        await self._raw.execute(_SAVE_INSURED, *_columns(rows, 7))

    async def _save_certificates(self, persons: Sequence[Person]) -> None:
        # All of them go before any comes: a number may move from one person of the batch to another.
        await self._raw.execute(_DROP_CERTIFICATES, [person.psn_no for person in persons])
        sealed = [astuple(row) for person in persons for row in self._vault.seal_certificates(person)]
        await self._raw.execute(_SAVE_CERTIFICATES, *_columns(sealed, 6))

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

    async def file_remote_care(self, filing: RemoteFiling) -> RemoteFiling:
        """See the protocol."""
        filing_id = await self._raw.fetchval(
            _FILE, filing.filing_id, filing.psn_no, filing.admdvs, filing.valid_from, filing.valid_to
        )
        return RemoteFiling(filing_id, filing.psn_no, filing.admdvs, filing.valid_from, filing.valid_to)

    async def filings(self, psn_no: str) -> Sequence[RemoteFiling]:
        """See the protocol."""
        return [RemoteFiling(**dict(row)) for row in await self._raw.fetch(_FILINGS, psn_no)]

    async def add_voucher(self, token: str, voucher: Voucher, forget_before: datetime) -> None:
        """See the protocol."""
        await self._raw.execute(_FORGET_VOUCHERS, voucher.psn_no, forget_before)
        index = self._vault.voucher_index(token)
        await self._raw.execute(_ADD_VOUCHER, index, voucher.psn_no, voucher.expires_at, voucher.fixmedins_code)

    async def lock_voucher(self, token: str) -> Voucher | None:
        """See the protocol."""
        row = await self._raw.fetchrow(_LOCK_VOUCHER, self._vault.voucher_index(token))
        return Voucher(**dict(row)) if row else None

    async def bind_voucher(self, token: str, fixmedins_code: str) -> None:
        """See the protocol."""
        await self._raw.execute(_BIND_VOUCHER, self._vault.voucher_index(token), fixmedins_code)

    async def lock_institution(self, fixmedins_code: str) -> KnownInstitution | None:
        """See the protocol."""
        await self._raw.execute(_LOCK_INSTITUTION, fixmedins_code)
        row = await self._raw.fetchrow(f"{_INSTITUTION} FOR UPDATE", fixmedins_code)
        return KnownInstitution(_institution(row), row["version"]) if row else None

    async def institution(self, fixmedins_code: str) -> Institution | None:
        """See the protocol."""
        row = await self._raw.fetchrow(_INSTITUTION, fixmedins_code)
        return _institution(row) if row else None

    async def save_institution(self, known: KnownInstitution) -> None:
        """See the protocol."""
        await self._raw.execute(_SAVE_INSTITUTION, *astuple(known.institution), known.version)

    async def log_access(self, access: Access) -> None:
        """See the protocol."""
        await self._raw.execute(_LOG_ACCESS, *astuple(access))


def _columns(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    """Rows as the arrays that `unnest` takes; `width` empty ones for no rows."""
    return [[row[column] for row in rows] for column in range(width)]


def _grouped(rows: Sequence[asyncpg.Record]) -> Mapping[str, list[asyncpg.Record]]:
    by_psn_no: defaultdict[str, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        by_psn_no[row["psn_no"]].append(row)
    return by_psn_no


def _statements(person: Person) -> list[tuple[object, ...]]:
    return [(person.psn_no, position, *astuple(one)) for position, one in enumerate(person.enrolments, start=1)]


def _enrolment(row: asyncpg.Record) -> Enrolment:
    return Enrolment(
        InsuranceType(row["insutype"]),
        row["insuplc_admdvs"],
        InsuranceStatus(row["psn_insu_stas"]),
        row["arrears"],
        row["valid_from"],
        row["valid_to"],
    )


def _institution(row: asyncpg.Record) -> Institution:
    return Institution(
        row["fixmedins_code"],
        row["fixmedins_name"],
        InstitutionType(row["fixmedins_type"]),
        row["admdvs"],
        row["designated_from"],
        row["designated_to"],
        row["remote_settlement"],
        row["suspended"],
    )
