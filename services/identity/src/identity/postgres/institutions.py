"""Institutions on PostgreSQL."""

from dataclasses import astuple

import asyncpg

from identity.domain.institution import Institution, InstitutionType, KnownInstitution
from identity.postgres.rows import Rows

# Row locks cannot keep a row from being created; this key of an advisory lock does.
_LOCK_INSTITUTION = "SELECT pg_advisory_xact_lock(hashtextextended('institution ' || $1, 0))"
_INSTITUTION = "SELECT pg_advisory_xact_lock(hashtextextended('institution ' || $1, 0))"

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


class PostgresInstitutions(Rows):
    """See `identity.repository.institutions`."""

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
