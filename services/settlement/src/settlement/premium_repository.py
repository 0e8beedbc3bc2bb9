"""Rows of premiums beside those of settlements: what a year's premium is, and who has paid it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol
from uuid import UUID

from kit.db import Transaction
from settlement.domain.premiums import Terms

InsuredYear = tuple[str, int]
"""psn_no of an insured person, and the calendar year."""

_TERMS = """
SELECT DISTINCT ON (year) year, amount_fen, collect_from, collect_to FROM premium_terms
WHERE year = ANY($1::smallint[]) ORDER BY year, id DESC
"""
_STATE = """
INSERT INTO premium_terms (year, amount_fen, collect_from, collect_to, stated_by, stated_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_PAID = """
SELECT psn_no, premium_year FROM settlement
JOIN unnest($1::text[], $2::smallint[]) AS asked (psn_no, premium_year) USING (psn_no, premium_year)
WHERE state = 'SETTLED'
"""
_NEWEST = """
SELECT id FROM (
    (SELECT id FROM settlement
     WHERE psn_no = $1 AND premium_year IS NOT NULL AND state IN ('SETTLED', 'REVERSED')
       AND ($2::smallint IS NULL OR premium_year = $2) AND ($3::uuid IS NULL OR id < $3)
     ORDER BY id DESC LIMIT $4)
    UNION
    (SELECT id FROM settlement
     WHERE premium_payer_psn_no = $1 AND premium_year IS NOT NULL AND state IN ('SETTLED', 'REVERSED')
       AND ($2::smallint IS NULL OR premium_year = $2) AND ($3::uuid IS NULL OR id < $3)
     ORDER BY id DESC LIMIT $4)
) AS either ORDER BY id DESC LIMIT $4
"""


class PremiumRepository(Protocol):
    """Premiums, in one unit of work; their payments are settlements."""

    async def terms(self, years: Iterable[int]) -> dict[int, Terms]:
        """What the premiums of these years are, of those that have been stated; the last word holds."""
        ...

    async def state(self, terms: Terms, by: str, at: datetime) -> None:
        """Keep what an operator says of a year's premium."""
        ...

    async def paid(self, asked: Iterable[InsuredYear]) -> set[InsuredYear]:
        """Those of these premiums that are paid; a payment under way or given back does not count."""
        ...

    async def newest(self, psn_no: str, year: int | None, before: UUID | None, limit: int) -> list[UUID]:
        """Ids of payments that took money for a person or from the person's account, newest first."""
        ...


class PostgresPremiumRepository:
    """See `PremiumRepository`."""

    def __init__(self, transaction: Transaction) -> None:
        self._raw = transaction.raw

    async def terms(self, years: Iterable[int]) -> dict[int, Terms]:
        """See `PremiumRepository.terms`."""
        return {row["year"]: Terms(**dict(row)) for row in await self._raw.fetch(_TERMS, list(set(years)))}

    async def state(self, terms: Terms, by: str, at: datetime) -> None:
        """See `PremiumRepository.state`."""
        await self._raw.execute(_STATE, terms.year, terms.amount_fen, terms.collect_from, terms.collect_to, by, at)

    async def paid(self, asked: Iterable[InsuredYear]) -> set[InsuredYear]:
        """See `PremiumRepository.paid`."""
        listed = list(asked)
        psn_nos, years = [psn_no for psn_no, _ in listed], [year for _, year in listed]
        return {(row["psn_no"], row["premium_year"]) for row in await self._raw.fetch(_PAID, psn_nos, years)}

    async def newest(self, psn_no: str, year: int | None, before: UUID | None, limit: int) -> list[UUID]:
        """See `PremiumRepository.newest`."""
        return [row["id"] for row in await self._raw.fetch(_NEWEST, psn_no, year, before, limit)]
