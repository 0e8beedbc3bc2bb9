"""`identity import FILE.csv`: loads the register from a file, and goes on where an earlier run of it ended."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import uvloop
from rich.console import Console

from identity.config import ImportSettings
from identity.domain.refusals import IdentityRefusal
from identity.domain.register import RegisterRow, RowRefused
from identity.domain.register_import import Batch, Chunk, ImportChanged, Taken
from identity.importing.csv_file import examine, read
from identity.importing.report import print_outcome, write_refused
from identity.postgres import PostgresRepository
from identity.repository import Repository
from identity.service.imports import SLICE_ROWS, ImportService
from identity.vault import Vault
from kit.clock import SystemClock
from kit.crypto import KeyRing
from kit.csv_rows import Content, Encoding, UnusableFile
from kit.db import Database, DatabaseUnavailableError, PostgresWork, Transaction
from kit.db_errors import is_contention, is_unavailable
from kit.errors import Refusal
from kit.terminal import progress_of, stop_when_told

CALLER: Final = "command"
"""Who began a batch, as `GetImport` shows it."""
COLLECT_AFTER_OBJECTS: Final = 500_000
CONNECTIONS: Final = 2
"""One writes a chunk while the other looks who of the next is known."""

EXIT_COMPLETE: Final = 0
EXIT_FAILED: Final = 1
EXIT_ROWS_REFUSED: Final = 3
"""All rows were taken, but for some that were refused."""
EXIT_STOPPED: Final = 130


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """What the command line asks for."""

    file: Path
    batch_id: str
    """Empty: named after the content, so that the same file goes on by itself."""
    encoding: Encoding
    refused_file: Path | None
    chunk_rows: int


def run_import(settings: ImportSettings, order: ImportOrder, console: Console) -> int:
    """Carry out the order; the exit status."""
    # A chunk is some hundred thousand objects without cycles: looking for those would take a tenth of the time.
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS)
    return uvloop.run(_run(settings, order, console))


async def _run(settings: ImportSettings, order: ImportOrder, console: Console) -> int:
    database = Database(settings.database_url, CONNECTIONS, "identity import")
    vault = Vault(KeyRing.load(settings.keyring_file))

    def repository(transaction: Transaction) -> Repository:
        return PostgresRepository(transaction, vault)

    imports = ImportService(PostgresWork(database, repository), vault, SystemClock())
    try:
        await database.connect()
        return await _import(imports, order, console)
    except (UnusableFile, IdentityRefusal, DatabaseUnavailableError) as error:
        console.print(str(error), style="red", markup=False)
    except Exception as error:
        if not (is_unavailable(error) or is_contention(error) or isinstance(error, Refusal)):
            raise
        console.print(
            "the database is away or busy; what was taken stays taken. Run the same command again to go on",
            style="red",
        )
    finally:
        await database.close()
    return EXIT_FAILED


async def _import(imports: ImportService, order: ImportOrder, console: Console) -> int:
    content = examine(order.file, order.encoding)
    batch_id = order.batch_id or f"file-{content.sha256.hex()[:16]}"
    known = await imports.find(batch_id)
    _check_same_file(known, content)
    if known is not None and known.complete:
        console.print(f"batch {batch_id}: this file has been taken before, nothing is left to do", markup=False)
    else:
        await _load(imports, order, content, (batch_id, known.next_row if known else 1), console)
    batch = await imports.find(batch_id)
    if batch is None:
        console.print("stopped before the first row was taken")
        return EXIT_STOPPED
    await print_outcome(console, imports, batch)
    if order.refused_file is not None:
        await write_refused(order.refused_file, imports, batch_id)
    if not batch.complete:
        console.print(f"stopped. To go on with row {batch.next_row}: {_again(order, batch_id)}", markup=False)
        return EXIT_STOPPED
    return EXIT_ROWS_REFUSED if batch.refused_count else EXIT_COMPLETE


def _check_same_file(known: Batch | None, content: Content) -> None:
    if known is not None and known.content_sha256 not in {None, content.sha256}:
        raise ImportChanged(
            f"batch {known.batch_id} began with another file; take a new --batch, or the file as it was"
        )


async def _load(
    imports: ImportService, order: ImportOrder, content: Content, start: tuple[str, int], console: Console
) -> None:
    batch_id, first_row = start
    with progress_of(console) as progress, stop_when_told() as stopping:
        task = progress.add_task(batch_id, total=content.row_count, completed=first_row - 1)

        def tell(taken: Taken) -> None:
            progress.update(task, completed=taken.next_row - 1)

        await imports.load(_chunks(order, content, batch_id, first_row, stopping), CALLER, tell)


async def _chunks(
    order: ImportOrder, content: Content, batch_id: str, first_row: int, stopping: asyncio.Event
) -> AsyncIterator[Chunk]:
    rows, last = read(order.file, order.encoding, first_row), False
    while not (last or stopping.is_set()):
        some = await _some(rows, order.chunk_rows)
        last = first_row + len(some) > content.row_count
        if not (some or last):
            raise UnusableFile(f"{order.file.name}: the file was changed while it was being read")
        yield Chunk(batch_id, first_row, some, last, content.sha256)
        first_row += len(some)


async def _some(rows: Iterator[RegisterRow | RowRefused], count: int) -> list[RegisterRow | RowRefused]:
    some: list[RegisterRow | RowRefused] = []
    while len(some) < count and (more := list(islice(rows, min(SLICE_ROWS, count - len(some))))):
        some += more
        await asyncio.sleep(0)  # the chunk before is being written
    return some


def _again(order: ImportOrder, batch_id: str) -> str:
    encoding = f" --encoding {order.encoding}" if order.encoding != "utf-8" else ""
    return f"identity import {order.file} --batch {batch_id}{encoding}"
