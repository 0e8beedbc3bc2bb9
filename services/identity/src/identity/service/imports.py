"""Taking in batches of the register: each chunk is one transaction, prepared while the one before is being written."""

import asyncio
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from identity import events
from identity.domain.enrolment import Enrolment, is_known
from identity.domain.person import Person, only_enrolled
from identity.domain.register import Intake, RegisterRow, RowRefused, checked, fold
from identity.domain.register_import import (
    FINGERPRINT_BYTES,
    Batch,
    Chunk,
    ImportNotFound,
    RefusedRow,
    Taken,
    advance,
    check_same,
    repeated,
)
from identity.repository import Repository
from identity.repository.imports import SealedRow, StatedRow
from identity.vault import Vault
from kit.clock import Clock, shanghai_date
from kit.db import Work, retrying

SLICE_ROWS: Final = 50
"""Rows that are prepared in one go, some 2 ms: between slices the process attends to its database and to others."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A chunk with all that can be worked out without a lock."""

    chunk: Chunk
    """Its rows are checked."""
    fingerprints: bytes
    stated: Sequence[bytes]
    """stated_index by place; empty for a row that could not be read."""
    existing: frozenset[str]
    """Those of the persons who seemed to be in the register. A hint of what is worth asking and sealing, no more: who
    is new is decided under the lock."""
    sealed: Mapping[str, SealedRow]
    """By psn_no, of persons who did not seem to be in the register."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the new rows of a chunk come to."""

    intake: Intake
    refused: Sequence[RefusedRow]
    unchanged_count: int


class ImportService:
    """Imports of the register of insured persons.

    Args:
        work: units of work on register and imports.
        vault: seals what is personal before the transaction, so that locks are held for the writing alone.
        clock: the process's.
    """

    def __init__(self, work: Work[Repository], vault: Vault, clock: Clock) -> None:
        self._work = work
        self._vault = vault
        self._clock = clock

    async def load(self, chunks: AsyncIterable[Chunk], caller: str, tell: Callable[[Taken], None]) -> None:
        """Take chunk after chunk, and `tell` of each once it is kept.

        Whatever ends it, the chunk under way is taken whole or not at all, and those before it stay.

        Raises:
            ImportChanged, ImportGap: see `identity.domain.register_import`.
        """
        writing: asyncio.Task[Taken] | None = None
        try:
            async for chunk in chunks:
                prepared = await self.prepare(chunk)
                if writing is not None:
                    tell(await writing)
                writing = asyncio.create_task(self.take(prepared, caller))
        except BaseException:
            if writing is not None:
                await asyncio.gather(writing, return_exceptions=True)
            raise
        if writing is not None:
            tell(await writing)

    async def prepare(self, chunk: Chunk) -> Prepared:
        """Check, hash and seal the rows; nothing is locked."""
        today = shanghai_date(self._clock.now())
        existing = await self._existing(chunk.rows)
        rows: list[RegisterRow | RowRefused] = []
        stated: list[bytes] = []
        fingerprints: list[bytes] = []
        sealed: dict[str, SealedRow] = {}
        for start in range(0, len(chunk.rows), SLICE_ROWS):
            some = [checked(raw, today) for raw in chunk.rows[start : start + SLICE_ROWS]]
            raws = chunk.rows[start : start + SLICE_ROWS]
            indexes = [self._stated_index(raw) for raw in raws]
            fingerprints += [
                self._vault.row_fingerprint(raw, index)[:FINGERPRINT_BYTES]
                for raw, index in zip(raws, indexes, strict=True)
            ]
            sealed.update(self._seal(_newcomers(some, indexes, existing)))
            rows += some
            stated += indexes
            await asyncio.sleep(0)
        return Prepared(replace(chunk, rows=rows), b"".join(fingerprints), stated, existing, sealed)

    async def _existing(self, rows: Sequence[RegisterRow | RowRefused]) -> frozenset[str]:
        async with self._work() as repository:
            return await repository.existing([row.psn_no for row in rows if isinstance(row, RegisterRow)])

    def _stated_index(self, row: RegisterRow | RowRefused) -> bytes:
        if isinstance(row, RowRefused):
            return b""
        return self._vault.stated_index(row.name, row.certificate, row.brdy, row.tel, row.card_sn)

    def _seal(self, stated: Sequence[StatedRow]) -> Mapping[str, SealedRow]:
        sealed = self._vault.seal_rows([(one.row, one.stated_index) for one in stated])
        return {one.row.psn_no: SealedRow(one.row, *columns) for one, columns in zip(stated, sealed, strict=True)}

    async def take(self, prepared: Prepared, caller: str) -> Taken:
        """Take a chunk: its effect and the record that it was taken are one transaction."""
        return await retrying(lambda: self._take(prepared, caller))

    async def _take(self, prepared: Prepared, caller: str) -> Taken:
        now, chunk = self._clock.now(), prepared.chunk
        async with self._work() as repository:
            await repository.lock_import()
            known = await repository.lock_batch(chunk.batch_id)
            before = known or Batch(chunk.batch_id, caller, now, now, chunk.content_sha256)
            repeated_count = repeated(before, chunk)
            told_again = await self._told_again(repository, prepared, repeated_count)
            outcome = await self._take_new(repository, prepared, repeated_count, now)
            fresh = Taken(chunk.end, outcome.intake.changed_count, outcome.unchanged_count, outcome.refused, 0)
            after = advance(before, chunk, fresh, now)
            if known is None or after.next_row > before.next_row or after.complete != before.complete:
                await repository.save_batch(after)
                taken = prepared.fingerprints[repeated_count * FINGERPRINT_BYTES :]
                if taken:
                    await repository.keep_chunk(chunk.batch_id, before.next_row, taken, outcome.refused)
        return Taken(
            after.next_row,
            fresh.changed_count,
            fresh.unchanged_count + repeated_count - len(told_again),
            [*told_again, *outcome.refused],
            repeated_count,
        )

    async def _told_again(
        self, repository: Repository, prepared: Prepared, repeated_count: int
    ) -> Sequence[RefusedRow]:
        if not repeated_count:
            return []
        batch_id, first_row = prepared.chunk.batch_id, prepared.chunk.first_row
        before = await repository.fingerprints(batch_id, first_row, repeated_count)
        check_same(first_row, before, prepared.fingerprints[: repeated_count * FINGERPRINT_BYTES])
        return await repository.refused_rows(batch_id, first_row, first_row + repeated_count, repeated_count)

    async def _take_new(self, repository: Repository, prepared: Prepared, start: int, now: datetime) -> _Outcome:
        rows = prepared.chunk.rows
        stated = await self._on_record(repository, prepared, start)
        # Whoever has one row that changes something has all their rows taken in turn: each builds on the one before.
        moving = {row.psn_no for place, row in _readable(rows, start) if not _is_known(row, stated.get(place))}
        places = [
            place
            for place, row in enumerate(rows[start:], start)
            if isinstance(row, RowRefused) or row.psn_no in moving
        ]
        told: dict[str, StatedRow | None] = dict.fromkeys(moving)
        for place, row in _readable(rows, start):
            if place in stated and row.psn_no in moving:
                told[row.psn_no] = StatedRow(row, prepared.stated[place])
        intake = await self._fold(repository, [rows[place] for place in places], told, prepared, now)
        refused = [
            RefusedRow(prepared.chunk.first_row + places[position], why) for position, why in intake.refused.items()
        ]
        unchanged_count = len(rows) - start - len(places) + intake.unchanged_count
        return _Outcome(intake, refused, unchanged_count)

    async def _on_record(
        self, repository: Repository, prepared: Prepared, start: int
    ) -> Mapping[int, Sequence[Enrolment]]:
        """By place, the enrolments of those who are in the register as their row says but for those."""
        asked = [
            (place, row) for place, row in _readable(prepared.chunk.rows, start) if row.psn_no in prepared.existing
        ]
        if not asked:
            return {}
        found = await repository.on_record([StatedRow(row, prepared.stated[place]) for place, row in asked])
        return {asked[position][0]: enrolments for position, enrolments in found.items()}

    async def _fold(
        self,
        repository: Repository,
        rows: Sequence[RegisterRow | RowRefused],
        stated: Mapping[str, StatedRow | None],
        prepared: Prepared,
        now: datetime,
    ) -> Intake:
        known = await repository.lock_stated_persons(stated)
        owners = await repository.holders(
            {row.certificate: self._number_index(row, prepared) for row in rows if isinstance(row, RegisterRow)}
        )
        intake = fold(rows, known, owners)
        await self._keep(repository, intake, known, stated, prepared)
        await repository.outbox.add(events.enrolments_changed(intake.enrolled, now))
        return intake

    async def _keep(
        self,
        repository: Repository,
        intake: Intake,
        known: Mapping[str, Person],
        stated: Mapping[str, StatedRow | None],
        prepared: Prepared,
    ) -> None:
        changed, enrolled, new = [], [], []
        for psn_no, person in intake.persons.items():
            before = known.get(psn_no)
            if before is None:
                new.append(person)
            # Whoever has no stated_index yet gets one, by being kept whole.
            elif stated[psn_no] is not None and only_enrolled(before, person):
                enrolled.append((before, person))
            else:
                changed.append(person)
        if enrolled:
            await repository.add_enrolments(enrolled)
        if changed:
            await repository.save_persons(changed)
        if new:
            await repository.add_persons(new, prepared.sealed)

    def _number_index(self, row: RegisterRow, prepared: Prepared) -> bytes:
        ahead = prepared.sealed.get(row.psn_no)
        if ahead is not None and ahead.row is row:
            return ahead.certificate.number_index
        return self._vault.number_index(row.certificate)

    async def get(self, batch_id: str, first_row: int, limit: int) -> tuple[Batch, Sequence[RefusedRow]]:
        """The batch, and its refused rows from a number on.

        Raises:
            ImportNotFound: nothing was taken under this batch.
        """
        async with self._work() as repository:
            batch = await repository.batch(batch_id)
            if batch is None:
                raise ImportNotFound
            return batch, await repository.refused_rows(batch_id, first_row, None, limit)

    async def find(self, batch_id: str) -> Batch | None:
        """The batch, or None if nothing was taken under it."""
        async with self._work() as repository:
            return await repository.batch(batch_id)

    async def batches(self, before: int | None, limit: int) -> Sequence[tuple[int, Batch]]:
        """Batches by their place, the newest first."""
        async with self._work() as repository:
            return await repository.batches(before, limit)


def _newcomers(
    rows: Sequence[RegisterRow | RowRefused], stated: Sequence[bytes], existing: frozenset[str]
) -> list[StatedRow]:
    return [
        StatedRow(row, index)
        for row, index in zip(rows, stated, strict=True)
        if isinstance(row, RegisterRow) and row.psn_no not in existing
    ]


def _is_known(row: RegisterRow, recorded: Sequence[Enrolment] | None) -> bool:
    return recorded is not None and is_known(recorded, row.enrolment)


def _readable(rows: Sequence[RegisterRow | RowRefused], start: int) -> list[tuple[int, RegisterRow]]:
    return [(place, row) for place, row in enumerate(rows[start:], start) if isinstance(row, RegisterRow)]
