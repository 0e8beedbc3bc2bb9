"""What an import came to, for the person at the terminal; no personal data, only numbers of lines and reasons."""

import csv
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from identity.domain.register_import import Batch, RefusedRow
from identity.service.imports import ImportService

SHOWN_ROWS: Final = 20
PAGE_ROWS: Final = 1000
_HEADER_LINES: Final = 1


async def print_outcome(console: Console, imports: ImportService, batch: Batch) -> None:
    """Print the counts, and the first of the refused rows."""
    counts = f"changed {batch.changed_count}, unchanged {batch.unchanged_count}, refused {batch.refused_count}"
    console.print(f"batch {batch.batch_id}: rows {batch.next_row - 1}: {counts}", markup=False, highlight=False)
    _, refused = await imports.get(batch.batch_id, 1, SHOWN_ROWS)
    if refused:
        console.print(_table(refused))
    if batch.refused_count > len(refused):
        console.print(f"and {batch.refused_count - len(refused)} more; --refused FILE.csv writes them all")


def _table(refused: Sequence[RefusedRow]) -> Table:
    table = Table("line", "row", "why it was refused", box=None)
    for one in refused:
        table.add_row(str(one.row_number + _HEADER_LINES), str(one.row_number), one.description)
    return table


async def write_refused(file: Path, imports: ImportService, batch_id: str) -> None:
    """Write all refused rows to a CSV file: line, row, reason."""
    with file.open("w", encoding="utf-8", newline="") as output:
        writer = csv.writer(output)
        writer.writerow(("line", "row", "reason"))
        async for one in _all_refused(imports, batch_id):
            writer.writerow((one.row_number + _HEADER_LINES, one.row_number, one.description))


async def _all_refused(imports: ImportService, batch_id: str) -> AsyncIterator[RefusedRow]:
    first_row = 1
    while True:
        _, refused = await imports.get(batch_id, first_row, PAGE_ROWS)
        for one in refused:
            yield one
        if len(refused) < PAGE_ROWS:
            return
        first_row = refused[-1].row_number + 1
