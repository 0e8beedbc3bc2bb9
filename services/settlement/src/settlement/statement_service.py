"""Statements by period; reads only, page by page, so that memory does not grow with the period."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from kit.db import Work
from settlement.domain.accounts import AccountNotFoundError, StatementLine
from settlement.domain.statements import Period, Summary
from settlement.statement_repository import StatementRepository

PAGE_ENTRIES: Final = 500


class StatementService:
    """Statements of accounts that exist."""

    def __init__(self, work: Work[StatementRepository]) -> None:
        self._work = work

    async def page(
        self, psn_no: str, period: Period, after_version: int, limit: int
    ) -> tuple[Summary, list[StatementLine]]:
        """What the period comes to, and at most `limit` of its entries above that version, oldest first.

        Raises:
            AccountNotFoundError: the account was never opened.
        """
        async with self._work() as repository:
            if await repository.find(psn_no) is None:
                raise AccountNotFoundError("this person has no account")
            summary = await repository.summary(psn_no, period)
            return summary, await repository.lines(psn_no, period, after_version, limit)

    async def pages(
        self, psn_no: str, period: Period, summary: Summary
    ) -> AsyncGenerator[Sequence[StatementLine], None]:
        """All entries that the summary is about, oldest first; a transaction for each page."""
        after = 0
        while after < summary.last_version:
            async with self._work() as repository:
                found = await repository.lines(psn_no, period, after, PAGE_ENTRIES)
            if not found:
                return
            after = found[-1].version
            yield [line for line in found if line.version <= summary.last_version]

    async def whole(self, psn_no: str, period: Period, summary: Summary) -> Sequence[StatementLine]:
        """All entries that the summary is about, in memory; its caller has seen that they are not too many."""
        async with aclosing(self.pages(psn_no, period, summary)) as pages:
            return [line async for page in pages for line in page]
