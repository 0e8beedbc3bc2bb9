"""Statements of enrolment on PostgreSQL, and how a row becomes one."""

from collections.abc import Sequence

import asyncpg

from identity.domain.enrolment import Enrolment, InsuranceStatus, InsuranceType
from identity.postgres.rows import Rows
from identity.repository import RecordedEnrolment

_RECORDED = """
SELECT position, insutype, insuplc_admdvs, psn_insu_stas, arrears, valid_from, valid_to, recorded_at FROM enrolment
WHERE psn_no = $1 AND ($2::integer IS NULL OR position < $2) ORDER BY position DESC LIMIT $3
"""


class PostgresEnrolments(Rows):
    """See `identity.repository.enrolments`."""

    async def enrolments_recorded(self, psn_no: str, before: int | None, limit: int) -> Sequence[RecordedEnrolment]:
        """See the protocol."""
        rows = await self._raw.fetch(_RECORDED, psn_no, before, limit)
        return [RecordedEnrolment(row["position"], enrolment_of(row), row["recorded_at"]) for row in rows]


def enrolment_of(row: asyncpg.Record) -> Enrolment:
    """The statement in a row."""
    return Enrolment(
        InsuranceType(row["insutype"]),
        row["insuplc_admdvs"],
        InsuranceStatus(row["psn_insu_stas"]),
        row["arrears"],
        row["valid_from"],
        row["valid_to"],
    )
