"""The contract's side of imports: the stream of rows, and what operators ask about batches."""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from gongji.identity.v1 import person_pb2, register_import_pb2, register_import_pb2_grpc
from identity import codec
from identity.domain.register_import import Batch, Chunk, RefusedRow, Taken
from identity.service import ImportService
from identity.servicer.services import PersonMethods
from kit import auth
from kit.errors import FieldViolation, InvalidFields

MAX_REFUSED_ROWS: Final = 1000
"""How many refused rows the answer to a stream describes; it counts all, and GetImport has all."""
REFUSED_A_PAGE: Final = 100
IMPORTS_A_PAGE: Final = 20


class ImportMethods(PersonMethods):
    """See the contract."""

    async def ImportInsured(  # noqa: N802 - the contract's name
        self, request_iterator: Any, context: Any
    ) -> person_pb2.ImportInsuredResponse:
        """See the contract. Each message of the stream is a chunk, a transaction of its own."""
        del context
        tally = _Tally()
        chunks = _chunks(request_iterator, tally)
        await self._services.imports.load(chunks, str(auth.current().principal), tally.count)
        return tally.answer()


async def _chunks(requests: AsyncIterable[person_pb2.ImportInsuredRequest], tally: "_Tally") -> AsyncIterator[Chunk]:
    batch_id, next_row = "", 1
    async for request in requests:
        if batch_id not in {"", request.batch_id}:
            raise InvalidFields([FieldViolation("batch_id", "must be the same in every message of a stream")])
        batch_id, first_row = request.batch_id, request.first_row or next_row
        rows = [codec.register_row(row) for row in request.rows]
        next_row = first_row + len(rows)
        tally.received_count += len(rows)
        yield Chunk(batch_id, first_row, rows, request.last, bytes.fromhex(request.content_sha256) or None)


@dataclass(slots=True)
class _Tally:
    """What a stream has come to so far."""

    received_count: int = 0
    changed_count: int = 0
    unchanged_count: int = 0
    refused_count: int = 0
    repeated_count: int = 0
    next_row: int = 0
    refused: list[RefusedRow] = field(default_factory=list)

    def count(self, taken: Taken) -> None:
        self.changed_count += taken.changed_count
        self.unchanged_count += taken.unchanged_count
        self.refused_count += len(taken.refused)
        self.repeated_count += taken.repeated_count
        self.next_row = taken.next_row
        self.refused.extend(taken.refused[: MAX_REFUSED_ROWS - len(self.refused)])

    def answer(self) -> person_pb2.ImportInsuredResponse:
        return person_pb2.ImportInsuredResponse(
            received_count=self.received_count,
            changed_count=self.changed_count,
            unchanged_count=self.unchanged_count,
            refused=[_refused(one) for one in self.refused],
            refused_count=self.refused_count,
            repeated_count=self.repeated_count,
            next_row=self.next_row,
        )


class RegisterImportServicer(register_import_pb2_grpc.RegisterImportServiceServicer):
    """Serves `gongji.identity.v1.RegisterImportService`."""

    def __init__(self, imports: ImportService) -> None:
        self._imports = imports

    async def GetImport(  # noqa: N802 - the contract's name
        self, request: register_import_pb2.GetImportRequest, context: Any
    ) -> register_import_pb2.GetImportResponse:
        """See the contract. The token of a page is the number of its first row."""
        del context
        size = request.page_size or REFUSED_A_PAGE
        batch, refused = await self._imports.get(request.batch_id, int(request.page_token or 1), size + 1)
        return register_import_pb2.GetImportResponse(
            register_import=_batch(batch),
            refused=[_refused(one) for one in refused[:size]],
            next_page_token=str(refused[size].row_number) if len(refused) > size else "",
        )

    async def ListImports(  # noqa: N802 - the contract's name
        self, request: register_import_pb2.ListImportsRequest, context: Any
    ) -> register_import_pb2.ListImportsResponse:
        """See the contract. The token of a page is the place of the last import of the page before."""
        del context
        size = request.page_size or IMPORTS_A_PAGE
        before = int(request.page_token) if request.page_token else None
        found = await self._imports.batches(before, size + 1)
        shown = found[:size]
        return register_import_pb2.ListImportsResponse(
            register_imports=[_batch(batch) for _, batch in shown],
            next_page_token=str(shown[-1][0]) if len(found) > size else "",
        )


def _batch(batch: Batch) -> register_import_pb2.RegisterImport:
    complete, is_open = (
        register_import_pb2.REGISTER_IMPORT_STATE_COMPLETE,
        register_import_pb2.REGISTER_IMPORT_STATE_OPEN,
    )
    return register_import_pb2.RegisterImport(
        batch_id=batch.batch_id,
        state=complete if batch.complete else is_open,
        next_row=batch.next_row,
        changed_count=batch.changed_count,
        unchanged_count=batch.unchanged_count,
        refused_count=batch.refused_count,
        content_sha256=batch.content_sha256.hex() if batch.content_sha256 else "",
        started_by=batch.started_by,
        started_at=codec.timestamp(batch.started_at),
        updated_at=codec.timestamp(batch.updated_at),
    )


def _refused(one: RefusedRow) -> person_pb2.RefusedRow:
    return person_pb2.RefusedRow(row_number=one.row_number, description=one.description)
