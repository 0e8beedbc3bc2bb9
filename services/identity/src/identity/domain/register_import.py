"""A batch of the register, taken chunk by chunk: which rows are still to be taken, and what it came to so far. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from identity.domain.refusals import IdentityRefusal
from identity.domain.register import RegisterRow, RowRefused

FINGERPRINT_BYTES = 8
"""A row's own, keyed: a changed row passes for the old one once in 2^64."""


class ImportChanged(IdentityRefusal):
    """What is sent is not what was sent under this batch before."""

    reason = "IMPORT_CHANGED"
    message = "other content was sent under this batch before; take a new batch id"


class ImportGap(IdentityRefusal):
    """Rows are missing before these."""

    reason = "IMPORT_GAP"


class ImportNotFound(IdentityRefusal):
    """Nothing was ever taken under this batch."""

    reason = "NOT_FOUND"
    message = "no row was ever taken under this batch"


@dataclass(frozen=True, slots=True)
class Batch:
    """What has been taken under one batch id."""

    batch_id: str
    started_by: str
    started_at: datetime
    updated_at: datetime
    content_sha256: bytes | None = None
    """Of the whole file; None if the sender does not state it."""
    next_row: int = 1
    changed_count: int = 0
    unchanged_count: int = 0
    refused_count: int = 0
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a batch, one after another; they are taken together or not at all."""

    batch_id: str
    first_row: int
    """The number of the first of them, from 1."""
    rows: Sequence[RegisterRow | RowRefused]
    last: bool = False
    """Whether the batch ends with them."""
    content_sha256: bytes | None = None

    @property
    def end(self) -> int:
        """The number after that of the last row."""
        return self.first_row + len(self.rows)


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that was not taken."""

    row_number: int
    description: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What a chunk came to."""

    next_row: int
    """Of the batch afterwards."""
    changed_count: int
    unchanged_count: int
    """The repeated ones that were not refused are among them."""
    refused: Sequence[RefusedRow]
    repeated_count: int
    """How many of the rows had been taken before."""


def repeated(batch: Batch, chunk: Chunk) -> int:
    """How many of the chunk's rows, from its first on, have been taken already.

    Raises:
        ImportChanged: the file is another than the batch began with, or ends before or after where it ended.
        ImportGap: rows are missing between what has been taken and these.
    """
    if batch.content_sha256 and chunk.content_sha256 and batch.content_sha256 != chunk.content_sha256:
        raise ImportChanged("the file is another than this batch began with; take a new batch id")
    if chunk.first_row > batch.next_row:
        raise ImportGap(
            f"rows are missing before these: the batch goes on with row {batch.next_row}",
            {"next_row": str(batch.next_row)},
        )
    if chunk.last and chunk.end < batch.next_row:
        raise ImportChanged("rows beyond these were taken under this batch; take a new batch id")
    if batch.complete and chunk.end > batch.next_row:
        raise ImportChanged(f"the batch was complete with row {batch.next_row - 1}; take a new batch id")
    return min(batch.next_row, chunk.end) - chunk.first_row


def check_same(first_row: int, before: bytes, now: bytes) -> None:
    """Compare the fingerprints of repeated rows.

    Raises:
        ImportChanged: a row differs from the one that was taken under its number; says which.
    """
    if before == now:
        return
    places = range(0, len(now), FINGERPRINT_BYTES)
    differs = [before[at : at + FINGERPRINT_BYTES] != now[at : at + FINGERPRINT_BYTES] for at in places]
    row_number = first_row + differs.index(True)
    raise ImportChanged(
        f"row {row_number} is another than was taken under this batch and number; take a new batch id",
        {"row_number": str(row_number)},
    )


def advance(batch: Batch, chunk: Chunk, taken: Taken, now: datetime) -> Batch:
    """The batch after the chunk; `taken` counts its new rows alone."""
    return replace(
        batch,
        updated_at=now,
        content_sha256=batch.content_sha256 or chunk.content_sha256,
        next_row=max(batch.next_row, chunk.end),
        changed_count=batch.changed_count + taken.changed_count,
        unchanged_count=batch.unchanged_count + taken.unchanged_count,
        refused_count=batch.refused_count + len(taken.refused),
        complete=batch.complete or chunk.last,
    )
