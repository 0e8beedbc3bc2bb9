"""A statement as a file, in parts: CSV page by page, a PDF once it is drawn."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kit.clock import Clock
from settlement.domain.statements import Period, Summary
from settlement.statement_file import csv_file, file_name
from settlement.statement_service import StatementService
from settlement.statement_sheet import Holder, Sheet, refuse_too_long, sheet_of

PART_BYTES: Final = 256 * 1024

Draw = Callable[[Sheet], Awaitable[bytes]]
"""From a statement to a PDF. `settlement.statement_printing.Printing` is one."""


class Format(StrEnum):
    """What kind of file."""

    CSV = "csv"
    PDF = "pdf"


@dataclass(frozen=True, slots=True)
class Export:
    """What is asked for."""

    holder: Holder
    period: Period
    format: Format

    @property
    def file_name(self) -> str:
        """What the file is called."""
        return file_name(self.holder.psn_no, self.period, self.format)


class StatementExport:
    """Writes statements of accounts that exist."""

    def __init__(self, statements: StatementService, draw: Draw, clock: Clock) -> None:
        self._statements = statements
        self._draw = draw
        self._clock = clock

    async def parts(self, export: Export) -> AsyncGenerator[bytes, None]:
        """The bytes of the file; what is refused is refused before the first of them.

        Raises:
            AccountNotFoundError: the account was never opened.
            InvalidFields: the period has too many entries for a PDF.
        """
        summary, _ = await self._statements.page(export.holder.psn_no, export.period, 0, 1)
        if export.format is Format.PDF:
            content = await self._draw(await self._sheet(export, summary))
            for start in range(0, len(content), PART_BYTES):
                yield content[start : start + PART_BYTES]
            return
        async with (
            aclosing(self._statements.pages(export.holder.psn_no, export.period, summary)) as pages,
            aclosing(csv_file(export.period, summary, pages)) as parts,
        ):
            async for part in parts:
                yield part

    async def _sheet(self, export: Export, summary: Summary) -> Sheet:
        refuse_too_long(summary)
        lines = await self._statements.whole(export.holder.psn_no, export.period, summary)
        # In a thread: thousands of rows take the time of many settlements.
        return await asyncio.to_thread(sheet_of, export.holder, export.period, summary, lines, self._clock.now())
