"""Many contributions in memory: the double of `PostgresContributionRepository` for unit tests."""

from collections.abc import Sequence

from settlement.account_memory import MemoryAccounts
from settlement.domain.accounts import Contribution


class MemoryContributions(MemoryAccounts):
    """See `settlement.contribution_repository.ContributionRepository`. Use with `kit.testing.MemoryWork`."""

    async def known_contributions(self, contribution_ids: Sequence[str]) -> dict[str, Contribution]:
        """See `ContributionRepository.known_contributions`."""
        return {each: self.contributions[each] for each in contribution_ids if each in self.contributions}

    async def claim_all(self, contributions: Sequence[Contribution]) -> bool:
        """See `ContributionRepository.claim_all`."""
        return all([await self.claim(each) for each in contributions])
