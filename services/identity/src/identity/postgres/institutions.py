"""Institutions on PostgreSQL."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from identity.domain.institution import Designation, Institution, InstitutionType, KnownInstitution
from identity.postgres.rows import Rows

# Row locks cannot keep a row from being created; this key of an advisory lock does.
_LOCK_INSTITUTION = "SELECT pg_advisory_xact_lock(hashtextextended('institution ' || $1, 0))"
_SELECT = """
SELECT fixmedins_code, fixmedins_name, fixmedins_type, admdvs, designations_from, designations_to, remote_settlement,
       suspended, version, suspended_by_operators
FROM institution
"""
_INSTITUTION = f"{_SELECT} WHERE fixmedins_code = $1"
_LISTED = f"""
{_SELECT} WHERE starts_with(admdvs, $1) AND fixmedins_code > $2 AND (suspended OR NOT $4)
ORDER BY fixmedins_code LIMIT $3
"""
_SAVE_INSTITUTION = """
INSERT INTO institution (fixmedins_code, fixmedins_name, fixmedins_type, admdvs, designations_from, designations_to,
                         remote_settlement, suspended, version, suspended_by_operators, designated_from, designated_to)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (fixmedins_code) DO UPDATE SET fixmedins_name = excluded.fixmedins_name,
    fixmedins_type = excluded.fixmedins_type, admdvs = excluded.admdvs,
    designations_from = excluded.designations_from, designations_to = excluded.designations_to,
    remote_settlement = excluded.remote_settlement, suspended = excluded.suspended, version = excluded.version,
    suspended_by_operators = excluded.suspended_by_operators,
    designated_from = excluded.designated_from, designated_to = excluded.designated_to
"""


class PostgresInstitutions(Rows):
    """See `identity.repository.institutions`."""

    async def lock_institution(self, fixmedins_code: str) -> KnownInstitution | None:
        """See the protocol."""
        await self._raw.execute(_LOCK_INSTITUTION, fixmedins_code)
        row = await self._raw.fetchrow(f"{_INSTITUTION} FOR UPDATE", fixmedins_code)
        return KnownInstitution(institution_of(row), row["version"], row["suspended_by_operators"]) if row else None

    async def institution(self, fixmedins_code: str) -> Institution | None:
        """See the protocol."""
        row = await self._raw.fetchrow(_INSTITUTION, fixmedins_code)
        return institution_of(row) if row else None

    async def save_institution(self, known: KnownInstitution) -> None:
        """See the protocol."""
        periods = known.institution.designations
        last = (periods[-1].valid_from, periods[-1].valid_to) if periods else (None, None)
        values = (*institution_values(known.institution), known.version, known.suspended_by_operators, *last)
        await self._raw.execute(_SAVE_INSTITUTION, *values)

    async def institutions_by_code(
        self, admdvs_prefix: str, after: str, limit: int, *, suspended_only: bool
    ) -> Sequence[Institution]:
        """See the protocol."""
        rows = await self._raw.fetch(_LISTED, admdvs_prefix, after, limit, suspended_only)
        return [institution_of(row) for row in rows]


def institution_values(institution: Institution) -> tuple[Any, ...]:
    """The columns of an institution, its periods as two arrays of the same length."""
    first_days = [period.valid_from for period in institution.designations]
    last_days = [period.valid_to for period in institution.designations]
    return (
        institution.fixmedins_code,
        institution.fixmedins_name,
        institution.fixmedins_type,
        institution.admdvs,
        first_days,
        last_days,
        institution.remote_settlement,
        institution.suspended,
    )


def institution_of(row: asyncpg.Record) -> Institution:
    """The institution in those columns."""
    periods = zip(row["designations_from"], row["designations_to"], strict=True)
    return Institution(
        row["fixmedins_code"],
        row["fixmedins_name"],
        InstitutionType(row["fixmedins_type"]),
        row["admdvs"],
        tuple(Designation(first, last) for first, last in periods),
        row["remote_settlement"],
        row["suspended"],
    )
