"""Rows of many contributions ⇄ the domain. Accounts are locked first, then ids are claimed, both in sorted order."""

from collections.abc import Sequence
from typing import Final, Protocol

from settlement.account_repository import AccountRepository, PostgresAccountRepository, contribution_of
from settlement.domain.accounts import Contribution

_KNOWN: Final = """
SELECT contribution_id, psn_no, amount_fen, balance_after_fen, body_hash, kind FROM contribution
WHERE contribution_id = ANY($1::text[])
"""
_CLAIM: Final = """
INSERT INTO contribution (contribution_id, psn_no, amount_fen, balance_after_fen, body_hash, kind)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[], $6::text[]) AS c (contribution_id)
ORDER BY c.contribution_id
ON CONFLICT DO NOTHING
"""


class ContributionRepository(AccountRepository, Protocol):
    """The accounts and their contributions, many at once."""

    async def known_contributions(self, contribution_ids: Sequence[str]) -> dict[str, Contribution]:
        """Those of these contributions that there are, by id."""
        ...

    async def claim_all(self, contributions: Sequence[Contribution]) -> bool:
        """Record contributions of different ids; False if one of them was taken meanwhile."""
        ...


class PostgresContributionRepository(PostgresAccountRepository):
    """The same in one transaction. See `ContributionRepository`."""

    async def known_contributions(self, contribution_ids: Sequence[str]) -> dict[str, Contribution]:
        """See `ContributionRepository.known_contributions`."""
        rows = await self._raw.fetch(_KNOWN, list(contribution_ids))
        return {row["contribution_id"]: contribution_of(row) for row in rows}

    async def claim_all(self, contributions: Sequence[Contribution]) -> bool:
        """See `ContributionRepository.claim_all`."""
        status = await self._raw.execute(
            _CLAIM,
            [each.contribution_id for each in contributions],
            [each.psn_no for each in contributions],
            [each.amount_fen for each in contributions],
            [each.balance_after_fen for each in contributions],
            [each.body_hash for each in contributions],
            [each.kind for each in contributions],
        )
        return status == f"INSERT 0 {len(contributions)}"
