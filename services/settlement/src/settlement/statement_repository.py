"""Entries of a period ⇄ the domain; read only. An account's entries are walked by its own index, in their order.

Times are given besides days, so that only the months of the period are looked at.
"""

from datetime import date, datetime
from typing import Final, Protocol

from settlement.account_repository import AccountRepository, PostgresAccountRepository, statement_line
from settlement.domain.accounts import StatementLine
from settlement.domain.statements import Period, Summary
from settlement.listing import bounds_of

_SUMMARY: Final = """
SELECT coalesce((SELECT balance_after_fen FROM entry
                 WHERE account_kind = 'PERSONAL' AND account_key = $1 AND business_day < $2 AND posted_at < $4
                 ORDER BY version DESC LIMIT 1), 0) AS opening_fen,
       coalesce(sum(amount_fen) FILTER (WHERE amount_fen > 0), 0)::bigint AS came_in_fen,
       coalesce(-sum(amount_fen) FILTER (WHERE amount_fen < 0), 0)::bigint AS went_out_fen,
       count(*) AS entry_count, coalesce(max(version), 0) AS last_version
FROM entry
WHERE account_kind = 'PERSONAL' AND account_key = $1 AND business_day BETWEEN $2 AND $3
  AND posted_at >= $4 AND posted_at < $5
"""
LINES: Final = """
SELECT version, entry_kind, amount_fen, balance_after_fen, posted_at,
       coalesce(settlement_id::text, contribution_id, posting_id::text) AS reference,
       coalesce(patient_psn_no, '') AS patient_psn_no, coalesce(fixmedins_code, '') AS fixmedins_code
FROM entry
WHERE account_kind = 'PERSONAL' AND account_key = $1 AND business_day BETWEEN $2 AND $3
  AND posted_at >= $4 AND posted_at < $5 AND version > $6
ORDER BY version LIMIT $7
"""


class StatementRepository(AccountRepository, Protocol):
    """The accounts and their entries by period."""

    async def summary(self, psn_no: str, period: Period) -> Summary:
        """What a period comes to."""
        ...

    async def lines(self, psn_no: str, period: Period, after_version: int, limit: int) -> list[StatementLine]:
        """At most `limit` entries of a period above that version, oldest first."""
        ...


class PostgresStatementRepository(PostgresAccountRepository):
    """The same in one transaction. See `StatementRepository`."""

    async def summary(self, psn_no: str, period: Period) -> Summary:
        """See `StatementRepository.summary`."""
        row = await self._raw.fetchrow(_SUMMARY, psn_no, *bounds_in_days_and_times(period))
        return Summary(**dict(row)) if row else Summary(0, 0, 0, 0, 0)

    async def lines(self, psn_no: str, period: Period, after_version: int, limit: int) -> list[StatementLine]:
        """See `StatementRepository.lines`."""
        rows = await self._raw.fetch(LINES, psn_no, *bounds_in_days_and_times(period), after_version, limit)
        return [statement_line(row) for row in rows]


def bounds_in_days_and_times(period: Period) -> tuple[date, date, datetime, datetime]:
    """Its days, and the times between which they are."""
    begins_at, _ = bounds_of(period.first)
    _, ends_at = bounds_of(period.last)
    return period.first, period.last, begins_at, ends_at
