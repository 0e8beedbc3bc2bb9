"""`settlement import-contributions FILE`: credits contributions from a file, each once, run as often as need be.

What was credited stays credited, whatever ends a run; the next run of the same file passes over it by its ids.
"""

import asyncio
import csv
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvloop
from rich.console import Console
from rich.table import Table

from kit.clock import clock_from
from kit.config import ClockSettings
from kit.csv_rows import Content, Encoding, FieldReader, LineRefused, UnusableFile, examine, lines_from
from kit.db import Database, DatabaseUnavailableError, PostgresWork
from kit.db_errors import is_contention, is_unavailable
from kit.terminal import progress_of, stop_when_told
from settlement.contribution_repository import PostgresContributionRepository
from settlement.contribution_service import ContributionService, Numbered
from settlement.domain.accounts import ContributionKind
from settlement.domain.contributing import MAX_AMOUNT_FEN, Refused, Row, RowRefused, Taken, row_of
from settlement.domain.reasons import SettlementRefusedError

if TYPE_CHECKING:
    from rich.progress import Progress

COLUMNS: Final = ("contribution_id", "psn_no", "amount", "kind")
"""The header, in any order. Amounts in fen; kind is contribution or interest, empty means contribution."""
CHUNK_ROWS: Final = 4000
COLLECT_AFTER_OBJECTS: Final = 500_000
CONNECTIONS: Final = 2
"""One writes a chunk while the other reads what the next one will find."""
SHOWN_ROWS: Final = 20
LONGEST_AMOUNT_DIGITS: Final = 18
_HEADER_LINES: Final = 1

EXIT_COMPLETE: Final = 0
EXIT_FAILED: Final = 1
EXIT_ROWS_REFUSED: Final = 3
"""All rows were taken, but for some that were refused."""
EXIT_STOPPED: Final = 130

_KINDS: Final = {
    "": ContributionKind.CONTRIBUTION,
    **{kind.lower(): kind for kind in ContributionKind},
}


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """What the command line asks for."""

    file: Path
    refused_file: Path | None
    encoding: Encoding = "utf-8"


@dataclass(slots=True)
class Outcome:
    """What the file has come to so far."""

    row_count: int = 0
    credited_count: int = 0
    credited_fen: int = 0
    repeated_count: int = 0
    refused_count: int = 0
    shown: list[Refused] = field(default_factory=list)

    def count(self, rows: int, taken: Taken) -> None:
        """Add what some rows came to."""
        self.row_count += rows
        self.credited_count += len(taken.credited)
        self.credited_fen += taken.credited_fen
        self.repeated_count += taken.repeated_count
        self.refused_count += len(taken.refused)
        self.shown.extend(taken.refused[: SHOWN_ROWS - len(self.shown)])


def run_import(settings: ClockSettings, order: ImportOrder, console: Console) -> int:
    """Carry out the order; the exit status."""
    # A chunk is some ten thousand objects without cycles: looking for those would take a tenth of the time.
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS)
    return uvloop.run(_run(settings, order, console))


async def _run(settings: ClockSettings, order: ImportOrder, console: Console) -> int:
    database = Database(settings.database_url, CONNECTIONS, "settlement import")
    service = ContributionService(PostgresWork(database, PostgresContributionRepository), clock_from(settings))
    try:
        await database.connect()
        return await _import(service, order, console)
    except (UnusableFile, DatabaseUnavailableError, SettlementRefusedError) as error:
        console.print(str(error), style="red", markup=False)
    except Exception as error:
        if not (is_unavailable(error) or is_contention(error)):
            raise
        console.print(
            "the database is away or busy; what was credited stays credited. Run the same command again to go on",
            style="red",
        )
    finally:
        await database.close()
    return EXIT_FAILED


async def _import(service: ContributionService, order: ImportOrder, console: Console) -> int:
    content, outcome = examine(order.file, order.encoding, COLUMNS), Outcome()
    with _writer(order.refused_file) as refused, progress_of(console) as progress, stop_when_told() as stopping:
        task = progress.add_task(order.file.name, total=content.row_count)
        async for rows in _chunks(order, content, stopping):
            taken = await service.take(rows)
            outcome.count(len(rows), taken)
            if refused is not None:
                refused.writerows(_written(one) for one in taken.refused)
            _tell(progress, task, outcome)
    print_outcome(console, outcome)
    if outcome.row_count < content.row_count:
        console.print("stopped. What was credited stays credited: run the same command again to go on")
        return EXIT_STOPPED
    return EXIT_ROWS_REFUSED if outcome.refused_count else EXIT_COMPLETE


def _tell(progress: "Progress", task: Any, outcome: Outcome) -> None:
    progress.update(task, completed=outcome.row_count)


async def _chunks(order: ImportOrder, content: Content, stopping: asyncio.Event) -> AsyncIterator[list[Numbered]]:
    rows, done = enumerate(read(order.file, order.encoding), start=1), 0
    while done < content.row_count and not stopping.is_set():
        some = list(islice(rows, CHUNK_ROWS))
        if not some:
            raise UnusableFile(f"{order.file.name}: the file was changed while it was being read")
        done += len(some)
        yield some


def read(file: Path, encoding: Encoding = "utf-8") -> Iterator[Row | RowRefused]:
    """The rows of an examined file.

    Raises:
        UnusableFile: header or packing are broken.
    """
    places, lines = lines_from(file, encoding, COLUMNS)
    reader = FieldReader(places, encoding)
    for line in lines:
        yield _row(reader, line)


def _row(reader: FieldReader, line: bytes | None) -> Row | RowRefused:
    try:
        contribution_id, psn_no, amount, kind = map(str.strip, reader.fields(line))
    except LineRefused as refusal:
        return RowRefused("INVALID_FIELDS", str(refusal))
    if not (amount.isascii() and amount.isdigit()):
        return RowRefused("INVALID_FIELDS", "amount must be a whole number of fen, without sign or point")
    if kind.lower() not in _KINDS:
        return RowRefused("INVALID_FIELDS", "kind must be contribution or interest; empty means contribution")
    amount_fen = int(amount) if len(amount) <= LONGEST_AMOUNT_DIGITS else MAX_AMOUNT_FEN + 1
    return row_of(psn_no, contribution_id, amount_fen, _KINDS[kind.lower()])


@contextmanager
def _writer(file: Path | None) -> Iterator[Any]:
    if file is None:
        yield None
        return
    with file.open("w", encoding="utf-8", newline="") as output:
        writer = csv.writer(output)
        writer.writerow(("line", "row", "reason", "description"))
        yield writer


def _written(one: Refused) -> tuple[str, str, str, str]:
    return str(one.number + _HEADER_LINES), str(one.number), one.reason, one.description


def print_outcome(console: Console, outcome: Outcome) -> None:
    """Print the counts, and the first of the refused rows; no personal data, only numbers of lines and reasons."""
    counts = f"credited {outcome.credited_count} ({outcome.credited_fen} fen), credited before {outcome.repeated_count}"
    console.print(f"rows {outcome.row_count}: {counts}, refused {outcome.refused_count}", markup=False, highlight=False)
    if outcome.shown:
        table = Table("line", "row", "reason", "why it was refused", box=None)
        for one in outcome.shown:
            table.add_row(*_written(one))
        console.print(table)
    if outcome.refused_count > len(outcome.shown):
        console.print(f"and {outcome.refused_count - len(outcome.shown)} more; --refused FILE.csv writes them all")
