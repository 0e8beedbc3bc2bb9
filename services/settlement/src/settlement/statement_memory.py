"""Entries of a period in memory: the double of `PostgresStatementRepository` for unit tests."""

from settlement.account_memory import MemoryAccounts, statement_line
from settlement.domain.accounts import StatementLine
from settlement.domain.ledger import AccountKind, EntryRow
from settlement.domain.statements import Period, Summary


class MemoryStatements(MemoryAccounts):
    """See `settlement.statement_repository.StatementRepository`. Use with `kit.testing.MemoryWork`."""

    def _own(self, psn_no: str) -> list[EntryRow]:
        own = (AccountKind.PERSONAL, psn_no)
        return [row for row in self.entries if (row.account_kind, row.account_key) == own]

    async def summary(self, psn_no: str, period: Period) -> Summary:
        """See `StatementRepository.summary`."""
        before = [row for row in self._own(psn_no) if row.occasion.business_day < period.first]
        within = [row for row in self._own(psn_no) if period.first <= row.occasion.business_day <= period.last]
        return Summary(
            opening_fen=before[-1].balance_after_fen or 0 if before else 0,
            came_in_fen=sum(row.amount_fen for row in within if row.amount_fen > 0),
            went_out_fen=-sum(row.amount_fen for row in within if row.amount_fen < 0),
            entry_count=len(within),
            last_version=max((row.version or 0 for row in within), default=0),
        )

    async def lines(self, psn_no: str, period: Period, after_version: int, limit: int) -> list[StatementLine]:
        """See `StatementRepository.lines`."""
        found = [
            statement_line(row)
            for row in self._own(psn_no)
            if period.first <= row.occasion.business_day <= period.last and (row.version or 0) > after_version
        ]
        return sorted(found, key=lambda line: line.version)[:limit]
